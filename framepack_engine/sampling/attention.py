"""Attention backends as values: named in the specification, checked before they are used, pinned on the model.

Which one computes is never what DIFFUSERS_ATTN_BACKEND says; where nobody names one, see attention_choice.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import torch

from framepack_engine.errors import AttentionUnavailable
from framepack_engine.planning.choices import ATTENTIONS


@dataclass(frozen=True, slots=True)
class _Backend:
    """One way to compute attention: diffusers' name for it, and what it needs.

    package: what must be installed, beside torch and diffusers, and `install` how; None: nothing.
    """

    diffusers: str
    package: str | None = None
    install: str | None = None
    cuda: bool = True
    half: bool = True  #: bfloat16 or float16 only


_BACKENDS: Mapping[str, _Backend] = MappingProxyType(
    {
        "sdpa": _Backend("native", cuda=False, half=False),
        "cudnn": _Backend("_native_cudnn"),
        "flash": _Backend("flash", "flash-attn >= 2.6.3", "pip install flash-attn --no-build-isolation"),
        "flash-3": _Backend(
            "_flash_3",
            "flash_attn_interface (FlashAttention 3, Hopper GPUs)",
            "build the folder hopper/ of github.com/Dao-AILab/flash-attention",
        ),
        "sage": _Backend("sage", "sageattention >= 2.1.1", "build github.com/thu-ml/SageAttention"),
        "xformers": _Backend("xformers", "xformers >= 0.0.29", "pip install xformers", half=False),
    }
)


def check_attention(name: str, *, device: torch.device, dtype: torch.dtype) -> None:
    """See that attention `name` can compute on `device` in `dtype`. Raises: AttentionUnavailable saying what lacks."""
    backend = _BACKENDS[name]
    if backend.cuda and device.type != "cuda":
        raise AttentionUnavailable(
            f"attention={name} computes on CUDA devices only, and this one is {device.type}; sdpa computes everywhere"
            + (f" (it also needs the package {backend.package}: {backend.install})" if backend.package else ""),
            attention=name,
        )
    if backend.half and dtype not in {torch.bfloat16, torch.float16}:
        raise AttentionUnavailable(
            f"attention={name} computes in bfloat16 or float16, and the transformer is {dtype}; sdpa takes any",
            attention=name,
        )
    if backend.package is not None:
        from diffusers.models.attention_dispatch import _check_attention_backend_requirements

        try:
            _check_attention_backend_requirements(backend_of(name))
        except RuntimeError as err:
            raise AttentionUnavailable(
                f"attention={name} needs the package {backend.package}, which cannot be imported here. "
                f"To install it: {backend.install}",
                attention=name,
            ) from err


def usable_attentions(*, device: torch.device, dtype: torch.dtype) -> tuple[str, ...]:
    """The backends that can compute here. Imports diffusers where there is a GPU."""

    def usable(name: str) -> bool:
        try:
            check_attention(name, device=device, dtype=dtype)
        except AttentionUnavailable:
            return False
        return True

    return tuple(name for name in ATTENTIONS if usable(name))


def backend_of(name: str) -> Any:
    """What diffusers calls attention `name`. Imports diffusers."""
    from diffusers.models.attention_dispatch import AttentionBackendName

    return AttentionBackendName(_BACKENDS[name].diffusers)


def pin_attention(model: Any, name: str, *, device: torch.device, dtype: torch.dtype) -> None:
    """Let every attention of the transformer's blocks be computed by `name` from now on. Raises: AttentionUnavailable.

    The text refiner's (a few hundred tokens, masked) stays with torch's SDPA, as diffusers has it.
    """
    check_attention(name, device=device, dtype=dtype)
    backend = backend_of(name)
    for module in model.modules():
        # Not set_attention_backend: that one also changes what every other model in this process uses.
        processor: Any = getattr(module, "processor", None)
        if hasattr(processor, "_attention_backend"):
            processor._attention_backend = backend  # noqa: SLF001
