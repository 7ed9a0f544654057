"""Stores around a store: one times its answers, one asks again while it makes sense."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TypeVar

from tenacity import RetryCallState, Retrying, retry_if_exception, wait_exponential
from typing_extensions import override

from farm.errors import Damaged, StoreError
from farm.metrics import Meter
from farm.store.protocol import ObjectMissing, Store, check_key


class MeteredStore(Store):
    """Another store; each operation's seconds and errors are counted. That a key has no object is no error."""

    def __init__(self, store: Store, meter: Meter) -> None:
        self._store, self._meter = store, meter

    @override
    def put_if_absent(self, key: str, data: bytes | Path) -> bool:
        with self._timed("put"):
            return self._store.put_if_absent(key, data)

    @override
    def get(self, key: str) -> bytes:
        with self._timed("get"):
            return self._store.get(key)

    @override
    def open_read(self, key: str, *, start: int = 0, length: int | None = None) -> Iterator[bytes]:
        with self._timed("open"):  # up to the first piece
            return self._store.open_read(key, start=start, length=length)

    @override
    def size(self, key: str) -> int:
        with self._timed("size"):
            return self._store.size(key)

    @override
    def modified(self, key: str) -> float:
        with self._timed("size"):
            return self._store.modified(key)

    @override
    def download(self, key: str, path: Path) -> None:
        with self._timed("download"):
            self._store.download(key, path)

    @override
    def list(self, prefix: str, *, after: str = "", limit: int | None = None) -> list[str]:
        with self._timed("list"):
            return self._store.list(prefix, after=after, limit=limit)

    @override
    def delete(self, key: str) -> None:
        with self._timed("delete"):
            self._store.delete(key)

    @override
    def presigned(self, key: str, *, expires_s: int) -> str | None:
        return self._store.presigned(key, expires_s=expires_s)

    @override
    def prove(self) -> None:
        self._store.prove()

    @contextmanager
    def _timed(self, operation: str) -> Iterator[None]:
        begun = time.perf_counter()
        try:
            yield
        except ObjectMissing:
            raise
        except StoreError:
            self._meter.add("framefarm_store_errors", operation=operation)
            raise
        finally:
            self._meter.observe("framefarm_store_seconds", time.perf_counter() - begun, operation=operation)


log = logging.getLogger(__name__)
T = TypeVar("T")


class PatientStore(Store):
    """Another store, whose troubles are waited out: a full disk, a server that is away.

    A worker uses it, so that a finished section is not thrown away because it cannot be written this minute. An object
    that is missing or damaged is told at once.
    """

    def __init__(self, store: Store, *, may_wait: Callable[[], bool], longest_pause_s: float = 2.0) -> None:
        """`may_wait` is asked after each failure; once it says no, the failure is raised."""
        self._store, self._may_wait, self._longest_pause_s = store, may_wait, longest_pause_s

    @override
    def put_if_absent(self, key: str, data: bytes | Path) -> bool:
        return self._patiently(partial(self._store.put_if_absent, check_key(key), data))

    @override
    def get(self, key: str) -> bytes:
        return self._patiently(partial(self._store.get, check_key(key)))

    @override
    def open_read(self, key: str, *, start: int = 0, length: int | None = None) -> Iterator[bytes]:
        return self._patiently(partial(self._store.open_read, check_key(key), start=start, length=length))

    @override
    def size(self, key: str) -> int:
        return self._patiently(partial(self._store.size, check_key(key)))

    @override
    def modified(self, key: str) -> float:
        return self._patiently(partial(self._store.modified, check_key(key)))

    @override
    def download(self, key: str, path: Path) -> None:
        self._patiently(partial(self._store.download, check_key(key), path))

    @override
    def list(self, prefix: str, *, after: str = "", limit: int | None = None) -> list[str]:
        return self._patiently(partial(self._store.list, prefix, after=after, limit=limit))

    @override
    def delete(self, key: str) -> None:
        self._patiently(partial(self._store.delete, check_key(key)))

    @override
    def presigned(self, key: str, *, expires_s: int) -> str | None:
        return self._store.presigned(key, expires_s=expires_s)

    @override
    def prove(self) -> None:
        self._store.prove()

    def _patiently(self, call: Callable[[], T]) -> T:
        asking = Retrying(
            retry=retry_if_exception(self._passes),
            wait=wait_exponential(multiplier=0.1, max=self._longest_pause_s),
            before_sleep=_tell,
            reraise=True,
        )
        return asking(call)

    def _passes(self, err: BaseException) -> bool:
        return isinstance(err, StoreError) and not isinstance(err, Damaged) and self._may_wait()


def _tell(state: RetryCallState) -> None:
    error = state.outcome.exception() if state.outcome else None
    log.warning("wait_for_store: %s", error, extra={"attempt": state.attempt_number})
