"""The GPUs of this machine, without loading torch."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from farm.errors import ConfigError
from farm.setting_types import vram_class
from farm.settings import FarmSettings

_GIB = 1 << 30


class Gpu(NamedTuple):
    """One GPU as NVIDIA's library describes it. capability: CUDA's, (8, 6). total, free: bytes of its memory."""

    name: str
    total: int
    free: int
    capability: tuple[int, int]
    driver: str


def chosen_gpus(settings: FarmSettings) -> list[str]:
    """Return the NVIDIA GPUs for workers, as CUDA_VISIBLE_DEVICES names them.

    Raises: ConfigError if FARM_GPUS names a GPU that is not here or that CUDA_VISIBLE_DEVICES hides.
    """
    wanted = [gpu.strip() for gpu in settings.gpus.split(",") if gpu.strip()]
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        here = [name.strip() for name in visible.split(",") if name.strip() not in {"", "-1"}]
    else:
        here = [str(number) for number in range(_count())]
    for gpu in wanted:
        if gpu not in here and (visible is not None or gpu.isdigit()):
            why = "CUDA_VISIBLE_DEVICES allows" if visible is not None else "this machine has"
            raise ConfigError(f"FARM_GPUS={settings.gpus!r}: there is no GPU {gpu}; {why} {','.join(here) or 'none'}")
    return wanted or here


def class_of(gpus: Sequence[str]) -> str | None:
    """Return the VRAM class of the smallest GPU, or None without one or below every class."""
    with _nvml() as nvml:
        if nvml is None or not gpus:
            return None
        return vram_class(min(nvml.nvmlDeviceGetMemoryInfo(_handle(nvml, gpu)).total for gpu in gpus) / _GIB)


def describe_gpus(gpus: Sequence[str]) -> list[Gpu]:
    """Describe each GPU, in that order. Without a driver the list is empty."""
    with _nvml() as nvml:
        if nvml is None:
            return []
        driver, found = str(nvml.nvmlSystemGetDriverVersion()), list[Gpu]()
        for gpu in gpus:
            handle = _handle(nvml, gpu)
            memory = nvml.nvmlDeviceGetMemoryInfo(handle)
            major, minor = nvml.nvmlDeviceGetCudaComputeCapability(handle)
            found.append(Gpu(str(nvml.nvmlDeviceGetName(handle)), memory.total, memory.free, (major, minor), driver))
        return found


def gpu_environment(gpus: Sequence[str]) -> dict[str, str]:
    """Return the environment in which Ray gives worker n the n-th of `gpus`: Ray counts GPUs, it does not choose."""
    return {
        "CUDA_VISIBLE_DEVICES": ",".join(gpus),
        "CUDA_DEVICE_ORDER": "PCI_BUS_ID",  # nvidia-smi's numbers
        "RAY_EXPERIMENTAL_NOSET_CUDA_VISIBLE_DEVICES": "1",
        "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    }


def _count() -> int:
    with _nvml() as nvml:
        return int(nvml.nvmlDeviceGetCount()) if nvml else 0


def _handle(nvml: Any, gpu: str) -> Any:
    return nvml.nvmlDeviceGetHandleByIndex(int(gpu)) if gpu.isdigit() else nvml.nvmlDeviceGetHandleByUUID(gpu)


@contextlib.contextmanager
def _nvml() -> Iterator[Any]:
    """Give NVIDIA's library, or None without a driver."""
    import pynvml

    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        yield None
        return
    try:
        yield pynvml
    finally:
        pynvml.nvmlShutdown()
