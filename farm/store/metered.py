"""A store whose answers are timed."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from typing_extensions import override

from farm.errors import StoreError
from farm.metrics import Meter
from farm.store.protocol import ObjectMissing, Store


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
