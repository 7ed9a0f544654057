"""How weights are copied to a device: by the CPU itself, or on a CUDA stream of their own while the device computes.

The CUDA calls follow torch's documented streams and events. No GPU has run them.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import torch
from torch import Tensor
from typing_extensions import override

Mark = torch.cuda.Event | None  #: a point in the device's work; None where work is done when a call returns


class Copier:
    """Copies weights within the machine's memory: every copy has arrived when `copy` returns."""

    def lock(self, memory: Tensor) -> bool:  # noqa: ARG002 - the CPU reads any memory
        """Lock `memory` in place, so that the device can read it by itself. False: the machine refuses."""
        return True

    def unlock(self, memory: Tensor) -> None:
        """Undo `lock`."""

    def begin(self) -> None:
        """Let copies start behind all that the device computes now."""

    def copy(self, target: Tensor, source: Tensor, *, after: Mark) -> Mark:  # noqa: ARG002 - nothing is under way
        """Begin a copy that starts when the device has passed `after`. Returns: the mark of its arrival."""
        target.copy_(source)
        return None

    def passed(self) -> Mark:
        """Mark the end of what the device computes now."""
        return None

    def wait(self, begun: Callable[[], Mark]) -> None:
        """Let later computing wait for a copy's arrival. begun: returns its mark, once the copy has begun."""
        begun()

    def sync(self, mark: Mark) -> None:
        """Block until the device has passed `mark`."""

    def finish(self) -> None:
        """Block until the device has finished all copies and all computing."""


class CudaCopier(Copier):
    """Copies on a CUDA stream of its own."""

    def __init__(self, device: torch.device) -> None:
        """Touch no GPU before the first `begin`."""
        self._device = device
        self._own: torch.cuda.Stream | None = None

    @property
    def stream(self) -> torch.cuda.Stream:
        """The stream that copies."""
        if self._own is None:
            self._own = torch.cuda.Stream(self._device)
        return self._own

    @override
    def lock(self, memory: Tensor) -> bool:
        """Register the memory: torch's own pinned tensors take up to twice their size (powers of two)."""
        runtime: Any = torch.cuda.cudart()
        if int(runtime.cudaHostRegister(memory.data_ptr(), memory.nbytes, 0)) == 0:
            return True
        # CUDA keeps the refusal as its last error, and the next kernel would report it
        if hasattr(runtime, "cudaGetLastError"):
            runtime.cudaGetLastError()
        else:  # this torch does not export it; a kernel that fails clears the error
            with suppress(RuntimeError):
                torch.ones(1, device=self._device)
        return False

    @override
    def unlock(self, memory: Tensor) -> None:
        torch.cuda.check_error(int(torch.cuda.cudart().cudaHostUnregister(memory.data_ptr())))

    @override
    def begin(self) -> None:
        self.stream.wait_stream(self._computing)

    @override
    def copy(self, target: Tensor, source: Tensor, *, after: Mark) -> Mark:
        with torch.cuda.stream(self.stream):
            if after is not None:
                self.stream.wait_event(after)
            target.copy_(source, non_blocking=True)
            return _recorded(self.stream)

    @override
    def passed(self) -> Mark:
        return _recorded(self._computing)

    @override
    def wait(self, begun: Callable[[], Mark]) -> None:
        arrival = begun()
        if arrival is not None:
            self._computing.wait_event(arrival)

    @override
    def sync(self, mark: Mark) -> None:
        if mark is not None:
            mark.synchronize()

    @override
    def finish(self) -> None:
        self.stream.synchronize()
        self._computing.synchronize()

    @property
    def _computing(self) -> torch.cuda.Stream:
        return torch.cuda.current_stream(self._device)


def _recorded(stream: torch.cuda.Stream) -> Mark:
    event = torch.cuda.Event()
    event.record(stream)
    return event


def copier_for(device: torch.device) -> Copier:
    """Return the copier of a device."""
    return CudaCopier(device) if device.type == "cuda" else Copier()
