"""The device that is measured: its facts, and its best rates."""

from __future__ import annotations

import gc
import os
import platform
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import torch

from framepack_engine.memory.cuda_share import limit_cuda
from framepack_engine.memory.ladder import GIB
from framepack_engine.models.host import cpu_name
from framepack_engine.models.host import host_bytes as all_host_bytes

#: dense bfloat16 with float32 sums, TFLOP/s, by NVIDIA's data sheets: the first name that is in the device's own
_DATA_SHEET = (("H200", 989.4), ("H100 PCIe", 756.0), ("H100", 989.4), ("A100", 312.0), ("RTX 4090", 165.2))
_PACKAGES = ("diffusers", "transformers", "accelerate", "torchao", "triton")
_SMI = "driver_version,pcie.link.gen.current,pcie.link.width.current,clocks.sm,power.limit"


@dataclass(frozen=True, slots=True)
class Machine:
    """A device, and its measured rates: a large matrix product, and a large copy from pinned memory.

    host_bytes: host memory that plans count with. link_gb_s: 10^9 bytes a second.
    """

    device: torch.device
    name: str
    total_bytes: int
    matmul_tflops: float
    link_gb_s: float
    host_bytes: int

    def cells(self) -> dict[str, Any]:
        """Return the lines of a table."""
        return {
            "device": self.name,
            "memory_gib": round(self.total_bytes / GIB, 1),
            "host_gib": round(self.host_bytes / GIB, 1),
            "matmul_tflops": float(f"{self.matmul_tflops:.4g}"),
            "data_sheet_tflops": self.data_sheet_tflops,
            "link_gb_s": float(f"{self.link_gb_s:.4g}"),
        }

    @property
    def data_sheet_tflops(self) -> float | None:
        """Its maker's figure; None for a card that the table does not know."""
        if "NVL" in self.name:  # slower than the cards that share its name
            return None
        return next((peak for name, peak in _DATA_SHEET if name in self.name), None)


def look_at(device: torch.device, *, host_bytes: int | None = None, known: Mapping[str, Any] | None = None) -> Machine:
    """Describe a device and measure its rates. known: `cells` of an earlier look, whose rates are taken over."""
    cuda = device.type == "cuda"
    total = torch.cuda.get_device_properties(device).total_memory if cuda else all_host_bytes()
    name = torch.cuda.get_device_name(device) if cuda else cpu_name(torch.get_num_threads())
    if known is None:
        side, copy_bytes = (8192, 1 << 30) if cuda else (256, 1 << 20)
        known = {"matmul_tflops": _matmul_tflops(device, side), "link_gb_s": _link_gb_s(device, copy_bytes)}
    home = all_host_bytes() if host_bytes is None else host_bytes
    return Machine(device, name, total, known["matmul_tflops"], known["link_gb_s"], home)


def versions(device: torch.device) -> dict[str, Any]:
    """Return what the figures depend on beside the device: Python, packages, CUDA, cuDNN, the driver and its link."""
    found: dict[str, Any] = {"python": platform.python_version(), "torch": torch.__version__, "cores": os.cpu_count()}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = None
    if device.type != "cuda":
        return found
    found |= {"cuda": torch.version.cuda, "cudnn": torch.backends.cudnn.version()}
    number = torch.cuda.current_device() if device.index is None else device.index
    found["capability"] = ".".join(map(str, torch.cuda.get_device_capability(number)))
    uuid = f"GPU-{torch.cuda.get_device_properties(number).uuid}"
    command = ["nvidia-smi", f"--id={uuid}", f"--query-gpu={_SMI}", "--format=csv,noheader"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=20)
    except (OSError, subprocess.SubprocessError) as err:
        return found | {"driver_version": f"unknown: {err}"}
    return found | dict(zip(_SMI.split(","), (cell.strip() for cell in done.stdout.split(",")), strict=False))


def seconds_of(work: Callable[[], object], device: torch.device, *, times: int = 5) -> list[float]:
    """Time `work`, so many times after one that does not count; return the seconds in order of size."""
    taken = list[float]()
    for _ in range(times + 1):
        finish(device)
        begun = time.perf_counter()
        work()
        finish(device)
        taken.append(time.perf_counter() - begun)
    return sorted(taken[1:])


@contextmanager
def capped(device: torch.device, cap_bytes: int | None) -> Iterator[None]:
    """Let torch's allocator refuse, inside, what a device of `cap_bytes` would not have beside CUDA's context.

    On the CPU the budget of a plan does this.
    """
    if cap_bytes is None or device.type != "cuda":
        yield
        return
    limit_cuda(device, cap_bytes)
    try:
        yield
    finally:
        limit_cuda(device, torch.cuda.get_device_properties(device).total_memory)


def finish(device: torch.device) -> None:
    """Wait until the device has done its work."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def clean(device: torch.device) -> None:
    """Give memory that nothing holds back to the device."""
    if device.type == "cuda":
        gc.collect()
        torch.cuda.empty_cache()


def computes(device: torch.device) -> bool:
    """Tell whether this process can still compute on the device: most of CUDA's errors stay until it ends."""
    try:
        return bool((torch.ones(1, device=device) + 1).item() == 2)
    except RuntimeError:
        return False


def _matmul_tflops(device: torch.device, side: int) -> float:
    dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
    one, other = (torch.randn(side, side, device=device).to(dtype) for _ in range(2))
    return 2 * side**3 / seconds_of(lambda: torch.mm(one, other), device)[0] / 1e12


def _link_gb_s(device: torch.device, size: int) -> float:
    source = torch.zeros(size, dtype=torch.uint8, pin_memory=device.type == "cuda")
    target = torch.empty_like(source, device=device)
    return size / seconds_of(lambda: target.copy_(source, non_blocking=True), device)[0] / 1e9
