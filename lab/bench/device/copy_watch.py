"""Copies and waits for them, timed."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from typing_extensions import override

from framepack_engine.memory.copying import Copier, CudaCopier, Mark


class CopyWatch:
    """Times each copy and each wait for one. On CUDA events time both on the device.

    On the CPU the thread that computes also copies, so each copy is a wait, too.
    """

    def __init__(self, device: torch.device) -> None:
        """Nothing has been copied yet."""
        self._device, self._cuda = device, device.type == "cuda"
        self._copies: list[tuple[Any, Any]] = []
        self._waits: list[tuple[Any, Any]] = []

    @contextmanager
    def copying(self) -> Iterator[None]:
        """Inside, one copy is begun, on the stream that is current."""
        begun = self._now()
        yield
        self._copies.append((begun, self._now()))

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Inside, what computes waits until its weights are there."""
        begun = self._now()
        yield
        self._waits.append((begun, self._now()))

    def forget(self) -> None:
        """Drop what was timed so far."""
        self._copies, self._waits = [], []

    @property
    def copies(self) -> int:
        """The number of copies."""
        return len(self._copies)

    @property
    def copied_s(self) -> float:
        """Seconds of all copies. Waits for the device."""
        return self._seconds(self._copies)

    @property
    def hidden(self) -> float | None:
        """Share of the copies' time in which computing went on; None if nothing was copied."""
        copied_s = self.copied_s
        return None if copied_s <= 0 else max(0.0, 1.0 - self._seconds(self._waits) / copied_s)

    def _now(self) -> Any:
        if not self._cuda:
            return time.perf_counter()
        event: Any = torch.cuda.Event(enable_timing=True)
        event.record(torch.cuda.current_stream(self._device))
        return event

    def _seconds(self, spans: list[tuple[Any, Any]]) -> float:
        if not self._cuda:
            return float(sum(end - begin for begin, end in spans))
        torch.cuda.synchronize(self._device)
        return float(sum(begin.elapsed_time(end) for begin, end in spans)) / 1000


def watched_copier(device: torch.device, watch: CopyWatch) -> Copier:
    """Return the copier of a device that lets `watch` time each copy and each wait."""
    return _WatchedCuda(device, watch) if device.type == "cuda" else _WatchedHost(watch)


class _WatchedHost(Copier):
    def __init__(self, watch: CopyWatch) -> None:
        self._watch = watch

    @override
    def copy(self, target: Tensor, source: Tensor, *, after: Mark) -> Mark:
        with self._watch.waiting(), self._watch.copying():
            return super().copy(target, source, after=after)


class _WatchedCuda(CudaCopier):
    def __init__(self, device: torch.device, watch: CopyWatch) -> None:
        super().__init__(device)
        self._watch = watch

    @override
    def copy(self, target: Tensor, source: Tensor, *, after: Mark) -> Mark:
        with torch.cuda.stream(self.stream):
            if after is not None:
                self.stream.wait_event(after)
            with self._watch.copying():
                return super().copy(target, source, after=None)

    @override
    def wait(self, begun: Callable[[], Mark]) -> None:
        with self._watch.waiting():
            super().wait(begun)
