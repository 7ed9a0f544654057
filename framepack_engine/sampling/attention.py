"""Attention backends: a specification names one, `check_attention` checks it, `pin_attention` sets it on a model.

The environment variable DIFFUSERS_ATTN_BACKEND has no effect here. `attention_trial` chooses the default.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from framepack_engine.errors import AttentionUnavailable
from framepack_engine.planning.choices import ATTENTIONS, CPU_ATTENTIONS


@dataclass(frozen=True, slots=True)
class _Backend:
    """One way to compute attention.

    diffusers: its name there. package: what must be installed beside torch and diffusers, and `install` how.
    """

    diffusers: str
    package: str | None = None
    install: str | None = None
    half: bool = True  #: bfloat16 or float16 only


_BACKENDS: Mapping[str, _Backend] = MappingProxyType(
    {
        "sdpa": _Backend("native", half=False),
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
    """Check that attention `name` can compute on `device` in `dtype`. Raises: AttentionUnavailable."""
    backend = _BACKENDS[name]
    if name not in CPU_ATTENTIONS and device.type != "cuda":
        raise AttentionUnavailable(
            f"attention={name} needs a CUDA device, and this device is {device.type}; sdpa works everywhere"
            + (f" ({name} also needs the package {backend.package}: {backend.install})" if backend.package else ""),
            attention=name,
        )
    if backend.half and dtype not in {torch.bfloat16, torch.float16}:
        raise AttentionUnavailable(
            f"attention={name} needs bfloat16 or float16, and the transformer is {dtype}; sdpa takes any precision",
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
    """Return the attentions that can compute on `device` in `dtype`. Imports diffusers on a GPU."""

    def usable(name: str) -> bool:
        try:
            check_attention(name, device=device, dtype=dtype)
        except AttentionUnavailable:
            return False
        return True

    return tuple(name for name in ATTENTIONS if usable(name))


def pin_attention(model: Any, name: str, *, device: torch.device, dtype: torch.dtype) -> None:
    """Let `name` compute every attention in the transformer's blocks from now on. Raises: AttentionUnavailable.

    The text refiner has a few hundred tokens and a mask. It stays with torch's SDPA, as in diffusers.
    """
    check_attention(name, device=device, dtype=dtype)
    backend = backend_of(name)
    for module in model.modules():
        # Not set_attention_backend: that one also changes the backend of every other model in this process.
        processor: Any = getattr(module, "processor", None)
        if hasattr(processor, "_attention_backend"):
            processor._attention_backend = backend  # noqa: SLF001


def attend(name: str, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Compute attention `name` as a block of the transformer does; each tensor is (1, tokens, heads, head_dim)."""
    from diffusers.models.attention_dispatch import dispatch_attention_fn

    dispatch: Any = dispatch_attention_fn
    made: Tensor = dispatch(query, key, value, dropout_p=0.0, is_causal=False, backend=backend_of(name))
    return made


def backend_of(name: str) -> Any:
    """Return diffusers' name for attention `name`. Imports diffusers.

    For cuDNN, put `_cudnn_on_views` in the place of diffusers' own function, which gives the same numbers.
    """
    from diffusers.models import attention_dispatch
    from diffusers.models.attention_dispatch import AttentionBackendName, _AttentionBackendRegistry

    backend = AttentionBackendName(_BACKENDS[name].diffusers)
    functions = _AttentionBackendRegistry._backends  # noqa: SLF001 - the dispatcher looks only there
    if functions[backend] is attention_dispatch._native_cudnn_attention:  # noqa: SLF001
        functions[backend] = _cudnn_on_views
    return backend


def _cudnn_on_views(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    *,
    return_lse: bool = False,
    _parallel_config: Any = None,
    **options: Any,
) -> Any:
    """Call cuDNN's attention on transposed views of (B, tokens, heads, head_dim) tensors.

    cuDNN reads this layout as it is. diffusers' own function copies the three tensors first, and its answer is copied
    back behind it: about 54 GB of traffic a forward at 640x608 px.
    """
    if return_lse or _parallel_config is not None:  # another model of this process, spread over several GPUs
        from diffusers.models.attention_dispatch import _native_cudnn_attention

        return _native_cudnn_attention(
            query, key, value, return_lse=return_lse, _parallel_config=_parallel_config, **options
        )
    query, key, value = (tensor.transpose(1, 2) for tensor in (query, key, value))
    with sdpa_kernel(SDPBackend.CUDNN_ATTENTION):
        made: Tensor = torch.nn.functional.scaled_dot_product_attention(query, key, value, **options)
    return made.transpose(1, 2)
