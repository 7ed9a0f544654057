"""A video's ledger: numbered entries, each created once with put-if-absent. The store decides every race.

There are no locks. A writer finds the head, asks `states.advance` whether its event is legal there, and creates the
next entry; whoever comes second reads what the first wrote and begins again.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from typing import NamedTuple
from uuid import uuid4

from pydantic import ValidationError

from farm.contract import Artifact, JobId, Value
from farm.errors import Damaged, LeaseLost, NotFound
from farm.ledger.layout import EPOCHS, entry_key, epoch_key, log_folder, parse_epoch
from farm.ledger.states import Event, JobState, accepted, advance
from farm.store import ObjectMissing, Store


class Entry(Value):
    """One ledger entry: the event, and the state it led to."""

    seq: int
    nonce: str  #: tells our own entry from another's when a put's answer was lost
    epoch: int  #: of the dispatcher that wrote it, or that the writer's lease came from; a user's wish keeps the head's
    at: float  #: unix seconds, for people; nothing is decided by it
    event: Event
    state: JobState


class Ledger:
    """Reads and extends the logs of videos in `store`."""

    def __init__(self, store: Store, *, clock: Callable[[], float] = time.time) -> None:
        """`clock` gives unix seconds."""
        self.store, self._clock = store, clock

    def begin(self, job: JobId, event: Event) -> Entry:
        """Write entry 0: `accepted`, and from here on the video is; or `deleted`, and it will never be.

        Returns the entry that stands there, ours or not.
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
        """Write `event` behind the head (looked for from `after` on) and return its entry.

        check: sees the state that `event` would follow, and may raise; for what the state's own rules cannot know.
        Raises: Conflict or LeaseLost where it is not legal there; LeaseLost where a dispatcher of a higher epoch has
        written; NotFound without a video.
        """
        head = self.head(job, after=after)
        while True:
            if 0 < epoch < head.epoch:
                raise LeaseLost(f"a newer dispatcher (epoch {head.epoch}) is in charge", epoch=head.epoch)
            check(head.state)
            at = self._clock()
            state = advance(head.state, event, seq=head.seq + 1, at=at)
            entry = self._entry(head.seq + 1, event, state, epoch=epoch or head.epoch, at=at)
            if self._put(job, entry):
                return entry
            head = self.head(job, after=head)

    def head(self, job: JobId, *, after: Entry | None = None) -> Entry:
        """The newest entry. Raises: NotFound where there is none, or the video was deleted."""
        newest = self.newest(job, after=after)
        if newest is None or newest.state.status == "deleted":
            raise NotFound(f"no video {job}")
        return newest

    def newest(self, job: JobId, *, after: Entry | None = None) -> Entry | None:
        """The newest entry (looked for from `after` on), a tombstone too; None where there is none."""
        if after is None:
            keys = self.store.list(log_folder(job))
            try:
                after = self._read(keys[-1]) if keys else self.entry(job, 0)
            except ObjectMissing:
                return None
        for entry in self.following(job, after.seq):  # a stale LIST costs a GET, never correctness
            after = entry
        return after

    def following(self, job: JobId, seq: int) -> Iterator[Entry]:
        """The entries after `seq` that exist now, in order."""
        while True:
            seq += 1
            try:
                yield self.entry(job, seq)
            except ObjectMissing:
                return

    def entry(self, job: JobId, seq: int) -> Entry:
        """Entry `seq`. Raises: ObjectMissing."""
        return self._read(entry_key(job, seq))

    def artifact(self, job: JobId, seq: int, name: str) -> Artifact | None:
        """The artifact that entry `seq` names `name`."""
        return self.entry(job, seq).event.artifacts.get(name)

    def _entry(self, seq: int, event: Event, state: JobState, *, epoch: int, at: float | None = None) -> Entry:
        at = self._clock() if at is None else at
        return Entry(seq=seq, nonce=uuid4().hex, epoch=epoch, at=at, event=event, state=state)

    def _put(self, job: JobId, entry: Entry) -> bool:
        key = entry_key(job, entry.seq)
        if self.store.put_if_absent(key, entry.model_dump_json(exclude_defaults=True).encode()):
            return True
        return self._read(key).nonce == entry.nonce  # our own put, whose answer was lost

    def _read(self, key: str) -> Entry:
        try:
            return Entry.model_validate_json(self.store.get(key))
        except ValidationError as err:
            raise Damaged(f"the ledger entry {key} is damaged: {err.error_count()} faults", key=key) from err


class Epoch(NamedTuple):
    """A dispatcher's turn, and the object that says so: nobody else's store has one with these bytes."""

    number: int
    key: str
    data: bytes


def take_epoch(store: Store) -> Epoch:
    """The next epoch, ours. Raises: StoreError."""
    keys = store.list(EPOCHS)
    number = parse_epoch(keys[-1]) if keys else 0
    data = json.dumps({"at": time.time(), "nonce": uuid4().hex}).encode()
    while True:
        number += 1
        key = epoch_key(number)
        if store.put_if_absent(key, data):
            return Epoch(number, key, data)
