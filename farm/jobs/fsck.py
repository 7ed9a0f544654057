"""Check a store: every sha256 in a ledger, every link between objects, and every object that nothing refers to.

The check only reads. It goes video by video, so its memory does not grow with the store, and a farm may run meanwhile.
A recent object does not count as dangling: a worker writes an artifact before the ledger entry that names it, and the
ingress writes the parts of a new video one after the other.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from itertools import groupby
from typing import Literal

from pydantic import ValidationError

from farm.contract import Artifact, Batch, Job, JobId, Value, is_id
from farm.errors import Damaged, FarmError, NotFound, StoreError
from farm.jobs.batches import lost_member
from farm.ledger import Entry, Ledger
from farm.ledger import layout as at
from farm.ledger.notes import second_marker
from farm.ledger.states import ENDED, OPEN, accepted, advance
from farm.store import ObjectMissing, Store
from farm.store.probe import PROBES, SCRATCH

DAY_S = 24 * 3600.0
_TOMBSTONE_S = 3600.0  #: a deleted video's log stays this long (farm/jobs/sweep.py)
_NAMES = 1000  #: in one LIST

Kind = Literal["missing", "damaged", "ledger", "request", "unlisted", "unmarked", "dangling", "foreign"]


class Finding(Value):
    """One fault."""

    kind: Kind
    key: str
    video: str | None = None
    detail: str


class Checker:
    """One walk over a store."""

    def __init__(
        self, store: Store, *, now: float, grace_s: float, on_video: Callable[[int], None] = lambda _: None
    ) -> None:
        """now: unix seconds. grace_s: younger objects do not count as dangling. on_video: gets each video's bytes."""
        self._store, self._ledger, self._now, self._grace_s = store, Ledger(store), now, grace_s
        self._on_video, self._read = on_video, 0
        self.videos = 0
        self.bytes = 0  #: read and compared

    def findings(self) -> Iterator[Finding]:
        """Yield every fault as it is found. Raises: StoreError if the store does not answer."""
        for name, keys in groupby(self._keys(at.VIDEOS), key=lambda key: key.split("/")[1]):
            yield from self._video(name, list(keys))
            self.videos += 1
            self._on_video(self._read)
            self.bytes, self._read = self.bytes + self._read, 0
        yield from self._index()
        yield from self._markers()
        yield from self._imports()
        yield from self._webhooks()
        yield from self._batches()
        yield from self._claims()
        yield from self._embeddings()
        for key in self._keys(PROBES):
            if key.startswith(SCRATCH):
                yield from self._dangling(key, "left over from a trial of the store")

    def _video(self, name: str, keys: list[str]) -> Iterator[Finding]:
        if not is_id(name):
            for key in keys:
                yield Finding(kind="foreign", key=key, detail="not an object of this farm")
            return
        job = JobId(name)
        faults = [*self._faults(job, keys)]
        if faults and (head := self._newest(job, self._log(job))) and head.state.status == "deleted":
            return  # it was deleted while we looked
        yield from faults

    def _faults(self, job: JobId, keys: list[str]) -> Iterator[Finding]:
        """Yield the faults of one video, to which `keys` belong."""
        parts = {key: at.part_of(key.removeprefix(at.video_folder(job))) for key in keys}
        if at.REQUEST not in parts.values() and self._exists(at.import_key(job)):
            yield from self._all_dangling([*keys, at.import_key(job)], "part of an incomplete import; repeat it", job)
            return
        seqs = _seqs(keys)
        if not seqs:
            yield from self._without_log(job, parts)
            return
        last = self._newest(job, seqs)
        if last is not None and last.state.status == "deleted":
            if not self._is_marked(job) and self._now - last.at > _TOMBSTONE_S + self._grace_s:
                yield from self._all_dangling(keys, "part of a deleted video", job)
            return
        named = dict[str, Artifact]()
        yield from self._entries(job, seqs[-1], named)
        if last is None:
            return
        yield from self._request(job, last, named)
        for artifact in named.values():
            yield from self._artifact(job, artifact)
        unnamed = [key for key, part in parts.items() if key not in named and part not in at.RESERVED]
        yield from self._all_dangling(unnamed, "no ledger entry names it", job)

    def _without_log(self, job: JobId, parts: dict[str, str]) -> Iterator[Finding]:
        if not at.STAGED.issuperset(parts.values()):
            detail = "the video has artifacts but no ledger entry"
            yield Finding(kind="ledger", key=at.log_folder(job), video=job, detail=detail)
        elif not (self._is_marked(job) and self._is_lost_member(job)):  # else the next sweep begins its ledger
            yield from self._all_dangling(parts, "part of a video that was never accepted, or is being erased", job)

    def _entries(self, job: JobId, last: int, named: dict[str, Artifact]) -> Iterator[Finding]:
        """Check that each entry follows from the one before; collect the artifacts that they name."""
        before: Entry | None = None
        for seq in range(last + 1):
            key = at.entry_key(job, seq)
            try:
                entry = self._ledger.entry(job, seq)
            except Damaged as err:
                detail = "the ledger has a gap" if isinstance(err, ObjectMissing) else str(err)
                yield Finding(kind="ledger", key=key, video=job, detail=detail)
                before = None
                continue
            if (seq == 0 or before is not None) and (detail := _misfit(before, entry, seq)):
                yield Finding(kind="ledger", key=key, video=job, detail=detail)
            named |= {artifact.key: artifact for artifact in entry.event.artifacts.values()}
            before = entry
        for entry in self._ledger.following(job, last):  # written since we listed the objects
            named |= {artifact.key: artifact for artifact in entry.event.artifacts.values()}

    def _request(self, job_id: JobId, last: Entry, named: dict[str, Artifact]) -> Iterator[Finding]:
        """Check the request, the index and the marker; collect the inputs."""
        key = at.request_key(job_id)
        try:
            job = Job.model_validate_json(self._store.get(key))
        except (ObjectMissing, ValidationError) as err:
            detail = f"cannot be read: {err.error_count()} faults" if isinstance(err, ValidationError) else "is missing"
            yield Finding(kind="request", key=key, video=job_id, detail=f"the request {detail}")
            return
        if job.id != job_id:
            yield Finding(kind="request", key=key, video=job_id, detail=f"this is the request of {job.id[:60]}")
            return
        named |= {artifact.key: artifact for artifact in job.inputs.values()}
        if not self._exists(at.index_key(job)):
            detail = "no list shows the video: its index entry is missing"
            yield Finding(kind="unlisted", key=at.index_key(job), video=job_id, detail=detail)
        if last.state.status in OPEN and not self._is_marked(job_id) and not self._has_ended(job_id, last):
            detail = "a restart would forget the video: it has not ended, and its marker is missing"
            yield Finding(kind="unmarked", key=at.marker_key(job_id), video=job_id, detail=detail)

    def _artifact(self, job: JobId, artifact: Artifact) -> Iterator[Finding]:
        digest = hashlib.sha256()
        try:
            for piece in self._store.open_read(artifact.key):
                digest.update(piece)
                self._read += len(piece)
        except ObjectMissing:
            yield Finding(kind="missing", key=artifact.key, video=job, detail=f"{artifact.bytes} bytes are gone")
            return
        except StoreError as err:  # a bad disk must not end the walk; if the store is down, the next LIST ends it
            yield Finding(kind="damaged", key=artifact.key, video=job, detail=str(err))
            return
        if digest.hexdigest() != artifact.sha256:
            detail = "its sha256 is not the one in the ledger"
            yield Finding(kind="damaged", key=artifact.key, video=job, detail=detail)

    def _index(self) -> Iterator[Finding]:
        for key in self._keys(at.INDEX):
            listed = at.parse_index(key)
            if listed is None or not self._has_request(listed.job):
                yield from self._dangling(key, "an index entry without a video", listed and listed.job)

    def _markers(self) -> Iterator[Finding]:
        for key in self._keys(at.OPEN_MARKERS):
            job = at.parse_marker(key)
            seqs = self._log(job) if job else []
            if job is None or (not seqs and not self._is_lost_member(job)):
                yield from self._dangling(key, "a marker without a video", job)
            elif (ended := self._ended(job, seqs)) and self._now - (ended.state.ended_at or 0.0) > self._grace_s:
                yield from self._dangling(key, "the marker of a video that has ended", job)

    def _imports(self) -> Iterator[Finding]:
        for key in self._keys(at.IMPORTS):
            job = at.parse_import(key)
            if job is not None and self._has_request(job):
                yield from self._dangling(key, "the marker of a finished import", job)

    def _webhooks(self) -> Iterator[Finding]:
        for key in self._keys(at.HOOKS):
            hook = at.parse_hook(key)
            seqs = self._log(hook.job) if hook else []
            if hook is None or not seqs:
                yield from self._dangling(key, "a webhook without a video", hook and hook.job)
            elif (ended := self._ended(hook.job, seqs)) and self._exists(
                at.outcome_key(hook.job, ended.seq, hook.whose)
            ):
                yield from self._dangling(key, "a webhook that was delivered or given up", hook.job)

    def _batches(self) -> Iterator[Finding]:
        for key in self._keys(at.BATCHES):
            try:
                batch = Batch.model_validate_json(self._store.get(key))
            except ObjectMissing:  # erased just now
                continue
            except ValidationError as err:
                yield Finding(kind="damaged", key=key, detail=f"the batch cannot be read: {err.error_count()} faults")
                continue
            if not any(map(self._has_request, batch.videos)):
                yield from self._dangling(key, "a batch without a video")

    def _claims(self) -> Iterator[Finding]:
        for key in self._keys(at.CLAIMS):
            try:
                name = str(json.loads(self._store.get(key))["id"])
            except ObjectMissing:  # erased just now
                continue
            except (ValueError, KeyError, TypeError):
                yield Finding(kind="damaged", key=key, detail="the idempotency claim cannot be read")
                continue
            if not self._has_request(name):
                yield from self._dangling(key, "an idempotency claim without a video", name)

    def _embeddings(self) -> Iterator[Finding]:
        for key in self._keys(at.EMBEDDINGS):
            found = at.parse_embedding(key)
            if found and found.user:
                if not self._has_request(found.user):
                    yield from self._dangling(key, "used by a video that does not exist", found.user)
            elif found and not self._store.list(at.users_folder(found.name), limit=1):
                yield from self._dangling(key, "no video uses this embedding")

    def _all_dangling(self, keys: Iterable[str], detail: str, job: JobId) -> Iterator[Finding]:
        for key in keys:
            yield from self._dangling(key, detail, job)

    def _dangling(self, key: str, detail: str, video: str | None = None) -> Iterator[Finding]:
        """Yield the object if it is old enough to be sure."""
        try:
            age_s = self._now - self._store.modified(key)
        except ObjectMissing:
            return
        if age_s >= self._grace_s:
            yield Finding(kind="dangling", key=key, video=video or None, detail=detail)

    def _keys(self, prefix: str) -> Iterator[str]:
        return _keys(self._store, prefix)

    def _exists(self, key: str) -> bool:
        try:
            self._store.size(key)
        except ObjectMissing:
            return False
        return True

    def _has_request(self, name: str) -> bool:
        return is_id(name) and self._exists(at.request_key(JobId(name)))

    def _is_marked(self, job: JobId) -> bool:
        """Tell whether a restart finds the video: by its marker, or by the second one of a sweep that died."""
        marker = at.marker_key(job)
        # again: between our two looks a sweep may have restored the marker and removed the second one
        return self._exists(marker) or second_marker(self._store, job) is not None or self._exists(marker)

    def _is_lost_member(self, job: JobId) -> bool:
        """Tell whether a sweep will begin the video's ledger. With a damaged batch, assume so."""
        try:
            return lost_member(self._store, job)
        except Damaged:
            return True

    def _log(self, job: JobId) -> list[int]:
        return _seqs(self._store.list(at.log_folder(job)))

    def _newest(self, job: JobId, seqs: list[int]) -> Entry | None:
        """Return the newest of these entries that can be read; `_entries` reports the damaged ones."""
        for seq in reversed(seqs):
            with suppress(Damaged):
                return self._ledger.entry(job, seq)
        return None

    def _ended(self, job: JobId, seqs: list[int]) -> Entry | None:
        """Return the newest of these entries if the video has ended."""
        head = self._newest(job, seqs)
        return head if head is not None and head.state.status in ENDED else None

    def _has_ended(self, job: JobId, last: Entry) -> bool:
        """Tell whether the video ended since we read `last`."""
        try:
            return self._ledger.head(job, after=last).state.status not in OPEN
        except NotFound:
            return True


def _seqs(keys: Iterable[str]) -> list[int]:
    """Return the numbers of the ledger entries among a video's keys."""
    return [seq for seq in map(at.parse_entry, keys) if seq is not None]


def _misfit(before: Entry | None, entry: Entry, seq: int) -> str:
    """Return why `entry` cannot follow `before`; empty if it can."""
    try:
        if before is None:
            state = accepted(entry.event)
        else:
            state = advance(before.state, entry.event, seq=entry.seq, at=entry.at)
    except FarmError as err:
        return f"{entry.event.name} is not legal here: {err}"
    return "" if (state, seq) == (entry.state, entry.seq) else "its state does not follow from the entry before"


def _keys(store: Store, prefix: str) -> Iterator[str]:
    after = ""
    while keys := store.list(prefix, after=after, limit=_NAMES):
        yield from keys
        after = keys[-1]


def video_count(store: Store) -> int:
    """Return how many videos the index lists, for a progress bar."""
    return sum(1 for _ in _keys(store, at.INDEX))
