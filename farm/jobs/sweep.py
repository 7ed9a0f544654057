"""Look behind a marker: find the open video, or tidy up what an ended, deleted or abandoned one left."""

from __future__ import annotations

import contextlib

from farm.contract import JobId
from farm.jobs.batches import lost_member
from farm.jobs.erase import erase
from farm.ledger import Entry, Ledger
from farm.ledger.layout import entry_key, marker_key
from farm.ledger.notes import Mark, mark, mark_second, read_note, second_marker
from farm.ledger.states import ENDED, OPEN, Event
from farm.store import ObjectMissing, Store

_ABANDONED_S = 3600.0  #: age of a marker that still has no video: its writer has died


def sweep(ledger: Ledger, job_id: JobId, *, now_s: float) -> Entry | None:
    """Return the newest entry of the video if it has not ended; otherwise tidy up and return None."""
    newest = ledger.newest(job_id)
    if newest is None and lost_member(ledger.store, job_id):
        newest = ledger.begin(job_id, Event(name="accepted"))
    if newest is None:
        _give_up(ledger, job_id, now_s)
    elif newest.state.status in OPEN:
        return newest
    elif newest.state.status == "deleted":
        _bury(ledger, job_id, newest, now_s)
    else:
        _unmark(ledger, job_id, now_s)
    return None


def _unmark(ledger: Ledger, job_id: JobId, now_s: float) -> None:
    """Remove an ended video's marker, unless a retry or a deletion relies on it by now.

    Meanwhile a second marker stands in for it, so a restart finds the video even if we die between two writes.
    """
    store = ledger.store
    second = mark_second(store, job_id, at=now_s)
    store.delete(marker_key(job_id))
    newest = ledger.newest(job_id)
    if newest is not None and newest.state.status not in ENDED:
        mark(store, job_id, at=now_s)
    store.delete(second)
    with contextlib.suppress(ObjectMissing):
        other = second_marker(store, job_id)
        if other is not None and _is_old(store, other, now_s):  # left by a sweep that died
            store.delete(other)


def _give_up(ledger: Ledger, job_id: JobId, now_s: float) -> None:
    """Give up a video that has a marker but no ledger, once its acceptance must have died.

    The tombstone as entry 0 stops a process that was only suspended from accepting the video after all.
    """
    try:
        old = _is_old(ledger.store, marker_key(job_id), now_s)
    except ObjectMissing:  # another sweep was faster, or died when only its second marker was left
        _unmark(ledger, job_id, now_s)
        return
    if old and ledger.begin(job_id, Event(name="deleted")).state.status == "deleted":
        erase(ledger.store, job_id)


def _bury(ledger: Ledger, job_id: JobId, tombstone: Entry, now_s: float) -> None:
    """Remove a deleted video's ledger, and what an interrupted deletion or a late worker left."""
    if now_s - tombstone.at <= _ABANDONED_S:
        return
    erase(ledger.store, job_id)
    for seq in range(tombstone.seq + 1):  # the tombstone goes last: until then the marker leads to it
        ledger.store.delete(entry_key(job_id, seq))
    _unmark(ledger, job_id, now_s)


def _is_old(store: Store, marker: str, now_s: float) -> bool:
    """Tell whether a marker is older than an hour. Raises: ObjectMissing; Damaged."""
    return now_s - read_note(store, marker, Mark).at > _ABANDONED_S
