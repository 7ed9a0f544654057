"""Exactly one writer wins each ledger entry, and a lost answer is not a lost race."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from farm.errors import Conflict, LeaseLost, NotFound, StoreError
from farm.jobs import Jobs, Record
from farm.ledger.states import Event
from farm.store import FolderStore

Accept = Callable[..., Record]


def test_of_many_leases_one_is_written(jobs: Jobs, accept: Accept) -> None:
    """Eight threads lease the same order at once: one writes the entry, seven get a Conflict."""
    job, head = accept()
    outcomes: list[str] = []

    def lease(worker: str) -> None:
        try:
            jobs.ledger.append(job.id, Event(name="leased", key="encode", worker=worker), after=head)
            outcomes.append(worker)
        except Conflict:
            outcomes.append("conflict")

    threads = [threading.Thread(target=lease, args=(f"w{n}",)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert outcomes.count("conflict") == 7
    (winner,) = set(outcomes) - {"conflict"}
    now = jobs.ledger.head(job.id)
    assert now.seq == 1
    assert now.state.leases["encode"].worker == winner
    assert now.state.leases["encode"].attempt == 1


class LostAnswer(FolderStore):
    """A store that loses its answer to the next put: the object exists, but the writer gets False."""

    lose = False

    def put_if_absent(self, key: str, data: bytes | Path) -> bool:
        """Put, and once report that the object existed."""
        won, lost = super().put_if_absent(key, data), self.lose
        self.lose = False
        return won and not lost


def test_a_lost_answer_is_not_a_lost_race(tmp_path: Path, accept: Accept, jobs: Jobs) -> None:
    """A writer recognises its own nonce and does not write the lease a second time."""
    job, head = accept()
    jobs.ledger.store = store = LostAnswer(jobs.ledger.store.root)  # type: ignore[attr-defined]
    store.lose = True
    entry = jobs.ledger.append(job.id, Event(name="leased", key="encode", worker="w"), after=head)
    assert entry.seq == 1
    assert jobs.ledger.head(job.id) == entry


class Stale(FolderStore):
    """A store whose lists lack the three newest objects."""

    def list(self, prefix: str, *, after: str = "", limit: int | None = None) -> list[str]:
        """List all but the newest three."""
        return super().list(prefix, after=after, limit=limit)[:-3]


def test_a_stale_list_costs_a_read(accept: Accept, jobs: Jobs) -> None:
    """Even with a stale list, the head is the newest entry and the next one follows it."""
    job, _ = accept()
    stale = Jobs(Stale(jobs.ledger.store.root))  # type: ignore[attr-defined]
    for name in ("pause", "resume", "pause", "resume", "cancel"):
        newest = stale.ledger.append(job.id, Event(name=name))
        assert stale.ledger.head(job.id) == jobs.ledger.head(job.id) == newest


def test_a_dispatcher_of_the_past_cannot_write(jobs: Jobs, accept: Accept) -> None:
    """Once a higher epoch has written, the ledger refuses an older dispatcher's event, but not a worker's commit."""
    job, _ = accept()
    jobs.ledger.append(job.id, Event(name="leased", key="encode", worker="w"), epoch=1)
    jobs.ledger.append(job.id, Event(name="pause"))
    jobs.ledger.append(job.id, Event(name="resume"))
    second = jobs.ledger.append(job.id, Event(name="released", key="encode", attempt=1), epoch=2)
    assert second.epoch == 2
    with pytest.raises(LeaseLost, match="newer dispatcher"):
        jobs.ledger.append(job.id, Event(name="leased", key="encode", worker="w"), epoch=1)
    lease = jobs.ledger.append(job.id, Event(name="leased", key="encode", worker="w"), epoch=2)
    commit = jobs.ledger.append(job.id, Event(name="committed", key="encode", attempt=lease.seq))
    assert commit.epoch == 2


def test_a_damaged_entry_is_named(jobs: Jobs, accept: Accept, store: FolderStore) -> None:
    """An unreadable entry is an error that names the object."""
    job, _ = accept()
    store.put_if_absent(f"jobs/{job.id}/log/00000001.json", b"{}")
    with pytest.raises(StoreError, match=r"log/00000001\.json is damaged"):
        jobs.ledger.head(job.id)


def test_no_ledger_no_video(jobs: Jobs) -> None:
    """A video without ledger entries does not exist."""
    with pytest.raises(NotFound):
        jobs.ledger.head("video_" + "0" * 32)  # type: ignore[arg-type]
