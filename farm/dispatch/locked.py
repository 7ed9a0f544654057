"""A value that can be reached only while its lock is held."""

from __future__ import annotations

import threading
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Generic, TypeVar

T = TypeVar("T")


class Locked(Generic[T]):
    """`with locked as value:` takes the lock and gives the value. Keep no reference to it beyond the block."""

    def __init__(self, value: T, lock: AbstractContextManager[object] | None = None) -> None:
        """lock: replaces the re-entrant lock, in tests."""
        self._value, self._lock = value, lock or threading.RLock()

    def __enter__(self) -> T:
        self._lock.__enter__()
        return self._value

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._lock.__exit__(kind, error, trace)
