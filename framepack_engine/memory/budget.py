"""How many bytes of a device are in use, and their limit: a GPU's allocator enforces it, on the CPU `Budget` does.

Tensors are counted as torch makes them. So plans, and running out of memory, can be tried without a GPU, and a forward
of the big model can be counted on the meta device.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode, _disable_current_modes
from torch.utils._pytree import tree_leaves

from framepack_engine.memory.copying import Copier, copier_for


class LiveBytes(TorchDispatchMode):
    """Counts the bytes of live tensors that were made inside; a view counts nothing beside its storage."""

    def __init__(self, *, base: int = 0, limit: int | None = None) -> None:
        """base: bytes that were in use before. limit: more bytes raise torch.OutOfMemoryError."""
        super().__init__()
        self.live = self.peak = base
        self.limit = limit
        self._seen: dict[int, int] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        output = func(*args, **(kwargs or {}))
        known = {_storage(leaf)._cdata for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, torch.Tensor)}  # noqa: SLF001
        for leaf in tree_leaves(output):
            if isinstance(leaf, torch.Tensor):
                storage = _storage(leaf)
                key = storage._cdata  # noqa: SLF001 - what tells two storages apart
                if key not in known and key not in self._seen:
                    self._seen[key] = storage.nbytes()
                    weakref.finalize(storage, self._gone, key)
                    self._add(storage.nbytes())
        return output

    def _add(self, size: int) -> None:
        self.live += size
        if self.limit is not None and self.live > self.limit:
            raise _out_of_memory(size, self.live, self.limit)
        self.peak = max(self.peak, self.live)

    def _gone(self, key: int) -> None:
        self.live -= self._seen.pop(key)


class Budget:
    """A device's memory as a placement uses it: weights are held and dropped, computing is watched.

    cap_bytes: the most that may be in use; None: what the device has. On CUDA the allocator raises by itself; on the
    CPU this class raises the same error. copier: how weights come; None: the device's own.
    """

    def __init__(self, device: torch.device, *, cap_bytes: int | None = None, copier: Copier | None = None) -> None:
        self.device, self.copier = device, copier or copier_for(device)
        self.held = 0  #: bytes of weights on the device
        self.brought = 0  #: bytes of weights copied to the device so far
        self.peak = 0  #: the most in use so far, as far as it was watched
        self._cap_bytes = cap_bytes
        self._count: LiveBytes | None = None

    @property
    def cap_bytes(self) -> int | None:
        """The most that may be in use; a new cap holds at once."""
        return self._cap_bytes

    @cap_bytes.setter
    def cap_bytes(self, cap_bytes: int | None) -> None:
        self._cap_bytes = cap_bytes
        if self._count is not None:
            self._count.limit = cap_bytes

    @property
    def in_use(self) -> int:
        """Bytes of weights, and inside of `computing` of all tensors."""
        return self.held if self._count is None else self._count.live

    def hold(self, size: int) -> None:
        """Count weights that come to the device. Raises: torch.OutOfMemoryError; nothing is held then."""
        use = self.in_use + size
        if self._watches and use > (self.cap_bytes or 0):
            raise _out_of_memory(size, use, self.cap_bytes or 0)
        self.held += size
        self.peak = max(self.peak, use)
        if self._count is not None:
            self._count.live = use

    def drop(self, size: int) -> None:
        """Count weights that have left."""
        self.held -= size
        if self._count is not None:
            self._count.live -= size

    @contextmanager
    def computing(self) -> Iterator[None]:
        """Watch what is computed inside. Raises: torch.OutOfMemoryError if it does not fit."""
        if not self._watches or self._count is not None:
            yield
            return
        with LiveBytes(base=self.held, limit=self.cap_bytes) as count:
            self._count = count
            try:
                yield
            finally:
                self._count = None
                self.peak = max(self.peak, count.peak)

    @property
    def _watches(self) -> bool:
        return self.cap_bytes is not None and self.device.type == "cpu"


@contextmanager
def uncounted() -> Iterator[None]:
    """Hide the tensors made inside from `Budget.computing`: they are weights, or lie on the host."""
    with torch.inference_mode(mode=False), _disable_current_modes():  # weights outlive the mode that they are made in
        yield


def _storage(tensor: torch.Tensor) -> torch.UntypedStorage:
    return tensor.untyped_storage()


def _out_of_memory(size: int, use: int, limit: int) -> torch.OutOfMemoryError:
    mib = 1 << 20
    return torch.OutOfMemoryError(
        f"{size / mib:.1f} MiB more would make {use / mib:.1f} MiB in use; the limit is {limit / mib:.1f} MiB"
    )
