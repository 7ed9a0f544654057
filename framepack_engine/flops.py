"""How much one forward of the transformer computes: a pure function of its size and of what is rendered. No torch.

Counted are the products of matrices in the blocks, attention's included; the rest (embedders, norms, hoisted modules)
is below 0.1 %. tests/unit/test_gpu_bench.py counts the same with torch's own counter and compares.
"""

from __future__ import annotations

from framepack_engine.memory.ladder import Workload
from framepack_engine.models.model_size import ModelSize

REFERENCE_TFLOP = 494.1  #: of 640x608, window 9, a prompt of 32 tokens


def forward_flops(size: ModelSize, work: Workload, *, text_tokens: int) -> float:
    """Floating point operations of one forward; a multiply and an add are two.

    text_tokens: of the prompt, without its padding.
    """
    tokens = work.tokens(size, text_tokens=text_tokens)
    # a double block has its matrices twice, for pictures and for text: a token passes through one of the two
    passed = sum(weights / 2 if weights > 1.5 * min(size.blocks) else weights for weights in size.blocks)
    attention = 4.0 * tokens * tokens * size.dim * len(size.blocks)
    return 2.0 * passed * tokens + attention
