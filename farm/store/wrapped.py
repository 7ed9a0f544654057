"""Stores around a store: one measures each answer, one waits for the store, one refuses to wait."""

from __future__ import annotations

import logging
import time
from abc import abstractmethod
from collections.abc import Callable, Collection, Iterator
from functools import partial
from pathlib import Path
from typing import TypeVar

from tenacity import RetryCallState, Retrying, retry_if_exception, wait_exponential
from typing_extensions import override

from farm.errors import Damaged, StoreError
from farm.metrics import Meter
from farm.store.protocol import ObjectMissing, Store, check_key

log = logging.getLogger(__name__)
T = TypeVar("T")


class _WrappedStore(Store):
    """Another store, each of whose operations goes through `_run`."""

    def __init__(self, store: Store) -> None:
        self._store = store

    @abstractmethod
    def _run(self, operation: str, call: Callable[[], T]) -> T:
        """Return what `call` returns. operation: its name in the metrics."""

    @override
    def put_if_absent(self, key: str, data: bytes | Path) -> bool:
        return self._run("put", partial(self._store.put_if_absent, check_key(key), data))

    @override
    def get(self, key: str) -> bytes:
        return self._run("get", partial(self._store.get, check_key(key)))

    @override
    def open_read(self, key: str, *, start: int = 0, length: int | None = None) -> Iterator[bytes]:
        # only up to the first piece: the rest comes after `_run`
        return self._run("open", partial(self._store.open_read, check_key(key), start=start, length=length))

    @override
    def size(self, key: str) -> int:
        return self._run("size", partial(self._store.size, check_key(key)))

    @override
    def existing(self, keys: Collection[str]) -> set[str]:
        return self._run("existing", partial(self._store.existing, keys))

    @override
    def modified(self, key: str) -> float:
        return self._run("size", partial(self._store.modified, check_key(key)))

    @override
    def download(self, key: str, path: Path) -> None:
        self._run("download", partial(self._store.download, check_key(key), path))

    @override
    def list(self, prefix: str, *, after: str = "", limit: int | None = None) -> list[str]:
        return self._run("list", partial(self._store.list, prefix, after=after, limit=limit))

    @override
    def delete(self, key: str) -> None:
        self._run("delete", partial(self._store.delete, check_key(key)))

    @override
    def prove(self) -> None:
        self._store.prove()


class MeteredStore(_WrappedStore):
    """Another store whose seconds and errors are measured. A missing object does not count as an error."""

    def __init__(self, store: Store, meter: Meter) -> None:
        super().__init__(store)
        self._meter = meter

    @override
    def _run(self, operation: str, call: Callable[[], T]) -> T:
        begun = time.perf_counter()
        try:
            return call()
        except ObjectMissing:
            raise
        except StoreError:
            self._meter.add("framefarm_store_errors", operation=operation)
            raise
        finally:
            self._meter.observe("framefarm_store_seconds", time.perf_counter() - begun, operation=operation)


class HastyStore(_WrappedStore):
    """Another store whose silence holds up a few calls, not all of them.

    After a call that waited in vain, calls fail at once for `rest_s`. Calls that wait for a thread then do not add
    their own wait to that of the calls before them.
    """

    def __init__(self, store: Store, *, rest_s: int = 3, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(store)
        self._rest_s, self._clock, self._silent_until = rest_s, clock, -1.0

    @override
    def _run(self, operation: str, call: Callable[[], T]) -> T:
        if self._clock() < self._silent_until:
            raise StoreError("the store has just left a call without an answer", retry_after_s=self._rest_s)
        try:
            result = call()
        except StoreError as err:
            if err.facts.get("hangs"):
                self._silent_until = self._clock() + self._rest_s
            raise
        self._silent_until = -1.0
        return result


class PatientStore(_WrappedStore):
    """Another store whose failures are waited out: a full disk, a server that is down.

    Workers use it, so that a finished section is not lost because it cannot be written this minute. A missing or
    damaged object is reported at once.
    """

    def __init__(self, store: Store, *, may_wait: Callable[[], bool], longest_pause_s: float = 2.0) -> None:
        """`may_wait` is asked after each failure; once it says no, the failure is raised."""
        super().__init__(store)
        self._may_wait, self._longest_pause_s = may_wait, longest_pause_s

    @override
    def _run(self, operation: str, call: Callable[[], T]) -> T:
        asking = Retrying(
            retry=retry_if_exception(self._passes),
            wait=wait_exponential(multiplier=0.1, max=self._longest_pause_s),
            before_sleep=_log_wait,
            reraise=True,
        )
        return asking(call)

    def _passes(self, err: BaseException) -> bool:
        return isinstance(err, StoreError) and not isinstance(err, Damaged) and self._may_wait()


def _log_wait(state: RetryCallState) -> None:
    error = state.outcome.exception() if state.outcome else None
    log.warning("wait_for_store: %s", error, extra={"attempt": state.attempt_number})
