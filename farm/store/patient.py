"""A store for those who can wait: what it does not answer now is asked again, for as long as it makes sense."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TypeVar

from tenacity import RetryCallState, Retrying, retry_if_exception, wait_exponential
from typing_extensions import override

from farm.errors import Damaged, StoreError
from farm.store.protocol import Store, check_key

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
    log.warning("action=wait_for_store attempt=%d: %s", state.attempt_number, error)
