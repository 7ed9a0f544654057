"""Erase a deleted video, or one that was never accepted: everything but its ledger and its marker.

Also objects that have expired.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable

from farm.contract import Job, JobId
from farm.errors import StoreError
from farm.jobs.batches import forget_batch
from farm.jobs.embeddings import forget_embeddings
from farm.ledger.damage import skipping_damaged
from farm.ledger.layout import index_key, log_folder, marker_key, request_key, video_folder
from farm.ledger.notes import Claim, Mark, read_note
from farm.store import ObjectMissing, Store, keys_below

log = logging.getLogger(__name__)
_AT_ONCE = 200  #: expired objects: the dispatcher does nothing else meanwhile
_FAILURES = 5  #: in a row


def erase(store: Store, job_id: JobId) -> None:
    """Remove everything of a video but its ledger and its marker; go on where an earlier try was cut short."""
    job = None
    with contextlib.suppress(ObjectMissing):
        job = read_note(store, request_key(job_id), Job)
        store.delete(index_key(job))
        _unclaim(store, job_id, job.idempotency)
    with skipping_damaged(job_id), contextlib.suppress(ObjectMissing):
        _unclaim(store, job_id, read_note(store, marker_key(job_id), Mark).claim)
    forget_embeddings(store, job_id)
    last = request_key(job_id)
    for key in store.list(video_folder(job_id)):
        if not key.startswith(log_folder(job_id)) and key != last:
            store.delete(key)
    if job is not None:
        forget_batch(store, job)
    store.delete(last)  # it alone says which batch the video belongs to


class Eraser:
    """Erases what has expired below a folder: some at each call, from where the last one stopped."""

    def __init__(self, store: Store, folder: str) -> None:
        self._store, self._folder, self._after = store, folder, ""

    def erase_some(self, is_over: Callable[[str], bool]) -> bool:
        """Erase objects whose keys are over; tell whether there may be more. The next call begins behind those.

        Stop at some that cannot be erased: there may be many. Raises: StoreError if the store lists no keys.
        """
        erased = failed = 0
        for key in filter(is_over, keys_below(self._store, self._folder, after=self._after)):
            if erased == _AT_ONCE or failed == _FAILURES:
                return True
            try:
                self._store.delete(key)
                erased, failed = erased + 1, 0
            except StoreError as err:
                failed += 1
                log.warning("erase_failed: %s", err, extra={"key": key})
            self._after = key
        self._after = ""
        return False


def _unclaim(store: Store, job_id: JobId, claim: str | None) -> None:
    """Free the Idempotency-Key, unless it already stands for a later video or cannot be read."""
    with skipping_damaged(job_id), contextlib.suppress(ObjectMissing):
        if claim and read_note(store, claim, Claim).id == job_id:
            store.delete(claim)
