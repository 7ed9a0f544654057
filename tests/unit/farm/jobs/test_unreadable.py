"""An unreadable marker, claim or batch affects one video and no other."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
from fastapi.testclient import TestClient

from farm.contract import JobId
from farm.dispatch.dispatcher import Dispatcher
from farm.jobs import Jobs, Record
from farm.jobs.expiry import DAY_S, erase_expired
from farm.ledger.layout import batch_key, entry_key, log_folder
from farm.settings import FarmSettings
from farm.store import FolderStore
from tests.unit.farm.ingress.test_ingress import FILES, ask
from tests.unit.farm.jobs.test_batches import batch

Accept = Callable[..., Record]
GARBLED = [b"\x00\xff{", b"[1]", b'{"at": "soon", "id": 7}']


def hours_later(jobs: Jobs, hours: float) -> Jobs:
    """Return the same store with a later clock."""
    return Jobs(jobs.store, clock=lambda: time.time() + hours * 3600)


def garble(store: FolderStore, key: str, data: bytes) -> None:
    """Make an object unreadable."""
    assert store.get(key)
    (store.root / key).write_bytes(data)


def deleted(jobs: Jobs, accept: Accept, **fields: str) -> JobId:
    """Make a video and delete it."""
    job_id = accept(**fields).job.id
    jobs.wish(job_id, "cancel", owner="local")
    jobs.delete(job_id, owner="local")
    return job_id


@pytest.mark.parametrize("data", GARBLED)
def test_a_garbled_marker_keeps_no_farm_without_a_dispatcher(
    jobs: Jobs, accept: Accept, store: FolderStore, data: bytes
) -> None:
    """Despite the unreadable marker of a deleted video, the dispatcher starts, serves the others and erases it."""
    gone, waits = deleted(jobs, accept), accept().job.id
    garble(store, f"open/{gone}", data)
    dispatcher = Dispatcher(hours_later(jobs, 2), FarmSettings())
    dispatcher.sweep()
    assert dispatcher.live(waits)
    assert jobs.open_ids() == [waits]
    assert store.list(f"jobs/{gone}/") == []


@pytest.mark.parametrize("data", GARBLED)
def test_a_garbled_claim_stops_no_sweep(jobs: Jobs, accept: Accept, store: FolderStore, data: bytes) -> None:
    """FARM_KEEP_DAYS erases the video and the following ones; the claim stays, and fsck reports it."""
    ids = [accept(key=key).job.id for key in ("k", "l")]
    [claim] = [
        accept_claim for accept_claim in store.list("idempotency/") if ids[0].encode() in store.get(accept_claim)
    ]
    for job_id in ids:
        jobs.wish(job_id, "cancel", owner="local")
    garble(store, claim, data)
    _, has_more = erase_expired(hours_later(jobs, 48), 1, now_s=time.time() + 2 * DAY_S)
    assert not has_more
    assert store.list("owners/") == []
    assert store.list("idempotency/") == [claim]
    Dispatcher(hours_later(jobs, 72), FarmSettings())
    assert store.list("jobs/") == store.list("open/") == []


def test_an_entry_that_is_garbled_meanwhile_stops_no_sweep(jobs: Jobs, accept: Accept, store: FolderStore) -> None:
    """A ledger becomes unreadable while its video expires: the farm still erases the other videos."""
    bad, good = [accept().job.id for _ in range(2)]
    for job_id in (bad, good):
        jobs.wish(job_id, "cancel", owner="local")
    later = hours_later(jobs, 48)
    read = later.get

    def get(job_id: str, *, owner: str | None) -> Record:
        record = read(job_id, owner=owner)
        if job_id == bad:
            store.put_if_absent(entry_key(bad, record.head.seq + 1), b"{")
        return record

    later.get = get  # type: ignore[method-assign]
    erase_expired(later, 1, now_s=time.time() + 2 * DAY_S)
    assert [key.rpartition("_")[2] for key in store.list("owners/")] == [bad.removeprefix("video_")]
    assert store.list(log_folder(bad))


@pytest.mark.parametrize("data", GARBLED)
def test_a_garbled_claim_is_told_to_whoever_sends_the_key(http: TestClient, store: FolderStore, data: bytes) -> None:
    """A client that sends the key gets 409 with the claim's name; other keys work."""
    ask(http, headers={"Idempotency-Key": "k"})
    [claim] = store.list("idempotency/")
    garble(store, claim, data)
    answer = http.post("/v1/videos", data={"prompt": "a cat"}, files=FILES, headers={"Idempotency-Key": "k"})
    assert (answer.status_code, answer.json()["code"]) == (409, "damaged")
    assert claim in answer.json()["detail"]
    assert ask(http, headers={"Idempotency-Key": "l"})["status"] == "queued"


def test_a_garbled_batch_stops_no_dispatcher(http: TestClient, jobs: Jobs, store: FolderStore) -> None:
    """A video without a ledger waits until its batch can be read; a list of the batch reports the damage."""
    first = batch(http, n="2")["batch"]
    lost, waits = first["videos"]
    (store.root / entry_key(lost, 0)).unlink()
    garble(store, batch_key("local", first["id"]), b"{")
    dispatcher = Dispatcher(Jobs(store), FarmSettings())
    assert dispatcher.live(waits)
    assert set(jobs.open_ids()) == {lost, waits}
    answer = http.get(f"/v1/videos?batch={first['id']}")
    assert (answer.status_code, answer.json()["code"]) == (409, "damaged")


@pytest.mark.parametrize("name", ["request.json", "log/00000000.json"])
def test_a_damaged_entry_is_told_by_name(http: TestClient, store: FolderStore, name: str) -> None:
    """Every call for the video gets 409 with the entry's name and no Retry-After; the list shows the other videos."""
    bad, good = ask(http)["id"], ask(http)["id"]
    http.app.state.dependencies.jobs._requests.clear()  # type: ignore[attr-defined]
    garble(store, f"jobs/{bad}/{name}", b"{")
    path = f"/v1/videos/{bad}"
    for method, where in [
        ("GET", path),
        ("GET", f"{path}/content"),
        ("GET", f"{path}/events"),
        ("GET", f"{path}/webhook"),
        ("GET", f"{path}/export"),
        ("POST", f"{path}/cancel"),
        ("POST", f"{path}/remix"),
        ("DELETE", path),
    ]:
        answer = http.request(method, where, data={"prompt": "a"} if where.endswith("remix") else None)
        assert (answer.status_code, answer.json()["code"]) == (409, "damaged"), (method, where)
        assert f"jobs/{bad}/{name}" in answer.json()["detail"]
        assert "Retry-After" not in answer.headers
    assert [video["id"] for video in http.get("/v1/videos").json()["data"]] == [good]
