"""Several variants of one video, asked for at once: all of them are accepted, or none.

The object `batches/<owner>/<id>.json` decides. It is put once every video's request and inputs are stored and before
the first ledger begins; a video of a batch without it is an accepting that died. Where accepting dies behind it, the
sweep that finds the videos' markers begins their ledgers.
"""

from __future__ import annotations

import re
from contextlib import suppress
from uuid import UUID, uuid5

from pydantic import ValidationError

from farm.contract import Batch, Job, JobId
from farm.errors import Damaged, NotFound
from farm.ledger import Ledger
from farm.ledger.layout import batch_key, request_key
from farm.ledger.notes import read_note
from farm.store import ObjectMissing, Store

_ID = re.compile(r"batch_[0-9a-f]{32}")


def batch_of(first: JobId, number: int) -> Batch:
    """The batch that begins with video `first`: the same ids for whoever asks with the same idempotency key."""
    root = UUID(first.removeprefix("video_"))
    others = (JobId(f"video_{uuid5(root, str(k)).hex}") for k in range(1, number))
    return Batch(id=f"batch_{root.hex}", videos=(first, *others))


def find_batch(store: Store, batch_id: str, *, owner: str) -> Batch:
    """An accepted batch of the owner's. Raises: NotFound; Damaged where it cannot be read."""
    if _ID.fullmatch(batch_id):
        with suppress(ObjectMissing):
            return read_note(store, batch_key(owner, batch_id), Batch)
    raise NotFound(f"no batch {batch_id[:60]!r}")


def is_accepted(store: Store, batch: Batch, owner: str) -> bool:
    """Whether the batch was accepted, and some of it is still there. Raises: Damaged."""
    try:
        find_batch(store, batch.id, owner=owner)
    except NotFound:
        return False
    return True


def lost_member(store: Store, job_id: JobId) -> bool:
    """Whether a video without a ledger is of an accepted batch, so that its ledger has to be begun. Raises: Damaged."""
    try:
        job = Job.model_validate_json(store.get(request_key(job_id)))  # the store's word: it may be deleted
    except (ObjectMissing, ValidationError):
        return False
    return job.batch is not None and is_accepted(store, job.batch, job.owner)


def forget_batch(store: Store, job: Job) -> None:
    """The video is being erased, its tombstone written: with its last video a batch goes too."""
    if job.batch is not None and not any(_is_there(store, other) for other in job.batch.videos if other != job.id):
        store.delete(batch_key(job.owner, job.batch.id))


def _is_there(store: Store, job_id: JobId) -> bool:
    """Whether the video is not deleted. Of two that are deleted at once, one sees the other's tombstone."""
    try:
        store.size(request_key(job_id))
        newest = Ledger(store).newest(job_id)
    except ObjectMissing:
        return False
    except Damaged:
        return True
    return newest is None or newest.state.status != "deleted"
