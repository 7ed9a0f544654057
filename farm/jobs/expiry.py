"""Erase ended videos after FARM_KEEP_DAYS. The index, ordered by creation time, tells which ones to read."""

from __future__ import annotations

import logging
from collections.abc import Iterator

from farm.contract import Job
from farm.errors import Conflict, Damaged, NotFound, StoreError
from farm.jobs.jobs import Jobs, Record
from farm.ledger.layout import INDEX, parse_index
from farm.ledger.states import ENDED

log = logging.getLogger(__name__)
DAY_S = 86_400.0
_AT_ONCE = 10  #: videos: each takes seconds on S3, and the dispatcher does nothing else meanwhile


def expires_at(record: Record, keep_days: float | None) -> int | None:
    """Return the unix time from which an ended video may be erased; None: never, or it has not ended."""
    state = record.head.state
    if keep_days is None or state.ended_at is None or state.status not in ENDED:
        return None
    return int(state.ended_at + keep_days * DAY_S)


def erase_expired(jobs: Jobs, keep_days: float, *, now_s: float) -> tuple[list[Job], bool]:
    """Erase some videos that ended more than `keep_days` ago. Return them, and whether there may be more."""
    erased: list[Job] = []
    for record in _made_before(jobs, now_s - keep_days * DAY_S):
        due = expires_at(record, keep_days)
        if due is None or due > now_s:
            continue
        if len(erased) == _AT_ONCE:
            return erased, True
        try:
            jobs.delete(record.job.id, owner=record.job.owner)
        except (NotFound, Conflict):  # its user deletes or retries it just now
            continue
        except StoreError as err:
            log.warning("expire_skips: %s", err, extra={"job_id": record.job.id})
            continue
        log.info("expire_video", extra={"job_id": record.job.id})
        erased.append(record.asked)
    return erased, False


def _made_before(jobs: Jobs, before_s: float) -> Iterator[Record]:
    for key in jobs.store.list(INDEX):
        found = parse_index(key)
        if found is None or found.created_ms >= before_s * 1000:
            continue
        try:
            yield jobs.get(found.job, owner=None)
        except (NotFound, Damaged) as err:
            log.info("expire_skips: %s", err, extra={"key": key})
