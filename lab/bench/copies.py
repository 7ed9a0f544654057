"""Weights that come module by module, each when it is about to compute, by a copy that the host waits for.

The way of lllyasviel/FramePack (diffusers_helper/memory.py: DynamicSwapInstaller, and
move_model_to_device_with_memory_preservation for what may stay): the baseline that streaming is measured beside.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from typing_extensions import override

from framepack_engine.memory.copying import Copier, CudaCopier, Mark


class SyncCopies:
    """One model held that way until `close`. copied: bytes so far."""

    def __init__(self, model: nn.Module, device: torch.device, *, resident_bytes: int) -> None:
        """The first modules stay on the device, as far as `resident_bytes` go; the others' weights stay at home."""
        self._device, self.copied, self.resident = device, 0, 0
        self._hooks: list[Any] = []
        self._homes: dict[nn.Module, list[tuple[Tensor, Tensor]]] = {}
        for module in model.modules():
            own = [*module.parameters(recurse=False), *module.buffers(recurse=False)]
            size = sum(tensor.nbytes for tensor in own)
            if not own:
                continue
            if self.resident + size <= resident_bytes:
                self.resident += size
                for tensor in own:
                    tensor.data = tensor.data.to(device)
                continue
            self._homes[module] = [(tensor, tensor.data.cpu()) for tensor in own]
            self._go_home(module)
            self._hooks.append(module.register_forward_pre_hook(lambda module, _: self._bring(module)))
            self._hooks.append(module.register_forward_hook(lambda module, *_: self._go_home(module)))

    def close(self) -> None:
        """The modules are as they were, the weights that were swapped at home."""
        for hook in self._hooks:
            hook.remove()
        for module in self._homes:
            self._go_home(module)

    def _bring(self, module: nn.Module) -> None:
        for tensor, home in self._homes[module]:
            tensor.data = home.to(self._device, copy=True)
            self.copied += home.nbytes

    def _go_home(self, module: nn.Module) -> None:
        for tensor, home in self._homes[module]:
            tensor.data = home


class CopyWatch:
    """Hears of each copy and of each wait for one. On CUDA both are timed on the device, by events; on the CPU, where
    a copy is made by who computes, it is also a wait.
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
        """Begin anew."""
        self._copies, self._waits = [], []

    @property
    def copies(self) -> int:
        """How many there were."""
        return len(self._copies)

    @property
    def copied_s(self) -> float:
        """Seconds of all copies; waits for the device."""
        return self._seconds(self._copies)

    @property
    def hidden(self) -> float | None:
        """Share of the copies' time in which computing went on; None where nothing was copied."""
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
