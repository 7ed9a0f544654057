"""Which attention a device is given where nobody names one: a pure function of what the device is. Loads no torch.

Exact ones alone, whose forward gives the same bits each time: resuming is bit for bit. docs/decisions/0080.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec

_HOPPER = (9, 0)  #: compute capability
#: cuDNN 9.15.1: before it, sequences whose length is no multiple of 128 could come out wrong, and ours seldom is one.
#: Source: pytorch/pytorch aten/src/ATen/native/transformers/cuda/sdp_utils.cpp, check_prefer_cudnn_attention; its issue
#: 169849
_CUDNN_VERSION = 91_501
_CUDNN_WIDEST = 128  #: numbers of a head
_FLASH_3_WIDEST = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class AttentionFacts:
    """What the choice depends on.

    capability: CUDA's, None for a CPU. cudnn: as torch numbers it, 91501 is 9.15.1; 0: none. flash_3: whether
    FlashAttention 3 can be imported. head_dim: numbers of a head. half: computed in bfloat16 or float16.
    """

    capability: tuple[int, int] | None
    cudnn: int = 0
    flash_3: bool = False
    head_dim: int = 128
    half: bool = True


def best_attention(facts: AttentionFacts) -> str:
    """The name of the fastest exact attention that is known to be right there, else "sdpa", torch's own choice.

    On Hopper torch's FlashAttention 2 reaches a third of what the card can do, FlashAttention 3 and cuDNN twice that
    (arXiv:2407.08608 §4.1). Both forwards are deterministic: `flash_attn_func` of FlashAttention says so of itself,
    NVIDIA of cuDNN's (cudnn-frontend, Attention, support matrix: Hopper, prefill). Elsewhere torch's own is as good as
    any, or takes cuDNN by itself (Blackwell). sage is faster and not exact: nobody gets it unasked.
    """
    if facts.capability != _HOPPER or not facts.half:
        return "sdpa"
    if facts.flash_3 and facts.head_dim <= _FLASH_3_WIDEST:
        return "flash-3"
    if facts.cudnn >= _CUDNN_VERSION and facts.head_dim <= _CUDNN_WIDEST:
        return "cudnn"
    return "sdpa"


def has_flash_3() -> bool:
    """Whether FlashAttention 3 is installed, as diffusers looks for it."""
    return find_spec("flash_attn_3") is not None and find_spec("flash_attn_interface") is not None
