"""The names that a request or a worker's setting chooses from. Loads no torch.

The step caches are named in `cache_choice`, the presets in `presets`: there each name has its numbers beside it.
"""

from __future__ import annotations

ATTENTIONS = ("sdpa", "cudnn", "flash", "flash-3", "sage", "xformers")
CPU_ATTENTIONS = ("sdpa",)  #: the others need a GPU
DECODES = ("framewise", "tiled", "whole")
STARTS = ("grey", "noise")  #: first frames of an f1 video without a start image
KERNELS = ("eager", "exact", "compiled")  #: of the transformer; the first two give the same bits
#: of the transformer's weights; "bf16" keeps the precision that they are loaded in, which on a CPU is float32
PRECISIONS = ("bf16", "fp8", "fp8-dynamic", "fp8-fast", "int8", "int4")
