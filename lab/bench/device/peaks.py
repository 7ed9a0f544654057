"""The most memory that a row took: of the GPU as NVML sees it, and of the host."""

from __future__ import annotations

import threading
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

import torch

from framepack_engine.memory.ladder import GIB

_EVERY_S = 0.03
_FORGET_PEAK = "5"  #: to /proc/self/clear_refs: see proc_pid_clear_refs(5)


class Peaks:
    """Watches memory while it is entered. NVML's figure is of all processes on the GPU, contexts included."""

    def __init__(self, device: torch.device) -> None:
        self._device, self._ends, self._nvml_bytes = device, threading.Event(), 0
        self._retries = 0
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Self:
        with suppress(OSError):  # no peak to forget where /proc is not Linux's
            Path("/proc/self/clear_refs").write_text(_FORGET_PEAK)
        self._retries = self._alloc_retries()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ends.set()
        self._thread.join()

    def cells(self) -> dict[str, Any]:
        """Return the peaks since the beginning; None is not known."""
        return {
            "nvml_peak_gib": round(self._nvml_bytes / GIB, 2) if self._nvml_bytes else None,
            "host_peak_gib": round(host_peak_bytes() / GIB, 2),
            "alloc_retries": self._alloc_retries() - self._retries if self._on_gpu else None,
        }

    def _alloc_retries(self) -> int:
        """How often torch's allocator has given memory back and tried again in this process."""
        return int(torch.cuda.memory_stats(self._device).get("num_alloc_retries", 0)) if self._on_gpu else 0

    @property
    def _on_gpu(self) -> bool:
        return self._device.type == "cuda"

    def _watch(self) -> None:
        if not self._on_gpu:
            return
        try:
            import pynvml

            pynvml.nvmlInit()
            uuid = torch.cuda.get_device_properties(self._device).uuid
            handle = pynvml.nvmlDeviceGetHandleByUUID(f"GPU-{uuid}")
        except Exception:  # noqa: BLE001 - border: a GPU without this library has no figure, and is measured all the same
            return
        while not self._ends.wait(_EVERY_S):
            self._nvml_bytes = max(self._nvml_bytes, int(pynvml.nvmlDeviceGetMemoryInfo(handle).used))


def host_peak_bytes() -> int:
    """Return the most resident memory of this process since it began, or since the kernel was told to forget."""
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines() if ":" in line)
    return int(status["VmHWM"].split()[0]) * 1024
