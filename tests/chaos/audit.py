"""The ledgers, read from the first entry to the last: what was promised, and what was kept."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field
from functools import partial

from farm.contract import JobId
from farm.errors import FarmError
from farm.jobs import Jobs
from farm.ledger import Entry
from farm.ledger.damage import verified
from farm.ledger.states import ENDED, accepted, advance
from farm.store import Store

_HOURS = 20  #: what is half made is given up after one, buried after two; each sweep removes one of several markers


@dataclass
class Books:
    """The sums over the ledgers of all videos."""

    videos: Counter[str] = field(default_factory=Counter)  #: status -> how many
    sections: int = 0  #: planned, of the videos that were completed
    committed: int = 0  #: sections
    leased: int = 0  #: sections: how often one was begun
    continued: int = 0  #: leases that began behind a saved step
    repeated: int = 0  #: leases of sections that ended with nothing to show
    other_repeated: int = 0  #: the same of encode, decode and finish
    begun: list[tuple[float, float]] = field(default_factory=list)  #: of each commit: when it was leased, committed
    faults: list[str] = field(default_factory=list)  #: broken promises


def read_books(jobs: Jobs) -> Books:
    """Read every ledger in the store, and every object that a commit names."""
    books = Books()
    for key in jobs.store.list("jobs/"):
        if key.endswith("/log/00000000.json"):
            _read(jobs, JobId(key.split("/")[1]), books)
    _tidy_later(jobs.store, books)
    return books


def _tidy_later(store: Store, books: Books) -> None:
    """Sweep as a dispatcher does in the hours to come: this removes the leftovers of faults, a second marker say."""
    for hours in range(1, _HOURS):
        later = Jobs(store, clock=partial(_hence, hours))
        for job_id in later.open_ids():
            later.sweep(job_id)
    books.faults += [f"the marker of {job_id} is still there after {_HOURS} hours" for job_id in Jobs(store).open_ids()]


def _hence(hours: int) -> float:
    return time.time() + 3700 * hours


def _read(jobs: Jobs, job_id: JobId, books: Books) -> None:
    entries = list(jobs.ledger.following(job_id, -1))
    state = entries[-1].state
    books.videos[state.status] += 1
    if state.status not in ENDED:
        books.faults.append(f"{job_id} has not ended: {state.status}")
    _replay(job_id, entries, books)
    _count(job_id, entries, books)
    if state.status == "completed":
        books.sections += jobs.request(job_id).plan.sections
    for entry in entries:
        if entry.event.name == "committed":
            for artifact in entry.event.artifacts.values():
                try:
                    verified(jobs.store, artifact)
                except FarmError as err:
                    books.faults.append(f"{job_id} entry {entry.seq}: {err}")


def _replay(job_id: JobId, entries: list[Entry], books: Books) -> None:
    """Each entry's state must be what its event makes of the one before, and epochs never fall."""
    state = accepted(entries[0].event)
    for seq, (before, entry) in enumerate(zip([None, *entries], entries, strict=False)):
        if before is not None:
            state = advance(state, entry.event, seq=seq, at=entry.at)
            if entry.epoch < before.epoch and entry.epoch:
                books.faults.append(f"{job_id} entry {seq}: epoch {entry.epoch} after {before.epoch}")
        if entry.seq != seq or entry.state != state:
            books.faults.append(f"{job_id} entry {seq} does not follow from the one before")
            return


def _count(job_id: JobId, entries: list[Entry], books: Books) -> None:
    commits: Counter[str] = Counter()
    leases: dict[int, Entry] = {}  # attempt -> the entry that leased it
    for entry in entries:
        event, key = entry.event, entry.event.key or ""
        is_section = key.startswith("section/")
        if event.name == "leased":
            leases[entry.seq] = entry
            books.leased += is_section
        elif event.name == "committed" and event.attempt is not None:
            commits[key] += 1
            books.committed += is_section
            books.begun.append((leases.pop(event.attempt).at, entry.at))
        elif event.name in {"released", "expired", "failed_attempt"} and event.attempt is not None:
            leases.pop(event.attempt)
            if "step" in event.artifacts:
                books.continued += 1
            elif is_section:
                books.repeated += 1
            else:
                books.other_repeated += 1
    books.faults += [f"{job_id}: {key} was committed {times} times" for key, times in commits.items() if times > 1]
