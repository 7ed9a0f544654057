"""The attention of requests that name none: a pure function of facts about the device. Loads no torch.

Only exact attentions qualify, with a forward that repeats its bits: a resumed section must be the same bit for bit.
docs/decisions/0080.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec

_HOPPER = (9, 0)  #: compute capability
#: cuDNN 9.15.1: older ones could be wrong if the number of tokens is no multiple of 128, and ours seldom is one.
#: Source: pytorch/pytorch aten/src/ATen/native/transformers/cuda/sdp_utils.cpp, check_prefer_cudnn_attention; its issue
#: 169849
_CUDNN_VERSION = 91_501
_CUDNN_WIDEST = 128  #: numbers of a head
_FLASH_3_WIDEST = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class AttentionFacts:
    """The facts that the choice depends on.

    capability: CUDA's, None for a CPU. cudnn: as torch numbers it, 91501 is 9.15.1; 0: none. flash_3: whether
    FlashAttention 3 can be imported. head_dim: numbers of a head. half: computed in bfloat16 or float16.
    """

    capability: tuple[int, int] | None
    cudnn: int = 0
    flash_3: bool = False
    head_dim: int = 128
    half: bool = True


def best_attention(facts: AttentionFacts) -> str:
    """Return the fastest exact attention that is known to be right there, else "sdpa", torch's own choice.

    On Hopper, FlashAttention 2 reaches a third of the card's rate, FlashAttention 3 and cuDNN about two thirds
    (arXiv:2407.08608 §4.1). Both are documented as deterministic: `flash_attn_func` by FlashAttention, cuDNN by NVIDIA
    (cudnn-frontend, Attention, support matrix: Hopper, prefill). On other devices torch's own is as good as any. A
    request must name sage: it is faster and not exact.
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
