"""Numeric classes: renderers of equal class give equal bits."""

from __future__ import annotations

import re

import torch

_THREADS = re.compile(r"-t(\d+)$")


def default_dtype(device: torch.device) -> torch.dtype:
    """The transformer's precision where none is asked for: float32 on the CPU, else bfloat16."""
    return torch.float32 if device.type == "cpu" else torch.bfloat16


def numeric_class(
    device: torch.device,
    dtype: torch.dtype,
    *,
    attention: str | None = None,
    precision: str = "bf16",
    compiled: bool = False,
) -> str:
    """Device, its kernels, precision, attention and, on the CPU, threads: sums are split by thread.

    dtype: in which the transformer computes. attention: the video's; None leaves it out, for what is said of a device
    before there is a video. precision, compiled: see `precision` and `kernels`; they stand behind the dtype, by "+".
    """
    words = [str(dtype).removeprefix("torch."), "" if precision == "bf16" else precision, "compiled" * compiled]
    computed = "+".join(filter(None, words))
    if device.type == "cuda":
        name = torch.cuda.get_device_name(device).lower().replace(" ", "_")
        return "-".join(filter(None, ("cuda", name, computed, attention)))
    kernels = torch.backends.cpu.get_cpu_capability().lower()
    return "-".join(filter(None, (device.type, kernels, computed, attention, f"t{torch.get_num_threads()}")))


def adopt_threads(numeric_class: str) -> None:
    """Compute with the CPU threads that `numeric_class` names; nothing happens where it names none."""
    if match := _THREADS.search(numeric_class):
        torch.set_num_threads(int(match[1]))
