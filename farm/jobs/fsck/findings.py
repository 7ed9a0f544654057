"""The findings of a check of the store, and the questions that the check asks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Literal

from farm.contract import JobId, Value
from farm.errors import Damaged, StoreError
from farm.jobs.batches import lost_member
from farm.ledger import Entry, Ledger
from farm.ledger import layout as at
from farm.ledger.notes import second_marker
from farm.ledger.states import ENDED
from farm.store import ObjectMissing, Store
from framefarm_client.names import is_id

Kind = Literal["missing", "damaged", "ledger", "request", "unlisted", "unmarked", "dangling", "leftover", "foreign"]

_BACKUP = "restore it from a backup"
_CURES: dict[Kind, str] = {
    "missing": f"{_BACKUP}, or delete the video",
    "damaged": f"{_BACKUP}, or delete the video",
    "ledger": f"{_BACKUP}; without it, the video has no events and no export, and without its newest entry, nothing",
    "request": f"{_BACKUP}; without it, nothing can be done with the video",
    "unlisted": "write the object of this key with the content {}",
    "unmarked": 'write the object of this key with the content {"at": 0}',
    "dangling": "framefarm fsck --delete-dangling",
    "leftover": "framefarm fsck --delete-dangling",
    "foreign": "move it elsewhere: it is not the farm's",
}


class Finding(Value):
    """One fault, or an object that nothing needs (`leftover`), which is no fault."""

    kind: Kind
    key: str
    video: str | None = None
    detail: str
    order: str | None = None  #: `--repair` has this order of the video done again, which makes the object again
    entry: int | None = None  #: the ledger entry that names the order's artifacts

    @property
    def cure(self) -> str:
        """The remedy that an operator has."""
        if self.order is not None:
            return "framefarm fsck --repair"
        if self.kind == "damaged" and self.video is None:  # a claim, a batch, presets or the seal
            return f"{_BACKUP}, or delete it"
        return _CURES[self.kind]


class Look:
    """The store as a check reads it."""

    def __init__(self, store: Store, *, now: float, grace_s: float) -> None:
        """now: unix seconds. grace_s: younger objects do not count as dangling."""
        self.store, self.ledger, self.now, self.grace_s = store, Ledger(store), now, grace_s

    def exists(self, key: str) -> bool:
        """Tell whether the key has an object."""
        return bool(self.store.existing({key}))

    def has_request(self, name: str) -> bool:
        """Tell whether `name` is the id of a video that has a request."""
        return is_id(name) and self.exists(at.request_key(JobId(name)))

    def dangling(
        self, key: str, detail: str, video: str | None = None, *, kind: Kind = "dangling"
    ) -> Iterator[Finding]:
        """Yield the object if it is old enough to be sure."""
        try:
            age_s = self.now - self.store.modified(key)
        except ObjectMissing:
            return
        if age_s >= self.grace_s:
            yield Finding(kind=kind, key=key, video=video or None, detail=detail)

    def all_dangling(self, keys: Iterable[str], detail: str, job: JobId) -> Iterator[Finding]:
        """Yield those of the video's objects that are old enough to be sure."""
        for key in keys:
            yield from self.dangling(key, detail, job)

    def explain(self, err: StoreError) -> str:
        """Return why an object cannot be read. Raises: StoreError if the store does not answer at all."""
        if not isinstance(err, Damaged):
            self.store.list(at.EPOCHS, limit=1)
        return str(err)

    def is_marked(self, job: JobId) -> bool:
        """Tell whether a restart finds the video: by its marker, or by the second one of a sweep that died."""
        marker = at.marker_key(job)
        # again: between our two looks a sweep may have restored the marker and removed the second one
        return self.exists(marker) or second_marker(self.store, job) is not None or self.exists(marker)

    def is_lost_member(self, job: JobId) -> bool:
        """Tell whether a sweep will begin the video's ledger. With a damaged batch, assume so."""
        try:
            return lost_member(self.store, job)
        except Damaged:
            return True

    def log(self, job: JobId) -> list[int]:
        """Return the numbers of the video's ledger entries."""
        return seqs_of(self.store.list(at.log_folder(job)))

    def newest(self, job: JobId, seqs: list[int]) -> Entry | None:
        """Return the newest of these entries that can be read. Raises: StoreError if the store does not answer."""
        for seq in reversed(seqs):
            try:
                return self.ledger.entry(job, seq)
            except StoreError as err:
                self.explain(err)  # `video_check` reports it
        return None

    def ended(self, job: JobId, seqs: list[int]) -> Entry | None:
        """Return the newest of these entries if the video has ended."""
        head = self.newest(job, seqs)
        return head if head is not None and head.state.status in ENDED else None


def seqs_of(keys: Iterable[str]) -> list[int]:
    """Return the numbers of the ledger entries among a video's keys."""
    return [seq for seq in map(at.parse_entry, keys) if seq is not None]
