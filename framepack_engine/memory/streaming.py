"""Weights that live in the machine's memory and visit the device: whole parts (`Guest`), or block by block (`Stream`).

Nothing is copied back: the home copy is the truth, and a part leaves the device by forgetting. docs/decisions/0050 says
why diffusers' group offloading is not used.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import accumulate, chain
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from framepack_engine.memory.budget import Budget, uncounted
from framepack_engine.memory.copying import Mark
from framepack_engine.models.compiled import forward_of
from framepack_engine.models.weights import weights_of

log = logging.getLogger(__name__)
_ALIGN = 256  #: bytes; the CUDA allocator's alignment, so that kernels choose as for a tensor of its own
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
        """Copy the weights to the device. Raises: torch.OutOfMemoryError; the weights are at home then."""
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
        """Free the weights on the device."""
        if self.here:
            for tensor, home in self._home:
                tensor.data = home
            self._budget.drop(self.bytes)
            self.here = False


class _Block:
    """One block's weights, at home."""

    def __init__(self, module: nn.Module) -> None:
        self._tensors = weights_of([module])
        self._homes = [tensor.data.cpu() for tensor in self._tensors]
        ends = list(accumulate(-(-home.nbytes // _ALIGN) * _ALIGN for home in self._homes))
        self._offsets, self.bytes = [0, *ends[:-1]], ends[-1]
        self.moved = sum(home.nbytes for home in self._homes)
        self.go_home()

    def fill(self, flat: Tensor) -> None:
        """Copy the weights into `flat`, one after another."""
        for view, home in zip(self._views(flat), self._homes, strict=True):
            view.copy_(home)

    def settle(self, flat: Tensor) -> None:
        """Let `flat` be the home from now on."""
        self.fill(flat)
        self._homes = self._views(flat)
        self.go_home()

    def go_home(self) -> None:
        """Let the module's weights be those at home."""
        for tensor, home in zip(self._tensors, self._homes, strict=True):
            tensor.data = home

    def move_in(self, slot: Tensor) -> None:
        """Let the module compute with the weights in `slot`."""
        for tensor, view in zip(self._tensors, self._views(slot), strict=True):
            tensor.data = view

    def _views(self, flat: Tensor) -> list[Tensor]:
        return [
            flat[offset : offset + home.nbytes].view(home.dtype).view(home.shape)
            for offset, home in zip(self._offsets, self._homes, strict=True)
        ]


class _Source(Protocol):
    """Where blocks wait, and how they are sent from there."""

    def send(self, number: int, target: Tensor, *, slot: int, after: Mark) -> Callable[[], Mark]:
        """Send block `number` once the device has passed `after`. Returns: what gives the mark of its arrival."""

    def close(self) -> None:
        """Unlock all memory; the weights stay where they are."""


class _LockedHomes:
    """Blocks in locked memory, each in one piece. The device copies them by itself."""

    def __init__(self, blocks: Sequence[_Block], budget: Budget) -> None:
        """Raises: _Refused if the machine does not lock so much memory; nothing is locked then."""
        self._budget, self._flats = budget, list[Tensor]()
        try:
            for block in blocks:
                flat = torch.empty(block.bytes, dtype=torch.uint8)
                self._lock(flat)
                block.settle(flat)
        except BaseException:
            self.close()
            raise

    def _lock(self, flat: Tensor) -> None:
        if not self._budget.copier.lock(flat):
            raise _Refused(f"{flat.nbytes} bytes more than {sum(each.nbytes for each in self._flats)}")
        self._flats.append(flat)

    def send(self, number: int, target: Tensor, *, slot: int, after: Mark) -> Callable[[], Mark]:  # noqa: ARG002
        source = self._flats[number]
        arrival = self._budget.copier.copy(target[: source.nbytes], source, after=after)
        return lambda: arrival

    def close(self) -> None:
        while self._flats:
            self._budget.copier.unlock(self._flats.pop())


class _Refused(Exception):
    """The machine does not lock the memory."""


class _Staging:
    """Blocks that stay in the file that they are mapped from. A thread reads each one into a piece of locked memory."""

    def __init__(self, blocks: Sequence[_Block], budget: Budget) -> None:
        self._blocks, self._budget = blocks, budget
        size = max(block.bytes for block in blocks)
        self._pieces = [torch.empty(size, dtype=torch.uint8) for _ in range(_SLOTS)]
        self._locked = [piece for piece in self._pieces if budget.copier.lock(piece)]
        self._arrivals: list[Mark] = [None] * _SLOTS
        self._reader = ThreadPoolExecutor(1, "weights")

    def send(self, number: int, target: Tensor, *, slot: int, after: Mark) -> Callable[[], Mark]:
        return self._reader.submit(self._read, number, target, slot, after).result

    def _read(self, number: int, target: Tensor, slot: int, after: Mark) -> Mark:
        block, piece, copier = self._blocks[number], self._pieces[slot], self._budget.copier
        copier.sync(self._arrivals[slot])  # the piece is free when its last block has arrived
        block.fill(piece)
        self._arrivals[slot] = copier.copy(target[: block.bytes], piece[: block.bytes], after=after)
        return self._arrivals[slot]

    def close(self) -> None:
        self._reader.shutdown()
        while self._locked:
            self._budget.copier.unlock(self._locked.pop())


class Stream:
    """Blocks that compute one after another, over and over: two of them are on the device at any time.

    While one computes, the next is copied. A block is fetched when one of its layers is about to compute, so a block
    that a step cache skips is not copied. The blocks that wait at a forward's end serve the next one: a forward copies
    each block once.
    """

    def __init__(self, modules: Sequence[nn.Module], *, budget: Budget, mapped: bool = False) -> None:
        """modules: in the order of their use. mapped: leave the weights in the file that they are mapped from and read
        each block when it is needed, for machines with too little memory. A machine that refuses to lock memory for the
        GPU does the same.
        """
        self._budget = budget
        self._blocks = [_Block(module) for module in modules]
        self._slot_bytes = max(block.bytes for block in self._blocks)
        self._source = self._chosen_source(mapped=mapped)
        self._hooks = [hook for number, module in enumerate(modules) for hook in self._hooked(module, number)]
        self._slots: list[Tensor] = []
        self._in_slot: list[int | None] = [None] * _SLOTS  # the block that each slot holds, or waits for
        self._arrivals: list[Callable[[], Mark]] = [lambda: None] * _SLOTS  # of the slots' blocks
        self._freed: list[Mark] = [None] * _SLOTS  # the end of what computed with the slot's last block
        self._current: int | None = None
        self.here = False

    def _chosen_source(self, *, mapped: bool) -> _Source:
        if not mapped:
            try:
                return _LockedHomes(self._blocks, self._budget)
            except _Refused as err:
                log.warning("not_pinned: the machine refuses to lock %s; blocks are sent through a staging", err)
        return _Staging(self._blocks, self._budget)

    @property
    def bytes(self) -> int:
        """The bytes of all blocks: what a forward moves."""
        return sum(block.moved for block in self._blocks)

    @property
    def device_bytes(self) -> int:
        """The bytes of the slots on the device."""
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
        self._budget.copier.begin()  # earlier computing may still use the slots' memory
        for number in range(min(_SLOTS, len(self._blocks))):
            self._fetch(number, into=number)

    def leave(self) -> None:
        """Free the slots; the blocks are at home."""
        if not self.here:
            return
        try:
            for begun in self._arrivals:
                begun()  # raises what ended a copy
            self._budget.copier.finish()
        finally:
            if self._current is not None:
                self._blocks[self._current].go_home()
            self._slots.clear()
            self._in_slot, self._current = [None] * _SLOTS, None
            self._arrivals, self._freed = [lambda: None] * _SLOTS, [None] * _SLOTS
            self._budget.drop(self.device_bytes)
            self.here = False

    def close(self) -> None:
        """Leave for good: the modules are as they were, their weights in the machine's memory."""
        try:
            self.leave()
        finally:
            for hook in self._hooks:
                hook.remove()
            self._source.close()

    def _hooked(self, module: nn.Module, number: int) -> list[RemovableHandle]:
        """Call `_touch` before each layer computes, or before the whole block if it is compiled."""
        if forward := forward_of(module):
            return [forward.on_arrival(lambda: self._touch(number))]
        return [
            layer.register_forward_pre_hook(lambda _module, _args: self._touch(number))
            for layer in module.modules()
            if next(chain(layer.parameters(recurse=False), layer.buffers(recurse=False)), None) is not None
        ]

    def _touch(self, number: int) -> None:
        """Bring block `number`: one of its layers is about to compute."""
        current, copier = self._current, self._budget.copier
        if number == current or not self.here:
            return
        with uncounted():
            free = 0
            if current is not None:  # it has computed: its slot is free when the device has passed this point
                free = self._in_slot.index(current)
                self._blocks[current].go_home()
                self._freed[free] = copier.passed()
            if number not in self._in_slot:
                self._fetch(number, into=free)
            slot = self._in_slot.index(number)
            copier.wait(self._arrivals[slot])
            self._blocks[number].move_in(self._slots[slot])
            self._current = number
            following = (number + 1) % len(self._blocks)
            if following not in self._in_slot:
                self._fetch(following, into=1 - slot)

    def _fetch(self, number: int, *, into: int) -> None:
        self._in_slot[into] = number
        self._budget.brought += self._blocks[number].moved
        self._arrivals[into] = self._source.send(number, self._slots[into], slot=into, after=self._freed[into])
