"""Weights that live in the machine's memory and visit the device: whole parts (`Guest`), or block by block (`Stream`).

Nothing is ever copied back: the home copy is the truth, and leaving the device is forgetting. Why not diffusers' group
offloading: docs/decisions/0050. CUDA paths follow torch's documented streams and events;
docs/explanation/memory-plans.md says what has run on a GPU.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext, suppress
from itertools import accumulate, chain
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from framepack_engine.memory.budget import Budget, uncounted
from framepack_engine.models.compiled import forward_of
from framepack_engine.models.weights import weights_of

log = logging.getLogger(__name__)
_ALIGN = 256  #: bytes; as the CUDA allocator aligns, so that kernels choose as they would for a tensor of its own
_SLOTS = 2  #: one block computes while the next one arrives


class Guest:
    """Weights that come to the device whole and leave it whole."""

    def __init__(self, tensors: Sequence[Tensor], *, budget: Budget) -> None:
        """tensors: parameters and buffers; those on the device get a home in the machine's memory."""
        self._budget = budget
        self._home = [(tensor, tensor.data.cpu()) for tensor in tensors]
        self.bytes = sum(home.nbytes for _, home in self._home)
        self.here = False
        for tensor, home in self._home:
            tensor.data = home

    def bring(self) -> None:
        """Be on the device. Raises: torch.OutOfMemoryError; the weights are home then."""
        if self.here:
            return
        self._budget.hold(self.bytes)
        self.here = True
        try:
            with uncounted():
                for tensor, home in self._home:
                    tensor.data = home.to(self._budget.device, copy=True, non_blocking=home.is_pinned())
        except torch.OutOfMemoryError:
            self.leave()
            raise
        self._budget.brought += self.bytes

    def leave(self) -> None:
        """Be on the device no more."""
        if self.here:
            for tensor, home in self._home:
                tensor.data = home
            self._budget.drop(self.bytes)
            self.here = False


