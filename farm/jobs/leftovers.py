"""Erase what workers of ended videos wrote and did not commit. The dispatcher looks at each video about once a day."""

from __future__ import annotations

import logging

from farm.contract import JobId
from farm.jobs.jobs import Jobs
from farm.ledger import Entry, Ledger
from farm.ledger.damage import look_at_each
from farm.ledger.layout import INDEX, parse_attempt, parse_index, video_folder
from farm.ledger.states import ENDED, JobState

log = logging.getLogger(__name__)
_AT_ONCE = 16  #: videos: the dispatcher does nothing else meanwhile
_REST_S = 86_400.0  #: from the end of one walk over the index to the next
_LATE_S = 3600.0  #: after a video's end, its last workers have stopped writing


class Leftovers:
    """A walk over the index that goes on at each call and begins again after a day."""

    def __init__(self, jobs: Jobs) -> None:
        self._ledger = jobs.ledger
        self._after, self._rest_until_s = "", 0.0

    def erase_some(self, *, now_s: float) -> None:
        """Look at the next videos. Skip those whose ledgers cannot be read. now_s: unix seconds. Raises: StoreError."""
        if now_s < self._rest_until_s:
            return
        keys = self._ledger.store.list(INDEX, after=self._after, limit=_AT_ONCE)
        found = [listed.job for listed in map(parse_index, keys) if listed]
        look_at_each(lambda job_id: _erase(self._ledger, job_id, now_s), found)
        is_last = len(keys) < _AT_ONCE
        self._after = "" if is_last else keys[-1]
        self._rest_until_s = now_s + _REST_S if is_last else 0.0


def _erase(ledger: Ledger, job_id: JobId, now_s: float) -> None:
    """Erase the leftovers of a video that ended an hour ago.

    The end voids every lease before it, so no later entry can name these objects. The attempts of a retry have higher
    numbers: their objects stay. Raises: Damaged if an entry cannot be read; then everything stays.
    """
    end = ledger.newest(job_id)
    if end is None or end.state.status not in ENDED or now_s - (end.state.ended_at or 0.0) < _LATE_S or _lost_none(end):
        return
    attempts = range(1, end.seq)
    keys = [key for key in ledger.store.list(video_folder(job_id)) if parse_attempt(key) in attempts]
    if not keys:
        return
    entries = [ledger.entry(job_id, seq) for seq in range(end.seq + 1)]
    named = {artifact.key for entry in entries for artifact in entry.event.artifacts.values()}
    leased = {entry.seq for entry in entries if entry.event.name == "leased"}
    for key in keys:
        if key not in named and parse_attempt(key) in leased:
            ledger.store.delete(key)
            log.info("erase_leftover", extra={"job_id": job_id, "key": key})


def _lost_none(end: Entry) -> bool:
    """Tell whether the ledger holds a lease and a commit for each artifact and nothing else: no attempt was lost."""
    return end.end == 2 * _commits(end.state)


def _commits(state: JobState) -> int:
    """Return how many of the video's artifacts were committed here: entry 0 names those of another video."""
    return sum(map(bool, (state.conditioning, state.video, *state.sections, *state.clips.values())))
