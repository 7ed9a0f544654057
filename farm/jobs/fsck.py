"""Check a store: every sha256 that a ledger names, every link between objects, and what nothing refers to.

Reads only, video by video, so memory does not grow with the store; a farm may run meanwhile. What was written lately is
not called dangling: an artifact lies there before its ledger entry, an accepting writes its parts in turn.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import groupby
from typing import Literal

from pydantic import ValidationError

from farm.contract import Artifact, Batch, Job, JobId, Value, is_id
from farm.errors import Damaged, FarmError, NotFound, StoreError
from farm.jobs.batches import lost_member
from farm.ledger import Entry, Ledger
from farm.ledger.layout import index_key, log_folder, marked, outcome_key, parsed, second_marker
from farm.ledger.states import ENDED, OPEN, accepted, advance
from farm.store import ObjectMissing, Store

DAY_S = 24 * 3600.0
_TOMBSTONE_S = 3600.0  #: so long a deleted video's log stays (farm/jobs/jobs.py)
_NAMES = 1000  #: in one LIST
_OURS = ("webhook.json", "hooks/", "embeddings/")  #: of a video, named by no ledger entry
_ACCEPTING = ("request.json", "inputs/", "shared/", *_OURS)  #: what is there before entry 0

Kind = Literal["missing", "damaged", "ledger", "request", "unlisted", "unmarked", "dangling", "foreign"]


class Finding(Value):
    """Something that is not as it should be."""

    kind: Kind
    key: str
    video: str | None = None
    detail: str


class Checker:
    """One walk over a store."""

    def __init__(
        self, store: Store, *, now: float, grace_s: float, on_video: Callable[[int], None] = lambda _: None
    ) -> None:
        """now: unix seconds. grace_s: what is younger is not dangling. on_video: hears the bytes read for each."""
        self._store, self._ledger, self._now, self._grace_s = store, Ledger(store), now, grace_s
        self._on_video, self._read = on_video, 0
        self.videos = 0
        self.bytes = 0  #: that were read and compared

    def findings(self) -> Iterator[Finding]:
        """Everything, as it is found. Raises: StoreError where the store does not answer."""
        for name, keys in groupby(self._keys("jobs/"), key=lambda key: key.split("/")[1]):
            yield from self._video(name, list(keys))
            self.videos += 1
            self._on_video(self._read)
            self.bytes, self._read = self.bytes + self._read, 0
        yield from self._index()
        yield from self._markers()
        yield from self._webhooks()
        yield from self._batches()
        yield from self._claims()
        yield from self._embeddings()
        for key in self._keys("probe/"):
            if key.startswith("probe/scratch-"):
                yield from self._dangling(key, "left by a trial of the store")

    def _video(self, name: str, keys: list[str]) -> Iterator[Finding]:
        if not is_id(name):
            for key in keys:
                yield Finding(kind="foreign", key=key, detail="not an object of this farm")
            return
        job_id = JobId(name)
        faults = [*self._faults(job_id, keys)]
        if faults and self._was_deleted(job_id):  # while we looked
            return
        yield from faults

    def _faults(self, job_id: JobId, keys: list[str]) -> Iterator[Finding]:
        """What is wrong with one video, whose objects are `keys`."""
        folder, log = f"jobs/{job_id}/", log_folder(job_id)
        entries_there = [key for key in keys if key.startswith(log)]
        others = [key for key in keys if not key.startswith(log)]
        if self._exists(f"imports/{job_id}") and f"{folder}request.json" not in others:
            for key in [*keys, f"imports/{job_id}"]:
                yield from self._dangling(key, "an import that was cut short; import it again", job_id)
            return
        if not entries_there:
            yield from self._without_log(job_id, others)
            return
        last, named = self._newest(entries_there), dict[str, Artifact]()
        if last is None:
            yield from self._log(job_id, entries_there, named)
            return
        if last.state.status == "deleted":
            if not self._is_marked(job_id) and self._now - last.at > _TOMBSTONE_S + self._grace_s:
                for key in keys:
                    yield from self._dangling(key, "of a deleted video", job_id)
            return
        yield from self._log(job_id, entries_there, named)
        yield from self._request(job_id, last, named)
        for artifact in named.values():
            yield from self._artifact(job_id, artifact)
        for key in others:
            if key not in named and not key.removeprefix(folder).startswith(("request.json", *_OURS)):
                yield from self._dangling(key, "no ledger entry names it", job_id)

    def _without_log(self, job_id: JobId, keys: list[str]) -> Iterator[Finding]:
        folder = f"jobs/{job_id}/"
        made = [key for key in keys if not key.removeprefix(folder).startswith(_ACCEPTING)]
        if made:
            detail = "there are artifacts, but no ledger entry at all"
            yield Finding(kind="ledger", key=log_folder(job_id), video=job_id, detail=detail)
            return
        if self._is_marked(job_id) and self._is_lost_member(job_id):  # the next sweep begins its ledger
            return
        for key in keys:
            yield from self._dangling(key, "of a video that was never accepted, or is erased", job_id)

    def _log(self, job_id: JobId, keys: list[str], named: dict[str, Artifact]) -> Iterator[Finding]:
        """Read the entries, the newest too; each must be what its event makes of the one before."""
        before: Entry | None = None
        numbers = [int(key.rpartition("/")[2].removesuffix(".json")) for key in keys]
        for seq in range(numbers[-1] + 1):
            key = f"{log_folder(job_id)}{seq:08}.json"
            try:
                entry = self._entry(key)
            except Damaged as err:
                detail = "there is a gap in the ledger" if isinstance(err, ObjectMissing) else str(err)
                yield Finding(kind="ledger", key=key, video=job_id, detail=detail)
                before = None
                continue
            if seq == 0 or before is not None:
                yield from self._follows(job_id, key, before, entry)
            named |= {artifact.key: artifact for artifact in entry.event.artifacts.values()}
            before = entry
        for entry in self._ledger.following(job_id, numbers[-1]):  # written since we listed the objects
            named |= {artifact.key: artifact for artifact in entry.event.artifacts.values()}

    def _follows(self, job_id: JobId, key: str, before: Entry | None, entry: Entry) -> Iterator[Finding]:
        try:
            if before is None:
                state = accepted(entry.event)
            else:
                state = advance(before.state, entry.event, seq=entry.seq, at=entry.at)
        except FarmError as err:
            yield Finding(kind="ledger", key=key, video=job_id, detail=f"{entry.event.name} is not legal there: {err}")
            return
        if state != entry.state or f"{entry.seq:08}.json" != key.rpartition("/")[2]:
            yield Finding(kind="ledger", key=key, video=job_id, detail="its state does not follow from the one before")

    def _request(self, job_id: JobId, last: Entry, named: dict[str, Artifact]) -> Iterator[Finding]:
        """The request, its inputs, and the video's places in the index and among the open ones."""
        key = f"jobs/{job_id}/request.json"
        try:
            job = Job.model_validate_json(self._store.get(key))
        except ObjectMissing:
            yield Finding(kind="request", key=key, video=job_id, detail="the request is missing")
            return
        except ValidationError as err:
            yield Finding(kind="request", key=key, video=job_id, detail=f"cannot be read: {err.error_count()} faults")
            return
        if job.id != job_id:
            yield Finding(kind="request", key=key, video=job_id, detail=f"is the request of {job.id[:60]}")
            return
        named |= {artifact.key: artifact for artifact in job.inputs.values()}
        if not self._exists(index_key(job)):
            detail = "the video is in no list: its index entry is missing"
            yield Finding(kind="unlisted", key=index_key(job), video=job_id, detail=detail)
        if last.state.status in OPEN and not self._is_marked(job_id) and not self._has_ended(job_id, last):
            detail = "a restart would forget the video: it has not ended, and its marker is missing"
            yield Finding(kind="unmarked", key=f"open/{job_id}", video=job_id, detail=detail)

    def _artifact(self, job_id: JobId, artifact: Artifact) -> Iterator[Finding]:
        digest = hashlib.sha256()
        try:
            for piece in self._store.open_read(artifact.key):
                digest.update(piece)
                self._read += len(piece)
        except ObjectMissing:
            yield Finding(kind="missing", key=artifact.key, video=job_id, detail=f"{artifact.bytes} bytes are gone")
            return
        except StoreError as err:  # a bad disk must not end the walk; a store that is away ends it at the next LIST
            yield Finding(kind="damaged", key=artifact.key, video=job_id, detail=str(err))
            return
        if digest.hexdigest() != artifact.sha256:
            detail = "its sha256 is not the one in the ledger"
            yield Finding(kind="damaged", key=artifact.key, video=job_id, detail=detail)

    def _index(self) -> Iterator[Finding]:
        for key in self._keys("owners/"):
            job_id = key.rpartition("/")[2].partition("_")[2]
            if not is_id(job_id) or not self._exists(f"jobs/{job_id}/request.json"):
                yield from self._dangling(key, "an index entry without a video", job_id)

    def _markers(self) -> Iterator[Finding]:
        for key in self._keys("open/"):
            job_id = marked(key)
            log = self._log_of(job_id) if job_id else []
            head = self._newest(log)
            if not log and not (job_id and self._is_lost_member(job_id)):
                yield from self._dangling(key, "a marker without a video", job_id)
            elif head and head.state.status in ENDED and self._now - (head.state.ended_at or 0.0) > self._grace_s:
                yield from self._dangling(key, "the marker of a video that has ended", job_id)
        for key in self._keys("imports/"):
            if self._exists(f"jobs/{key.removeprefix('imports/')}/request.json"):
                yield from self._dangling(key, "the marker of an import that is done", key.removeprefix("imports/"))

    def _webhooks(self) -> Iterator[Finding]:
        for key in self._keys("hooks/"):
            owed = parsed(key)
            log = self._log_of(owed.job) if owed else []
            head = self._newest(log)
            if owed is None or not log:
                yield from self._dangling(key, "a webhook without a video", owed and owed.job)
            elif head and head.state.status in ENDED and self._exists(outcome_key(owed.job, head.seq, owed.whose)):
                yield from self._dangling(key, "a webhook that was told", owed.job)

    def _batches(self) -> Iterator[Finding]:
        for key in self._keys("batches/"):
            try:
                batch = Batch.model_validate_json(self._store.get(key))
            except ObjectMissing:  # erased just now
                continue
            except ValidationError as err:
                yield Finding(
                    kind="damaged", key=key, detail=f"a batch that cannot be read: {err.error_count()} faults"
                )
                continue
            if not any(self._exists(f"jobs/{job_id}/request.json") for job_id in batch.videos):
                yield from self._dangling(key, "a batch without a video")

    def _claims(self) -> Iterator[Finding]:
        for key in self._keys("idempotency/"):
            try:
                job_id = json.loads(self._store.get(key))["id"]
            except ObjectMissing:  # erased just now
                continue
            except (ValueError, KeyError, TypeError):
                yield Finding(kind="damaged", key=key, detail="an idempotency claim that cannot be read")
                continue
            if not is_id(str(job_id)) or not self._exists(f"jobs/{job_id}/request.json"):
                yield from self._dangling(key, "an idempotency claim without a video", str(job_id))

    def _embeddings(self) -> Iterator[Finding]:
        for key in self._keys("embeddings/"):
            _, _, rest = key.partition("/")
            name, _, user = rest.partition("/")
            if user:
                if not is_id(user) or not self._exists(f"jobs/{user}/request.json"):
                    yield from self._dangling(key, "a use by a video that is not there", user)
            elif not self._store.list(f"embeddings/{name.removesuffix('.safetensors')}/", limit=1):
                yield from self._dangling(key, "an embedding that nobody uses")

    def _dangling(self, key: str, detail: str, video: str | None = None) -> Iterator[Finding]:
        """The object, if it is old enough to be sure."""
        try:
            age_s = self._now - self._store.modified(key)
        except ObjectMissing:
            return
        if age_s >= self._grace_s:
            yield Finding(kind="dangling", key=key, video=video or None, detail=detail)

    def _keys(self, prefix: str) -> Iterator[str]:
        after = ""
        while keys := self._store.list(prefix, after=after, limit=_NAMES):
            yield from keys
            after = keys[-1]

    def _exists(self, key: str) -> bool:
        try:
            self._store.size(key)
        except ObjectMissing:
            return False
        return True

    def _is_marked(self, job_id: JobId) -> bool:
        """Whether a restart finds the video: by its marker, or by the second one of a sweep that died."""
        marker = f"open/{job_id}"
        # again: a sweep may have put it back, and removed the second one, between our two looks
        return self._exists(marker) or second_marker(self._store, job_id) is not None or self._exists(marker)

    def _is_lost_member(self, job_id: JobId) -> bool:
        """Whether it has to be begun; where its batch is damaged nobody knows, and `_batches` tells of that."""
        try:
            return lost_member(self._store, job_id)
        except Damaged:
            return True

    def _entry(self, key: str) -> Entry:
        """Raises: Damaged; ObjectMissing."""
        try:
            return Entry.model_validate_json(self._store.get(key))
        except ValidationError as err:
            raise Damaged(f"the entry cannot be read: {err.error_count()} faults", key=key) from err

    def _log_of(self, name: str) -> list[str]:
        """Keys of a video's ledger, a deleted one's too."""
        return self._store.list(log_folder(JobId(name))) if is_id(name) else []

    def _newest(self, log: list[str]) -> Entry | None:
        """The newest entry that can be read; damaged ones are told with the video itself."""
        for key in reversed(log):
            with suppress(Damaged):
                return self._entry(key)
        return None

    def _was_deleted(self, job_id: JobId) -> bool:
        head = self._newest(self._log_of(job_id))
        return head is not None and head.state.status == "deleted"

    def _has_ended(self, job_id: JobId, last: Entry) -> bool:
        """Whether it ended since we read `last`."""
        try:
            return self._ledger.head(job_id, after=last).state.status not in OPEN
        except NotFound:
            return True


def video_count(store: Store) -> int:
    """How many videos the index lists: what a progress bar goes up to."""
    count, after = 0, ""
    while keys := store.list("owners/", after=after, limit=_NAMES):
        count, after = count + len(keys), keys[-1]
    return count
