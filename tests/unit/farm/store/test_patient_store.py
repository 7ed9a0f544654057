"""A worker's store repeats failed calls, so that no finished work is lost."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from typing_extensions import override

from farm.errors import StoreError
from farm.store import FolderStore, ObjectMissing
from farm.store.wrapped import PatientStore
from tests import patience


class Flaky(FolderStore):
    """A store whose calls fail `failures` times before they succeed."""

    failures = 0

    def _fail(self) -> None:
        if self.failures:
            self.failures -= 1
            raise StoreError("the store does not answer")

    @override
    def put_if_absent(self, key: str, data: bytes | Path) -> bool:
        self._fail()
        return super().put_if_absent(key, data)

    @override
    def get(self, key: str) -> bytes:
        self._fail()
        return super().get(key)

    @override
    def list(self, prefix: str, *, after: str = "", limit: int | None = None) -> list[str]:
        self._fail()
        return super().list(prefix, after=after, limit=limit)


@pytest.fixture
def flaky(tmp_path: Path) -> Flaky:
    """Open a store that has not failed yet."""
    return Flaky(tmp_path / "storage")


def patient(store: FolderStore, may_wait: Callable[[], bool] = lambda: True) -> PatientStore:
    """Wrap the store, with short pauses."""
    return PatientStore(store, may_wait=may_wait, longest_pause_s=0.01)


def test_troubles_are_waited_out(flaky: Flaky, tmp_path: Path) -> None:
    """Five failures of each call cost only time."""
    store = patient(flaky)
    flaky.failures = 5
    assert store.put_if_absent("a/b", b"1")
    flaky.failures = 5
    assert not store.put_if_absent("a/b", b"2")
    flaky.failures = 5
    assert store.get("a/b") == b"1"
    flaky.failures = 5
    assert store.list("a/") == ["a/b"]
    store.download("a/b", tmp_path / "out")
    assert b"".join(store.open_read("a/b", start=0, length=1)) == b"1"
    assert (store.size("a/b"), (tmp_path / "out").read_bytes()) == (1, b"1")
    store.delete("a/b")
    assert store.list("a/") == []


def test_what_is_missing_is_told_at_once(flaky: Flaky) -> None:
    """The store reports a missing object or a malformed key at once."""
    with pytest.raises(ObjectMissing):
        patient(flaky).get("a/none")
    with pytest.raises(StoreError, match="not an object key"):
        patient(flaky).get("../a")


def test_who_is_told_to_stop_waits_no_longer(flaky: Flaky) -> None:
    """If the store stays down, the call raises its failure once `may_wait` says no."""
    stopped, failed = threading.Event(), list[StoreError]()
    flaky.failures = 10**9

    def write() -> None:
        try:
            patient(flaky, lambda: not stopped.is_set()).put_if_absent("a", b"1")
        except StoreError as err:
            failed.append(err)

    writer = threading.Thread(target=write)
    writer.start()
    writer.join(0.2)
    assert writer.is_alive()
    stopped.set()
    writer.join(patience.patient(5))
    assert [str(err) for err in failed] == ["the store does not answer"]
