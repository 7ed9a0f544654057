"""/readyz names the part of the farm that fails, and recovers by itself."""

from __future__ import annotations

import errno
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from typing_extensions import override

from farm.errors import StoreError
from farm.ingress import ready
from farm.jobs import Jobs
from farm.store import FolderStore
from tests.unit.conftest import DispatcherHere


class Sick(FolderStore):
    """A folder on a disk that may be full, or that may hang."""

    full = False
    thawed = threading.Event()

    @override
    def put_if_absent(self, key: str, data: bytes | Path) -> bool:
        self.thawed.wait()
        if self.full:
            cause = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            raise StoreError(f"cannot write {key}: {cause.strerror}") from cause
        return super().put_if_absent(key, data)


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Sick]:
    """The disk works at first. A trial never counts for later, so each request makes one."""
    monkeypatch.setattr(ready, "_HOLDS_S", 0.0)
    sick = Sick(tmp_path / "storage")
    sick.thawed = threading.Event()
    sick.thawed.set()
    yield sick
    sick.thawed.set()


def test_a_full_disk_is_named_and_passes(http: TestClient, store: Sick) -> None:
    """503 names the store and the system's reason. With room again, the farm is ready. No object is left behind."""
    store.full = True
    answer = http.get("/readyz")
    assert (answer.status_code, answer.json()["code"], answer.headers["retry-after"]) == (503, "unavailable", "1")
    assert answer.json()["parts"] == {
        "store": "the store does not answer: No space left on device",
        "dispatcher": "ok",
    }
    store.full = False
    answer = http.get("/readyz")
    assert (answer.status_code, answer.json()["parts"]) == (200, {"store": "ok", "dispatcher": "ok"})
    assert store.list("probe/") == []


def test_a_store_that_hangs_is_not_waited_for(http: TestClient, store: Sick, monkeypatch: pytest.MonkeyPatch) -> None:
    """The answer still comes, and requests in the meantime start no further trials."""
    monkeypatch.setattr(ready, "_ANSWER_S", 0.1)
    before = threading.active_count()
    store.thawed.clear()
    for _ in range(20):
        assert "the store has not answered" in http.get("/readyz").json()["parts"]["store"]
    assert threading.active_count() < before + 10
    store.thawed.set()
    monkeypatch.setattr(ready, "_ANSWER_S", 5.0)
    assert http.get("/readyz").status_code == 200


def test_a_silent_dispatcher_is_named(http: TestClient, door: DispatcherHere) -> None:
    """The answer also says that the store works."""
    door.answers = False
    parts = http.get("/readyz").json()["parts"]
    assert parts["store"] == "ok"
    assert "dispatcher" in parts["dispatcher"]


def test_an_accepting_on_a_full_disk_stores_no_video(http: TestClient, store: Sick, jobs: Jobs) -> None:
    """The farm answers 503 with Retry-After and lists nothing; it accepts the same request once there is room."""
    store.full = True
    fields, key = {"prompt": "a cat", "model": "tiny-f1", "seconds": "1"}, {"Idempotency-Key": "k"}
    answer = http.post("/v1/videos", data=fields, headers=key)
    assert (answer.status_code, answer.json()["code"], answer.headers["retry-after"]) == (503, "unavailable", "1")
    assert http.get("/v1/videos").json()["data"] == []
    store.full = False
    video = http.post("/v1/videos", data=fields, headers=key).json()
    assert [found["id"] for found in http.get("/v1/videos").json()["data"]] == [video["id"]]


def test_what_killed_trials_left_is_removed_once_it_is_old(http: TestClient, store: Sick) -> None:
    """Objects of killed trials go after an hour; the start-up trial's result stays."""
    old, young = (f"probe/ready-{int(time.time()) - age}-{'0' * 32}" for age in (3700, 60))
    for key in (old, young, "probe/v1-0123456789abcdef.json"):
        store.put_if_absent(key, b"x")
    assert http.get("/readyz").status_code == 200
    assert store.list("probe/") == [young, "probe/v1-0123456789abcdef.json"]