class _Block:
    """One block's weights, behind each other in one piece of bytes at home (`flat`), or where they were."""

    def __init__(self, module: nn.Module, *, pin: bool, mapped: bool) -> None:
        self.tensors = weights_of([module])
        homes = [tensor.data.cpu() for tensor in self.tensors]
        ends = list(accumulate(-(-home.nbytes // _ALIGN) * _ALIGN for home in homes))
        self.offsets, self.bytes = [0, *ends[:-1]], ends[-1]
        self.moved = sum(home.nbytes for home in homes)
        self.flat: Tensor | None = None
        if not mapped:
            flat = torch.empty(self.bytes, dtype=torch.uint8)
            if not pin or _pin(flat):
                self.flat = flat
                self.fill(flat, homes)
                homes = self.views(flat, homes)
        self.homes = homes
        self.go_home()

    def views(self, flat: Tensor, like: Sequence[Tensor]) -> list[Tensor]:
        """The weights in `flat`, whose shapes are those of `like`."""
        return [
            flat[offset : offset + home.nbytes].view(home.dtype).view(home.shape)
            for offset, home in zip(self.offsets, like, strict=True)
        ]

    def fill(self, flat: Tensor, homes: Sequence[Tensor]) -> None:
        """Put the weights into `flat`."""
        for view, home in zip(self.views(flat, homes), homes, strict=True):
            view.copy_(home)

    def unlock(self) -> None:
        """The weights stay where they are, in memory that is as any other."""
        if self.flat is not None:
            _unpin(self.flat)
            self.flat = None

    def go_home(self) -> None:
        """Let the module's weights be those at home."""
        for tensor, home in zip(self.tensors, self.homes, strict=True):
            tensor.data = home

    def move_in(self, slot: Tensor) -> None:
        """Let the module compute with what lies in `slot`."""
        for tensor, view in zip(self.tensors, self.views(slot, self.homes), strict=True):
            tensor.data = view


class Stream:
    """Blocks that are used one after another, over and over: two of them are on the device at any time.

    While one computes, the next is copied on a stream of its own. A block is fetched when one of its layers is about to
    compute, so what a step cache skips is not copied, and the blocks that wait at a forward's end serve the next one: a
    forward copies each block once. The host waits for nothing but, where weights are mapped, for the disk.
    """

    def __init__(self, modules: Sequence[nn.Module], *, budget: Budget, mapped: bool = False) -> None:
        """modules: in the order of their use. mapped: for machines whose memory does not hold them: leave the weights
        in the file that they are mapped from, and read each block when it is needed; so it is done, too, where the
        machine refuses to lock memory for the GPU.
        """
        self._budget = budget
        self._cuda = budget.device.type == "cuda"
        self._blocks = list[_Block]()
        for module in modules:
            block = _Block(module, pin=self._cuda, mapped=mapped)
            if not mapped and block.flat is None:
                log.warning("not_pinned: blocks are sent by way of a staging", extra={"bytes": block.bytes})
                mapped = True
                for earlier in self._blocks:
                    earlier.unlock()
            self._blocks.append(block)
        self._mapped = mapped
        self._slot_bytes = max(block.bytes for block in self._blocks)
        self._hooks = [hook for number, module in enumerate(modules) for hook in self._hooked(module, number)]
        self._in_slot: list[int | None] = [None] * _SLOTS  # which block each slot holds, or is being filled with
        self._slots: list[Tensor] = []
        self._stagings: list[Tensor] = []
        self._locked: list[Tensor] = []  # of the stagings
        self._current: int | None = None
        self._reader = ThreadPoolExecutor(1, "weights") if mapped else None
        self._reading: dict[int, Future[None]] = {}  # slot -> its block is being read from the file, and sent
        self._copied: list[Any] = [None] * _SLOTS  # event: the slot's block has arrived
        self._freed: list[Any] = [None] * _SLOTS  # event: what computed with the slot before is done
        self._copies: Any = None  # CUDA stream
        self.here = False

    @property
    def bytes(self) -> int:
        """Of all blocks: what a forward moves."""
        return sum(block.moved for block in self._blocks)

    @property
    def device_bytes(self) -> int:
        """That it takes on the device."""
        return _SLOTS * self._slot_bytes

    def bring(self) -> None:
        """Take the slots on the device, and begin to fill them. Raises: torch.OutOfMemoryError."""
        if self.here:
            return
        self._budget.hold(self.device_bytes)
        self.here = True
        try:
            with uncounted():
                for _ in range(_SLOTS):
                    slot = torch.empty(self._slot_bytes, dtype=torch.uint8, device=self._budget.device)
                    self._slots.append(slot)
        except torch.OutOfMemoryError:
            self.leave()
            raise
        if self._mapped and not self._stagings:
            self._stagings = [torch.empty(self._slot_bytes, dtype=torch.uint8) for _ in range(_SLOTS)]
            self._locked = [staging for staging in self._stagings if self._cuda and _pin(staging)]
        if self._cuda:
            self._copies = torch.cuda.Stream(self._budget.device)
            # the slots' memory may still be in use by what was computed before: the copies begin behind that
            self._copies.wait_stream(torch.cuda.current_stream(self._budget.device))
        for number in range(min(_SLOTS, len(self._blocks))):
            self._fetch(number, into=number)

    def leave(self) -> None:
        """Free the slots; the blocks are home."""
        if not self.here:
            return
        for future in self._reading.values():
            future.result()
        if self._cuda and self._copies is not None:
            self._copies.synchronize()
            torch.cuda.current_stream(self._budget.device).synchronize()
        if self._current is not None:
            self._blocks[self._current].go_home()
        self._slots.clear()
        self._reading.clear()
        self._in_slot, self._current = [None] * _SLOTS, None
        self._copied, self._freed = [None] * _SLOTS, [None] * _SLOTS
        self._budget.drop(self.device_bytes)
        self.here = False

    def close(self) -> None:
        """Leave for good: the modules are as they were, their weights in the machine's memory."""
        self.leave()
        for hook in self._hooks:
            hook.remove()
        if self._reader is not None:
            self._reader.shutdown()
        if self._cuda:
            for block in self._blocks:
                block.unlock()
        for staging in self._locked:
            _unpin(staging)

    def _hooked(self, module: nn.Module, number: int) -> list[RemovableHandle]:
        """Hear of each layer that is about to compute, or of the whole block where it is compiled."""
        if forward := forward_of(module):
            return [forward.on_arrival(lambda: self._touch(number))]
        return [
            layer.register_forward_pre_hook(lambda _module, _args: self._touch(number))
            for layer in module.modules()
            if next(chain(layer.parameters(recurse=False), layer.buffers(recurse=False)), None) is not None
        ]

    def _touch(self, number: int) -> None:
        """A layer of block `number` is about to compute."""
        current = self._current
        if number == current or not self.here:
            return
        with uncounted(), self._waiting():
            free = 0
            if current is not None:  # it has computed: its slot is free once the device is that far
                free = self._in_slot.index(current)
                self._blocks[current].go_home()
                if self._cuda:
                    self._freed[free] = torch.cuda.current_stream(self._budget.device).record_event()
            if number not in self._in_slot:
                self._fetch(number, into=free)
            slot = self._in_slot.index(number)
            if slot in self._reading:
                self._reading.pop(slot).result()
            if self._cuda:
                torch.cuda.current_stream(self._budget.device).wait_event(self._copied[slot])
            self._blocks[number].move_in(self._slots[slot])
            self._current = number
            following = (number + 1) % len(self._blocks)
            if following not in self._in_slot:
                self._fetch(following, into=1 - slot)

    def _fetch(self, number: int, *, into: int) -> None:
        """Begin to copy a block; where it is mapped, a thread reads it first."""
        if into in self._reading:
            self._reading.pop(into).result()
        self._in_slot[into] = number
        self._budget.brought += self._blocks[number].moved
        if self._reader is None:
            self._send(number, into)
        else:
            self._reading[into] = self._reader.submit(self._send, number, into)

    def _send(self, number: int, slot: int) -> None:
        block, source = self._blocks[number], self._blocks[number].flat
        if source is None:
            if self._copied[slot] is not None:
                self._copied[slot].synchronize()  # what was sent from this staging before has arrived
            source = self._stagings[slot]
            block.fill(source, block.homes)
        target, size = self._slots[slot], block.bytes
        if self._cuda:
            with torch.cuda.stream(self._copies):
                if self._freed[slot] is not None:
                    self._copies.wait_event(self._freed[slot])
                with self._copying():
                    target[:size].copy_(source[:size], non_blocking=True)
                self._copied[slot] = self._copies.record_event()
        else:
            with self._copying():
                target[:size].copy_(source[:size])

    def _copying(self) -> AbstractContextManager[None]:
        return nullcontext() if self._budget.watch is None else self._budget.watch.copying()

    def _waiting(self) -> AbstractContextManager[None]:
        return nullcontext() if self._budget.watch is None else self._budget.watch.waiting()


def _pin(flat: Tensor) -> bool:
    """Lock `flat` in memory where it is; torch's own pinned tensors take up to twice their size (powers of two).

    False where that is refused. CUDA keeps that as its last error, which the next kernel would be blamed for.
    """
    runtime: Any = torch.cuda.cudart()
    if int(runtime.cudaHostRegister(flat.data_ptr(), flat.nbytes, 0)) == 0:
        return True
    if hasattr(runtime, "cudaGetLastError"):
        runtime.cudaGetLastError()
    else:  # older torch does not name it: let a kernel take the blame, which clears it
        with suppress(RuntimeError):
            torch.ones(1, device="cuda")
    return False


def _unpin(flat: Tensor) -> None:
    torch.cuda.check_error(int(torch.cuda.cudart().cudaHostUnregister(flat.data_ptr())))
