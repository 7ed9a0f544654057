"""The farm erases what workers of ended videos wrote and did not commit, and nothing else."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from farm.contract import JobId
from farm.jobs import Jobs, Record
from farm.jobs.expiry import DAY_S
from farm.jobs.leftovers import Leftovers
from farm.ledger.layout import log_folder
from farm.ledger.states import Event
from farm.store import FolderStore

Accept = Callable[..., Record]


def left_by(jobs: Jobs, job_id: JobId, *, worker: str = "dead") -> str:
    """Lease an order, write a thumbnail for it, and let the lease expire: the worker was killed before its commit."""
    lease = jobs.ledger.append(job_id, Event(name="leased", key="encode", worker=worker))
    key = f"jobs/{job_id}/thumbnail.a{lease.seq}.png"
    jobs.store.put_if_absent(key, b"1")
    jobs.ledger.append(job_id, Event(name="expired", key="encode", attempt=lease.seq, worker=worker))
    return key


def cancel(jobs: Jobs, job_id: JobId) -> None:
    """End the video."""
    jobs.wish(job_id, "cancel", owner="local")


def is_there(store: FolderStore, key: str) -> bool:
    """Tell whether the object exists."""
    return key in store.list("jobs/")


def test_leftovers_go_an_hour_after_the_end(jobs: Jobs, store: FolderStore, accept: Accept) -> None:
    """An open video and a recent end keep them: a worker may still write. All other objects stay."""
    opened, ended = accept().job.id, accept().job.id
    kept, gone = left_by(jobs, opened), left_by(jobs, ended)
    cancel(jobs, ended)
    before = store.list("jobs/")
    Leftovers(jobs).erase_some(now_s=time.time() + 1)
    assert store.list("jobs/") == before
    Leftovers(jobs).erase_some(now_s=time.time() + 3700)
    assert store.list("jobs/") == [key for key in before if key != gone]
    assert is_there(store, kept)


def test_a_retry_keeps_its_objects(jobs: Jobs, store: FolderStore, accept: Accept) -> None:
    """A retry begins while the farm looks at the old end: what its worker has just written stays."""
    job_id = accept().job.id
    gone = left_by(jobs, job_id)
    cancel(jobs, job_id)
    new: list[str] = []
    list_keys = store.list

    def retry_first(prefix: str, *, after: str = "", limit: int | None = None) -> list[str]:
        if prefix == f"jobs/{job_id}/" and not new:
            jobs.wish(job_id, "retry", owner="local")
            lease = jobs.ledger.append(job_id, Event(name="leased", key="encode", worker="w"))
            new.append(f"jobs/{job_id}/conditioning.a{lease.seq}.safetensors")
            store.put_if_absent(new[0], b"1")
        return list_keys(prefix, after=after, limit=limit)

    store.list = retry_first  # type: ignore[method-assign]
    Leftovers(jobs).erase_some(now_s=time.time() + 3700)
    assert is_there(store, new[0])
    assert not is_there(store, gone)


def test_a_damaged_ledger_keeps_everything(jobs: Jobs, store: FolderStore, accept: Accept) -> None:
    """The damaged entry might name the object; the other videos' leftovers go."""
    bad, good = accept().job.id, accept().job.id
    kept, gone = left_by(jobs, bad), left_by(jobs, good)
    for job_id in (bad, good):
        cancel(jobs, job_id)
    (store.root / log_folder(bad) / "00000001.json").write_text("{")
    Leftovers(jobs).erase_some(now_s=time.time() + 3700)
    assert is_there(store, kept)
    assert not is_there(store, gone)


def test_each_call_looks_at_a_few_videos_and_a_walk_a_day(
    jobs: Jobs, store: FolderStore, accept: Accept, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The walk goes on where it was, ends, and begins again a day later; a video without lost attempts costs a look."""
    monkeypatch.setattr("farm.jobs.leftovers._AT_ONCE", 2)
    ids = [accept().job.id for _ in range(5)]
    keys = [left_by(jobs, job_id) for job_id in ids]
    for job_id in ids:
        cancel(jobs, job_id)
    walk, now_s = Leftovers(jobs), time.time() + 3700
    left = []
    for _ in range(3):
        walk.erase_some(now_s=now_s)
        left.append(sum(is_there(store, key) for key in keys))
    assert left == [3, 1, 0]
    store.put_if_absent(keys[0], b"1")
    walk.erase_some(now_s=now_s + DAY_S - 60)
    assert is_there(store, keys[0])
    for _ in range(3):
        walk.erase_some(now_s=now_s + DAY_S)
    assert not is_there(store, keys[0])
