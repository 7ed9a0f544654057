"""Operations that stop before each call to the store, and where a lock is held, until the test lets them go on or die.

Each runs in a thread of its own, but only one thread runs at a time, so an interleaving is what the test says it is.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterable, Iterator
from pathlib import Path
from typing import Literal, Self, TypeVar

from typing_extensions import override

from farm.errors import StoreError
from farm.store import Store

T = TypeVar("T")
Fate = Literal["go", "die", "die_after", "lose", "refuse", "break", "stale"]
FATES: tuple[Fate, ...] = ("die", "die_after", "lose", "refuse", "break", "stale")
_here = threading.local()


class Died(BaseException):
    """The process was killed here: nothing of it may catch this."""


class Operation:
    """One call of the farm's code, stopped before each call to a SteppedStore."""

    def __init__(self, call: Callable[[], object]) -> None:
        """It has begun, and stands before its first call to the store or is over."""
        self.answer: object = None
        self.error: BaseException | None = None
        self.over = False
        self._call = call
        self._fate: Fate = "go"
        self._mine, self._tests = threading.Semaphore(0), threading.Semaphore(0)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        self._tests.acquire()

    def go_on(self, fate: Fate = "go") -> None:
        """Let the call to the store that it stands before meet `fate`; returns at the next one, or at the end."""
        self._fate = fate
        self._mine.release()
        self._tests.acquire()
        if self.over:
            self._thread.join()

    def finish(self) -> None:
        """Let it come to its end, undisturbed."""
        while not self.over:
            self.go_on()

    def stand(self) -> Fate:
        """In the operation's own thread: wait until the test says what happens next."""
        self._tests.release()
        self._mine.acquire()
        return self._fate

    def _run(self) -> None:
        _here.operation = self
        try:
            self.answer = self._call()
        except BaseException as err:  # noqa: BLE001  # border: the waiting thread looks at it
            self.error = err
        self.over = True
        self._tests.release()


class SteppedLock:
    """A re-entrant lock: an operation that does not get it stands as it does before a call to the store."""

    def __init__(self) -> None:
        self._lock = threading.RLock()

    def __enter__(self) -> None:
        """Wait for it, or die waiting."""
        while not self._lock.acquire(blocking=False):
            if _here.operation.stand() in {"die", "die_after"}:
                raise Died

    def __exit__(self, *_: object) -> None:
        """Give it back."""
        self._lock.release()


class OneAfterTheOther:
    """In place of a ThreadPoolExecutor: what threads would do at the same time is done in the operation's own."""

    def __init__(self, *_: object, **__: object) -> None:
        """Starts nothing."""

    def __enter__(self) -> Self:
        """Itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing is left to wait for."""

    @staticmethod
    def map(call: Callable[[T], object], things: Iterable[T]) -> Iterator[object]:
        """As the executor's."""
        return map(call, things)


class SteppedStore(Store):
    """`store`, as operations see it. Without an operation in this thread it is `store` itself.

    die, die_after: the process ends before or after the call. lose: a put is done, and its writer hears that the key
    had an object, as after a client's own repetition. refuse, break: a StoreError before or after the call was done.
    stale: a list lacks its newest key.
    """

    def __init__(self, store: Store) -> None:
        """Passes everything on to `store`."""
        self.real = store

    @override
    def put_if_absent(self, key: str, data: bytes | Path) -> bool:
        fate, created = self._meet(lambda: self.real.put_if_absent(key, data))
        return created and fate != "lose"

    @override
    def get(self, key: str) -> bytes:
        return self._meet(lambda: self.real.get(key))[1]

    @override
    def list(self, prefix: str, *, after: str = "", limit: int | None = None) -> list[str]:
        fate, keys = self._meet(lambda: self.real.list(prefix, after=after, limit=limit))
        return keys[:-1] if fate == "stale" else keys

    @override
    def delete(self, key: str) -> None:
        self._meet(lambda: self.real.delete(key))

    @override
    def size(self, key: str) -> int:
        return self.real.size(key)

    @override
    def existing(self, keys: Collection[str]) -> set[str]:
        return self.real.existing(keys)

    @override
    def modified(self, key: str) -> float:
        return self.real.modified(key)

    @override
    def open_read(self, key: str, *, start: int = 0, length: int | None = None) -> Iterator[bytes]:
        return self.real.open_read(key, start=start, length=length)

    @override
    def download(self, key: str, path: Path) -> None:
        self.real.download(key, path)

    @override
    def prove(self) -> None:
        self.real.prove()

    @staticmethod
    def _meet(call: Callable[[], T]) -> tuple[Fate, T]:
        operation: Operation | None = getattr(_here, "operation", None)
        fate = operation.stand() if operation else "go"
        if fate == "die":
            raise Died
        if fate == "refuse":
            raise StoreError("the store does not answer")
        answer = call()
        if fate == "die_after":
            raise Died
        if fate == "break":
            raise StoreError("the store's answer got lost")
        return fate, answer
