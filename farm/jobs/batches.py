"""A batch: several variants of one video in one request. The farm accepts all of them or none.

The object `batches/<owner>/<id>.json` decides. The ingress writes it once every video's request and inputs are stored,
and before the first ledger begins. Without it, the acceptance was interrupted and none of the videos exists. With it,
a sweep that finds a video's marker but no ledger begins the ledger.
"""

from __future__ import annotations

import re
from contextlib import suppress
from uuid import UUID, uuid5

from farm.contract import Batch, Job, JobId
from farm.errors import Damaged, NotFound
from farm.ledger import Ledger
from farm.ledger.layout import batch_key, request_key
from farm.ledger.notes import read_note
from farm.store import ObjectMissing, Store

_ID = re.compile(r"batch_[0-9a-f]{32}")


def batch_of(first: JobId, number: int) -> Batch:
    """Return the batch that begins with video `first`. The same `first` gives the same ids."""
    root = UUID(first.removeprefix("video_"))
    others = (JobId(f"video_{uuid5(root, str(k)).hex}") for k in range(1, number))
    return Batch(id=f"batch_{root.hex}", videos=(first, *others))


def find_batch(store: Store, batch_id: str, *, owner: str) -> Batch:
    """Return an accepted batch of this owner. Raises: NotFound; Damaged if it cannot be read."""
    if _ID.fullmatch(batch_id):
        with suppress(ObjectMissing):
            return read_note(store, batch_key(owner, batch_id), Batch)
    raise NotFound(f"no batch {batch_id[:60]!r}")


def is_accepted(store: Store, batch: Batch, owner: str) -> bool:
    """Tell whether the batch was accepted and some of its videos are left. Raises: Damaged."""
    try:
        find_batch(store, batch.id, owner=owner)
    except NotFound:
        return False
    return True


def lost_member(store: Store, job_id: JobId) -> bool:
    """Tell whether a video without a ledger is in an accepted batch, so that a sweep must begin it. Raises: Damaged."""
    try:
        job = read_note(store, request_key(job_id), Job)  # not from a cache: the video may be deleted
    except Damaged:
        return False
    return job.batch is not None and is_accepted(store, job.batch, job.owner)


def forget_batch(store: Store, job: Job) -> None:
    """Erase the batch with its last video. The video's ledger must end in a tombstone by now."""
    if job.batch is not None and not any(_is_there(store, other) for other in job.batch.videos if other != job.id):
        store.delete(batch_key(job.owner, job.batch.id))


def _is_there(store: Store, job_id: JobId) -> bool:
    """Tell whether the video is not deleted. Of two deleted at once, one sees the other's tombstone."""
    try:
        store.size(request_key(job_id))
        newest = Ledger(store).newest(job_id)
    except ObjectMissing:
        return False
    except Damaged:
        return True
    return newest is None or newest.state.status != "deleted"
