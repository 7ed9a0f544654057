"""A page of an owner's videos. The index gives the order; the catalog knows the videos that lists showed before."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from itertools import islice
from typing import Literal, NamedTuple

from farm.contract import Batch, JobId
from farm.jobs.batches import find_batch
from farm.jobs.catalog import Catalog, Listed
from farm.jobs.jobs import Jobs
from farm.ledger.layout import index_folder, index_key, indexed_id
from farm.ledger.states import OPEN, Status
from farm.request import STARRED
from farm.store import ObjectMissing, Store
from framefarm_client.names import is_id

MOST_LOOKS = 500  #: at videos, for a page that shows only some
_LOOKS = 100  #: at once
_NAMES = 1000  #: in one LIST of the index


class Wanted(NamedTuple):
    """Which videos a page shows."""

    status: Status | Literal["open"] | None = None  #: open: all that has not ended
    q: str | None = None  #: letters of the prompt or the name
    starred: bool | None = None

    def fits(self, listed: Listed) -> bool:
        """Whether the page shows the video."""
        return (
            (self.status in {None, listed.status} or (self.status == "open" and listed.status in OPEN))
            and (self.q is None or self.q.casefold() in listed.text)
            and self.starred in {None, STARRED in listed.labels}
        )


ALL = Wanted()


class Page(NamedTuple):
    """Some of an owner's videos, and the place where the next page begins."""

    videos: list[Listed]
    has_more: bool
    last: str | None  #: the next page begins after this video: the last one here, or the last one that was looked at


def read_page(
    catalog: Catalog,
    *,
    owner: str,
    after: str | None = None,
    limit: int = 20,
    order: Literal["asc", "desc"] = "desc",
    wanted: Wanted = ALL,
    batch: str | None = None,
) -> Page:
    """Return up to `limit` of the owner's videos after the video `after`, newest first (desc) or oldest first (asc).

    With a status of open videos, only videos with a marker are looked at. If `wanted` leaves out others, each video is
    looked at in turn, at most 500 a page: such a page may be short or even empty and still say `has_more`.
    Oldest first lists the owner's whole index, a thousand names a LIST; newest first lists only as far as needed.
    batch: only the videos of this batch.
    Raises: NotFound if there is no video `after` or no such batch.
    """
    prefix, cursor = index_folder(owner), index_key(catalog.jobs.get(after, owner=owner).job) if after else ""
    store = catalog.jobs.store
    keys: Iterator[str]
    if batch is not None:
        keys = _of_batch(catalog.jobs, find_batch(store, batch, owner=owner), cursor, order)
    elif order == "desc":
        keys = _newest_first(store, prefix, cursor, limit + 1)
    else:
        keys = _oldest_first(store, prefix, cursor)
    ids = _ids(keys, catalog.jobs, wanted)
    found: list[Listed] = []
    looks, last, most = 0, None, limit + 1
    while chunk := list(islice(ids, most)):
        if looks >= MOST_LOOKS and wanted != ALL and last is not None:  # without it, no client could go on
            return Page(found, has_more=True, last=last)
        looks += len(chunk)
        for id_, listed in zip(chunk, catalog.look(chunk, owner=owner), strict=True):
            if listed is None:
                continue
            if wanted.fits(listed):
                if len(found) == limit:
                    return Page(found, has_more=True, last=found[-1].id)
                found.append(listed)
            last = id_
        most = max(min(_LOOKS, MOST_LOOKS - looks), 1)
    return Page(found, has_more=False, last=found[-1].id if found else None)


def _ids(keys: Iterator[str], jobs: Jobs, wanted: Wanted) -> Iterator[JobId]:
    """Yield the videos under these index keys. If only open ones are wanted, those with a marker."""
    if wanted.status == "open" or wanted.status in OPEN:
        marked = set(jobs.open_ids())
        keys = islice((key for key in keys if indexed_id(key) in marked), len(marked))
    return (JobId(id_) for id_ in map(indexed_id, keys) if is_id(id_))


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
