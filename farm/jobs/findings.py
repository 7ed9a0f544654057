"""The findings of a check of the store, and the questions that the check asks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import Literal

from farm.contract import JobId, Value, is_id
from farm.errors import Damaged
from farm.jobs.batches import lost_member
from farm.ledger import Entry, Ledger
from farm.ledger import layout as at
from farm.ledger.notes import second_marker
from farm.ledger.states import ENDED
from farm.store import ObjectMissing, Store

_NAMES = 1000  #: in one LIST

Kind = Literal["missing", "damaged", "ledger", "request", "unlisted", "unmarked", "dangling", "foreign"]


class Finding(Value):
    """One fault."""

    kind: Kind
    key: str
    video: str | None = None
    detail: str


class Look:
    """What a check asks of the store."""

    def __init__(self, store: Store, *, now: float, grace_s: float) -> None:
        """now: unix seconds. grace_s: younger objects do not count as dangling."""
        self.store, self.ledger, self.now, self.grace_s = store, Ledger(store), now, grace_s

    def exists(self, key: str) -> bool:
        """Tell whether the key has an object."""
        try:
            self.store.size(key)
        except ObjectMissing:
            return False
        return True

    def has_request(self, name: str) -> bool:
        """Tell whether `name` is the id of a video that has a request."""
        return is_id(name) and self.exists(at.request_key(JobId(name)))

    def keys(self, prefix: str) -> Iterator[str]:
        """Yield the keys below a prefix, however many there are."""
        return keys_below(self.store, prefix)

    def dangling(self, key: str, detail: str, video: str | None = None) -> Iterator[Finding]:
        """Yield the object if it is old enough to be sure."""
        try:
            age_s = self.now - self.store.modified(key)
        except ObjectMissing:
            return
        if age_s >= self.grace_s:
            yield Finding(kind="dangling", key=key, video=video or None, detail=detail)

    def all_dangling(self, keys: Iterable[str], detail: str, job: JobId) -> Iterator[Finding]:
        """Yield those of the video's objects that are old enough to be sure."""
        for key in keys:
            yield from self.dangling(key, detail, job)

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
        """Return the newest of these entries that can be read; `farm.jobs.check_video` reports the damaged ones."""
        for seq in reversed(seqs):
            with suppress(Damaged):
                return self.ledger.entry(job, seq)
        return None

    def ended(self, job: JobId, seqs: list[int]) -> Entry | None:
        """Return the newest of these entries if the video has ended."""
        head = self.newest(job, seqs)
        return head if head is not None and head.state.status in ENDED else None


def keys_below(store: Store, prefix: str) -> Iterator[str]:
    """Yield the keys below a prefix; list a thousand at a time."""
    after = ""
    while keys := store.list(prefix, after=after, limit=_NAMES):
        yield from keys
        after = keys[-1]


def seqs_of(keys: Iterable[str]) -> list[int]:
    """Return the numbers of the ledger entries among a video's keys."""
    return [seq for seq in map(at.parse_entry, keys) if seq is not None]
