"""A video's ledger: numbered entries, each created once with put-if-absent. The store decides every race.

There are no locks. A writer finds the head, asks `states.advance` whether its event is legal there, and creates the
next entry. If another writer was faster, it reads that entry and begins again.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple
from uuid import uuid4

from pydantic import ValidationError

from farm.contract import Artifact, JobId, Value
from farm.errors import Damaged, FarmError, LeaseLost, NotFound
from farm.ledger.layout import EPOCHS, entry_key, epoch_key, log_folder, parse_epoch
from farm.ledger.states import Event, JobState, accepted, advance
from farm.store import ObjectMissing, Store


class Entry(Value):
    """One ledger entry: the event, and the state it led to."""

    seq: int
    nonce: str  #: identifies our own entry if the answer to a put got lost
    epoch: int  #: of the dispatcher that wrote it or gave the lease; a user's wish copies the head's
    at: float  #: unix seconds, for people; no decision depends on it
    event: Event
    state: JobState

    @property
    def end(self) -> int:
        """The entry that ended the video. Edits may follow it."""
        return self.seq if self.state.end is None else self.state.end


class Ledger:
    """Reads and extends the logs of videos in `store`."""

    def __init__(self, store: Store, *, clock: Callable[[], float] = time.time) -> None:
        """`clock` gives unix seconds."""
        self.store, self._clock = store, clock

    def begin(self, job: JobId, event: Event) -> Entry:
        """Write entry 0: `accepted` makes the video exist; `deleted` makes sure that it never will.

        Return the entry 0 that exists now, ours or not.
        """
        entry = self._entry(0, event, accepted(event), epoch=0)
        return entry if self._put(job, entry) else self.entry(job, 0)

    def append(
        self,
        job: JobId,
        event: Event,
        *,
        epoch: int = 0,
        after: Entry | None = None,
        check: Callable[[JobState], None] = lambda _: None,
    ) -> Entry:
        """Write `event` after the head and return its entry; start to look for the head at `after`.

        check: gets the state that `event` would follow, and may raise, for rules that need more than the state.
        Raises: Conflict or LeaseLost if the event is not legal there; LeaseLost if a dispatcher of a higher epoch has
        written; NotFound if there is no such video.
        """
        head = _alive(job, self._listed(job)) if after is None else self.head(job, after=after)
        while True:
            try:
                entry = self._next(head, event, epoch=epoch, check=check)
            except FarmError:
                newest = self.head(job, after=head)  # a stale LIST costs a GET, never correctness
                if newest.seq == head.seq:
                    raise
                head = newest
                continue
            if self._put(job, entry):
                return entry
            head = self.head(job, after=head)

    def _next(self, head: Entry, event: Event, *, epoch: int, check: Callable[[JobState], None]) -> Entry:
        """Return the entry behind `head` that `event` makes. Raises: FarmError if it is not legal there."""
        if 0 < epoch < head.epoch:
            raise LeaseLost(f"a newer dispatcher (epoch {head.epoch}) is in charge", epoch=head.epoch)
        check(head.state)
        at = self._clock()
        state = advance(head.state, event, seq=head.seq + 1, at=at)
        return self._entry(head.seq + 1, event, state, epoch=epoch or head.epoch, at=at)

    def head(self, job: JobId, *, after: Entry | None = None) -> Entry:
        """Return the newest entry. Raises: NotFound if there is none or the video was deleted."""
        return _alive(job, self.newest(job, after=after))

    def newest(self, job: JobId, *, after: Entry | None = None) -> Entry | None:
        """Return the newest entry, also a tombstone; None if there is none. Start to look at `after`."""
        if after is None and (after := self._listed(job)) is None:
            return None
        for entry in self.following(job, after.seq):
            after = entry
        return after

    def _listed(self, job: JobId) -> Entry | None:
        """Return the newest entry that a LIST tells."""
        keys = self.store.list(log_folder(job))
        try:
            return self._read(keys[-1]) if keys else self.entry(job, 0)
        except ObjectMissing:
            return None

    def moved(self, known: Mapping[JobId, int]) -> set[JobId]:
        """Return those of the videos that have an entry after the one whose seq is known."""
        keys = {entry_key(job, seq + 1): job for job, seq in known.items()}
        return {keys[key] for key in self.store.existing(keys)}

    def following(self, job: JobId, seq: int) -> Iterator[Entry]:
        """Yield the entries after `seq` that exist now, in order."""
        while True:
            seq += 1
            try:
                yield self.entry(job, seq)
            except ObjectMissing:
                return

    def entry(self, job: JobId, seq: int) -> Entry:
        """Return entry `seq`. Raises: ObjectMissing."""
        return self._read(entry_key(job, seq))

    def artifact(self, job: JobId, seq: int, name: str) -> Artifact | None:
        """Return the artifact that entry `seq` names `name`."""
        return self.entry(job, seq).event.artifacts.get(name)

    def _entry(self, seq: int, event: Event, state: JobState, *, epoch: int, at: float | None = None) -> Entry:
        at = self._clock() if at is None else at
        return Entry(seq=seq, nonce=uuid4().hex, epoch=epoch, at=at, event=event, state=state)

    def _put(self, job: JobId, entry: Entry) -> bool:
        key = entry_key(job, entry.seq)
        if self.store.put_if_absent(key, entry.model_dump_json(exclude_defaults=True).encode()):
            return True
        return self._read(key).nonce == entry.nonce  # ours, if the answer to our put got lost

    def _read(self, key: str) -> Entry:
        try:
            return Entry.model_validate_json(self.store.get(key))
        except ValidationError as err:
            raise Damaged(f"the ledger entry {key} is damaged: {err.error_count()} faults", key=key) from err


def _alive(job: JobId, entry: Entry | None) -> Entry:
    """Return the entry. Raises: NotFound if there is none or the video was deleted."""
    if entry is None or entry.state.status == "deleted":
        raise NotFound(f"no video {job}")
    return entry


class Epoch(NamedTuple):
    """A dispatcher's epoch, and the object that claims it. No other store has an object with these bytes."""

    number: int
    key: str
    data: bytes


def take_epoch(store: Store) -> Epoch:
    """Claim the next epoch. Raises: StoreError."""
    keys = store.list(EPOCHS)
    number = parse_epoch(keys[-1]) if keys else 0
    data = json.dumps({"at": time.time(), "nonce": uuid4().hex}).encode()
    while True:
        number += 1
        key = epoch_key(number)
        if store.put_if_absent(key, data):
            return Epoch(number, key, data)
