"""Numeric classes: renderers of equal class give equal bits. docs/decisions/0102 has the form."""

from __future__ import annotations

import platform
from functools import cache
from pathlib import Path

import torch

_MAKERS = {"genuineintel": "intel", "authenticamd": "amd"}
_KERNELS = {"FLASH_ATTENTION": "flash", "CUDNN_ATTENTION": "cudnn", "EFFICIENT_ATTENTION": "efficient", "MATH": "math"}


def default_dtype(device: torch.device) -> torch.dtype:
    """The transformer's precision unless a caller names one: float32 on the CPU, else bfloat16."""
    return torch.float32 if device.type == "cpu" else torch.bfloat16


def numeric_class(
    device: torch.device,
    dtype: torch.dtype,
    *,
    attention: str | None = None,
    precision: str = "bf16",
    compiled: bool = False,
) -> str:
    """Name everything that decides the bits beside the request: device, precision, attention, threads and software.

    dtype: in which the transformer computes. attention: the video's; None leaves it open, for the class of a worker.
    precision, compiled: see `precision` and `compiled`; they stand behind the dtype, after a "+".
    """
    words = [str(dtype).removeprefix("torch."), "" if precision == "bf16" else precision, "compiled" * compiled]
    computed = "+".join(filter(None, words))
    if device.type == "cuda":
        name = torch.cuda.get_device_name(device).lower().replace(" ", "_")
        parts = ["cuda", name, computed, attention]
        traits = [_torch(), f"cudnn{_cudnn()}", f"sdpa={sdpa_kernel(device, dtype)}"]
    else:
        # a CPU's sums are split by thread
        instructions = torch.backends.cpu.get_cpu_capability().lower()
        parts = [device.type, instructions, computed, attention, f"t{torch.get_num_threads()}"]
        traits = [cpu_maker(), _torch()]
    return "-".join(filter(None, parts)) + "@" + ",".join(traits)


@cache
def cpu_maker() -> str:
    """`intel` or `amd`, on whose CPUs MKL and oneDNN take other paths; else the architecture, such as `aarch64`."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8", errors="replace").splitlines() if info.is_file() else []
    vendor = next((line for line in lines if line.startswith("vendor_id")), platform.processor()).lower()
    return next((maker for text, maker in _MAKERS.items() if text in vendor), platform.machine().lower() or "unknown")


@cache
def sdpa_kernel(device: torch.device, dtype: torch.dtype) -> str:
    """Ask torch which kernel its own attention takes on a CUDA device.

    The answer depends on torch, cuDNN and the environment: on a Hopper GPU it is FlashAttention 2 with older ones,
    cuDNN since torch 2.11 (pytorch/pytorch sdp_utils.cpp, check_prefer_cudnn_attention).
    """
    query = torch.empty((1, 1000, 24, 128), device=device, dtype=dtype).transpose(1, 2)  # heads as in the 13B model
    chosen = torch.nn.attention.SDPBackend(torch._fused_sdp_choice(query, query, query))  # noqa: SLF001 - no public name
    return _KERNELS.get(chosen.name, chosen.name.lower())


def _torch() -> str:
    return f"torch{torch.__version__.partition('+')[0]}"


def _cudnn() -> str:
    """CuDNN's version as 9.19.0; torch numbers it 91900."""
    number = torch.backends.cudnn.version() or 0
    return f"{number // 10_000}.{number // 100 % 100}.{number % 100}"
