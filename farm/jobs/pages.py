"""A page of an owner's videos. The index gives the order; only the videos on the page are read."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from typing import Literal, NamedTuple

from farm.contract import Batch
from farm.errors import Damaged, NotFound
from farm.jobs.batches import find_batch
from farm.jobs.jobs import Jobs, Record
from farm.ledger.layout import index_folder, index_key, parse_index
from farm.ledger.states import OPEN, Status
from farm.store import ObjectMissing, Store

log = logging.getLogger(__name__)
MOST_READS = 500  #: videos that a page with a `status` reads at most
_NAMES = 1000  #: in one LIST of the index


class Page(NamedTuple):
    """Some of an owner's videos, and the place where the next page begins."""

    records: list[Record]
    has_more: bool
    last: str | None  #: the next page begins after this video: the last one here, or the last one that was read


def read_page(
    jobs: Jobs,
    *,
    owner: str,
    after: str | None = None,
    limit: int = 20,
    order: Literal["asc", "desc"] = "desc",
    status: Status | None = None,
    batch: str | None = None,
) -> Page:
    """Return up to `limit` of the owner's videos after the video `after`, newest first (desc) or oldest first (asc).

    With a status of open videos, only videos with a marker are read. With another status each video is read in turn,
    at most 500 a page: such a page may be short or even empty and still say `has_more`.
    Oldest first lists the owner's whole index, a thousand names a LIST; newest first lists only as far as needed.
    batch: only the videos of this batch.
    Raises: NotFound if there is no video `after` or no such batch.
    """
    prefix, cursor = index_folder(owner), index_key(jobs.get(after, owner=owner).job) if after else ""
    keys: Iterator[str]
    if batch is not None:
        keys = _of_batch(jobs, find_batch(jobs.store, batch, owner=owner), cursor, order)
    elif order == "desc":
        keys = _newest_first(jobs.store, prefix, cursor, limit + 1)
    else:
        keys = _oldest_first(jobs.store, prefix, cursor)
    marked = set(jobs.open_ids()) if status in OPEN else None
    found: list[Record] = []
    looks, last = 0, None
    for id_ in (found.job for found in map(parse_index, keys) if found):
        if marked is not None and id_ not in marked:
            continue
        if looks >= MOST_READS and status is not None and last is not None:  # without `last` the client could not go on
            return Page(found, has_more=True, last=last)
        record, looks = _read(jobs, id_, owner), looks + 1
        if record is not None and status in {None, record.head.state.status}:
            if len(found) == limit:
                return Page(found, has_more=True, last=found[-1].job.id)
            found.append(record)
        last = id_ if record else last
    return Page(found, has_more=False, last=found[-1].job.id if found else None)


def _read(jobs: Jobs, id_: str, owner: str) -> Record | None:
    try:
        return jobs.get(id_, owner=owner)
    except NotFound:  # its acceptance was interrupted before entry 0, or it was deleted just now
        return None
    except Damaged as err:  # the other videos still go on the page
        log.error("skip_damaged: %s", err, extra={"job_id": id_})  # noqa: TRY400
        return None


def _of_batch(jobs: Jobs, batch: Batch, cursor: str, order: Literal["asc", "desc"]) -> Iterator[str]:
    """Yield the index keys of a batch's videos after `cursor`."""
    keys = []
    for job_id in batch.videos:
        with contextlib.suppress(ObjectMissing):  # it was deleted
            keys.append(index_key(jobs.request(job_id)))
    newest_first = order == "desc"
    for key in sorted(keys, reverse=not newest_first):
        if not cursor or (key > cursor if newest_first else key < cursor):
            yield key


def _newest_first(store: Store, prefix: str, cursor: str, first: int) -> Iterator[str]:
    """Yield the index keys after `cursor`; list `first` of them at once, more on demand."""
    most = first
    while keys := store.list(prefix, after=cursor, limit=most):
        yield from keys
        if len(keys) < most:
            return
        cursor, most = keys[-1], _NAMES


def _oldest_first(store: Store, prefix: str, cursor: str) -> Iterator[str]:
    yield from (key for key in reversed(store.list(prefix)) if not cursor or key < cursor)
