"""What the ingress does to the store: accept videos, find them, pass on users' wishes, erase them.

Every method is synchronous; call it from a thread. The order of writes makes a crash between any two of them harmless:
a video exists from its ledger entry 0 on, and what a crash leaves behind is found by its marker in open/.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Literal, NamedTuple
from uuid import uuid4

from pydantic import ValidationError

from farm.contract import Artifact, Job, JobId, JobPlan, is_id
from farm.errors import Conflict, Damaged, InvalidRequest, NotFound, Unavailable
from farm.jobs.batches import batch_of, forget_batch, is_accepted, lost_member
from farm.jobs.embeddings import forget_embeddings
from farm.jobs.origin import Origin
from farm.ledger import Entry, Ledger
from farm.ledger.damage import skipping_damaged
from farm.ledger.layout import (
    OPEN_MARKERS,
    batch_key,
    claim_key,
    entry_key,
    hook_key,
    index_key,
    input_key,
    log_folder,
    marker_key,
    parse_marker,
    receiver_key,
    request_key,
    video_folder,
)
from farm.ledger.notes import Claim, Mark, read_note, second_marker
from farm.ledger.states import ENDED, OPEN, Event, JobState
from farm.receiver import NO_HOOKS, Hooks
from farm.request import VideoEdit, VideoRequest
from farm.store import ObjectMissing, Store

log = logging.getLogger(__name__)
Wish = Literal["pause", "resume", "cancel", "retry"]
_REMEMBERED = 5000  #: requests kept in memory
_ABANDONED_S = 3600.0  #: a marker without a video is an accepting that died, once it is this old


class Record(NamedTuple):
    """A video: what was asked, and the newest entry of its ledger."""

    asked: Job  #: request.json
    head: Entry

    @property
    def job(self) -> Job:
        """What is asked now: request.json with the edits that the ledger knows. What everybody works by."""
        return self.asked.edited(self.head.state.edits)


class Jobs:
    """All videos in one store."""

    def __init__(self, store: Store, *, clock: Callable[[], float] = time.time) -> None:
        """`clock` gives unix seconds."""
        self.store, self.ledger, self._clock = store, Ledger(store, clock=clock), clock
        self._requests: dict[JobId, Job] = {}  # request.json never changes

    def accept(
        self,
        request: VideoRequest,
        plan: JobPlan,
        *,
        images: Mapping[str, bytes],
        owner: str,
        fingerprint: str,
        idempotency_key: str | None = None,
        origin: Origin | None = None,
        hooks: Hooks = NO_HOOKS,
        seeds: tuple[int, ...] = (),
    ) -> Record:
        """Store a video, or a batch of them; when this returns they will be rendered, whatever dies.

        request:     with model, seed and size filled in.
        seeds:       one video for each, all or none of them; empty: one video with the request's own seed.
        images:      "start", "end", … -> PNG; "source" -> the video that is extended, where it was sent.
        origin:      the video that this one comes from; what it takes over is there before it can be leased.
        fingerprint: sha256 of the request as it was sent; the same key with the same fingerprint gives the same video.
        hooks:       who is told of its end.
        Returns: the video; of a batch the first.
        Raises: InvalidRequest where the request could not be read back; Conflict where the key was used for another
        request; NotFound where the origin, Unavailable where the video of this very key is deleted meanwhile.
        """
        _check_readable(request)
        job_id, created_ms, claim = JobId(f"video_{uuid4().hex}"), int(self._clock() * 1000), None
        if idempotency_key is not None:
            claim = claim_key(owner, idempotency_key)
        self._mark(job_id, claim)  # before all else: what a crash leaves is found by its marker
        if claim is not None:
            job_id, created_ms = self._claim(claim, fingerprint, job_id, created_ms)
        first = Job(
            id=job_id,
            owner=owner,
            created_ms=created_ms,
            request=request,
            plan=plan,
            inputs={},
            idempotency=claim,
            hooks=hooks.hosts,
        )
        members = _members(first, seeds)
        batch = members[0].batch
        for job in members[1:]:
            self._mark(job.id)
        first_entry = None
        if batch is None or claim is None or not is_accepted(self.store, batch, owner):
            events = [self._stage(job, images, origin, hooks) for job in members]
            if batch is not None:
                self.store.put_if_absent(batch_key(owner, batch.id), batch.model_dump_json().encode())
            first_entry, *_ = [self.ledger.begin(job.id, event) for job, event in zip(members, events, strict=True)]
        # else by an earlier request; whatever of it was deleted stays deleted
        try:
            head = self.ledger.head(job_id, after=first_entry)
        except NotFound as err:  # its key names one that is being erased, or we slept so long that we were given up
            raise Unavailable("this video was deleted or given up just now; ask again") from err
        return Record(self.request(job_id), head)

    def is_claimed(self, idempotency_key: str | None, *, owner: str) -> bool:
        """Whether an earlier request came with this key."""
        if idempotency_key is None:
            return False
        try:
            self.store.get(claim_key(owner, idempotency_key))
        except ObjectMissing:
            return False
        return True

    def enter(self, job: Job, *, is_open: bool) -> None:
        """Let a video be, whose objects and ledger are stored already; is_open: it has not ended.

        Raises: Conflict where another has its id.
        """
        self.store.put_if_absent(index_key(job), b"{}")
        if is_open:
            self._mark(job.id)
        key, data = request_key(job.id), job.model_dump_json().encode()
        if not self.store.put_if_absent(key, data) and self.store.get(key) != data:
            raise Conflict(f"{job.id} is here with another request")

    def get(self, job_id: str, *, owner: str | None) -> Record:
        """The video, if `owner` owns it (None: whoever does). Raises: NotFound."""
        if not is_id(job_id):
            msg = f"no video {job_id[:60]!r}"
            raise NotFound(msg)
        try:
            job = self.request(JobId(job_id))
        except ObjectMissing as err:
            msg = f"no video {job_id}"
            raise NotFound(msg) from err
        if owner is not None and job.owner != owner:
            msg = f"no video {job_id}"
            raise NotFound(msg)
        return Record(job, self.ledger.head(job.id))

    def wish(self, job_id: str, wish: Wish, *, owner: str) -> Record:
        """Write a user's wish into the ledger. Raises: NotFound; Conflict where the state forbids it."""
        job, head = self.get(job_id, owner=owner)
        if wish != "retry":
            return Record(job, self.ledger.append(job.id, Event(name=wish), after=head))
        self._owe(job.id, head.seq + 1, job.hooks)
        return Record(job, self._append_marked(job.id, Event(name=wish), head))

    def edit(self, job_id: str, edit: VideoEdit, *, owner: str) -> Record:
        """Write a user's changes into the ledger. Raises: NotFound; Conflict where the video no longer waits."""
        job, head = self.get(job_id, owner=owner)

        def check(state: JobState) -> None:  # of the head itself: the last section may be committed just now
            if edit.prompt is not None and state.status in OPEN and len(state.sections) == job.plan.sections:
                raise Conflict("all sections are made, so another prompt would change nothing; remix the video")

        return Record(job, self.ledger.append(job.id, Event(name="edited", edit=edit), after=head, check=check))

    def delete(self, job_id: str, *, owner: str) -> None:
        """Erase an ended video. Raises: NotFound; Conflict while it has not ended.

        Request, inputs and artifacts go at once. The log, which ends in a tombstone now, goes an hour later (`sweep`):
        until then it refuses whoever still believes in the video.
        """
        job, head = self.get(job_id, owner=owner)
        self._append_marked(job.id, Event(name="deleted"), head)
        self._erase(job.id)

    def entries(self, job_id: str, *, after_seq: int, owner: str) -> list[Entry]:
        """The ledger's entries after `after_seq` (-1: all), oldest first. Raises: NotFound."""
        job, _ = self.get(job_id, owner=owner)
        return list(self.ledger.following(job.id, after_seq))

    def artifact(self, record: Record, name: str) -> Artifact | None:
        """A committed artifact: "conditioning", "section/3", "preview/3", "clip/3", "frames/3", "step", … or None."""
        state, (kind, _, number) = record.head.state, name.partition("/")
        if kind in {"section", "preview"}:
            seq = state.sections[int(number)] if int(number) < len(state.sections) else None
        elif kind in {"clip", "frames"}:
            seq = state.clips.get(number)
        elif kind == "step":
            seq = state.step
        else:
            seq = state.conditioning if kind == "conditioning" else state.video
        if seq is None:
            return None
        return self.ledger.artifact(record.job.id, seq, kind if seq else name)  # entry 0 names a remix's many

    def request(self, job_id: JobId) -> Job:
        """request.json. Raises: ObjectMissing; Damaged where it cannot be read."""
        if job_id not in self._requests:
            key = request_key(job_id)
            try:
                job = Job.model_validate_json(self.store.get(key))
            except ValidationError as err:
                raise Damaged(f"{key} cannot be read: {err.error_count()} faults", key=key) from err
            while len(self._requests) >= _REMEMBERED:
                self._requests.pop(next(iter(self._requests)), None)
            self._requests[job_id] = job
            return job
        return self._requests[job_id]

    def open_ids(self) -> list[JobId]:
        """Videos with a marker: all that have not ended, and what crashes left."""
        return list(dict.fromkeys(filter(None, map(parse_marker, self.store.list(OPEN_MARKERS)))))

    def sweep(self, job_id: JobId) -> Record | None:
        """The video behind a marker if it has not ended; else tidy up what is behind the marker, and None."""
        newest = self.ledger.newest(job_id)
        if newest is None and lost_member(self.store, job_id):
            newest = self.ledger.begin(job_id, Event(name="accepted"))
        if newest is None:
            self._give_up(job_id)
        elif newest.state.status in OPEN:
            return Record(self.request(job_id), newest)
        elif newest.state.status == "deleted":
            self._bury(job_id, newest)
        else:
            self._unmark(job_id)
        return None

    def _claim(self, claim: str, fingerprint: str, job_id: JobId, created_ms: int) -> tuple[JobId, int]:
        """Bind an idempotency key to a request; the id and time that it is bound to, ours or an earlier request's."""
        ours = Claim(id=job_id, created_ms=created_ms, fingerprint=fingerprint)
        if not self.store.put_if_absent(claim, ours.model_dump_json().encode()):
            ours = read_note(self.store, claim, Claim)
        if ours.id != job_id:
            self.store.delete(marker_key(job_id))  # ours will never be
        if ours.fingerprint != fingerprint:
            msg = "this Idempotency-Key was used for another request; use a new key for a new video"
            raise Conflict(msg)
        return ours.id, ours.created_ms

    def _stage(self, job: Job, images: Mapping[str, bytes], origin: Origin | None, hooks: Hooks) -> Event:
        """Store all of a new video but its ledger; returns what its entry 0 will say."""
        self._owe(job.id, 0, hooks.hosts)
        if hooks.receiver is not None:
            self.store.put_if_absent(receiver_key(job.id), hooks.receiver.model_dump_json().encode())
        inputs = {name: self._put_input(job.id, name, data) for name, data in sorted(images.items())}
        event, parents = Event(name="accepted"), dict[str, JobId]()
        if origin is not None:
            inputs |= origin.copied_inputs(self.store, job.id)
            event = origin.copied_work(self.store, job.id)
            parents = {"remixed_from" if origin.relation == "remix" else "extends": origin.job}
        job = job.model_copy(update={"inputs": inputs, **parents})
        self.store.put_if_absent(request_key(job.id), job.model_dump_json().encode())
        self.store.put_if_absent(index_key(job), b"{}")
        return event

    def _put_input(self, job_id: JobId, name: str, data: bytes) -> Artifact:
        sha256 = hashlib.sha256(data).hexdigest()
        artifact = Artifact(key=input_key(job_id, name), sha256=sha256, bytes=len(data))
        self.store.put_if_absent(artifact.key, data)
        return artifact

    def _append_marked(self, job_id: JobId, event: Event, head: Entry) -> Entry:
        """Append an event after which a sweep must find the video, also where a sweep removes its marker just now."""
        self._mark(job_id)  # before: a crash after the entry loses nothing
        entry = self.ledger.append(job_id, event, after=head)
        self._mark(job_id)  # after: a sweep that read the old state may have removed it
        return entry

    def _mark(self, job_id: JobId, claim: str | None = None) -> None:
        self.store.put_if_absent(marker_key(job_id), self._note(claim))

    def _note(self, claim: str | None = None) -> bytes:
        return Mark(at=self._clock(), claim=claim).model_dump_json(exclude_none=True).encode()

    def _unmark(self, job_id: JobId) -> None:
        """Remove an ended video's marker, unless a retry or a deletion has just found it there.

        While it is away another stands for it, so that a restart finds the video although we die between two writes.
        """
        second = marker_key(job_id, uuid4().hex)
        self.store.put_if_absent(second, self._note())
        self.store.delete(marker_key(job_id))
        newest = self.ledger.newest(job_id)
        if newest is not None and newest.state.status not in ENDED:
            self._mark(job_id)
        self.store.delete(second)
        with contextlib.suppress(ObjectMissing):
            other = second_marker(self.store, job_id)
            if other is not None and self._is_old(other):  # of a sweep that died
                self.store.delete(other)

    def _owe(self, job_id: JobId, seq: int, whose: Iterable[str]) -> None:
        """Note, before it can come, that the end from ledger entry `seq` on is to be told (farm/webhooks/sender.py)."""
        for name in whose:
            self.store.put_if_absent(hook_key(job_id, seq, name), self._note())

    def _give_up(self, job_id: JobId) -> None:
        """Behind the marker is no video yet. If its accepting is so old that it has died, there will never be one."""
        try:
            old = self._is_old(marker_key(job_id))
        except ObjectMissing:  # another sweep was faster, or died when all but its second marker was gone
            self._unmark(job_id)
            return
        if old and self.ledger.begin(job_id, Event(name="deleted")).state.status == "deleted":
            self._erase(job_id)

    def _bury(self, job_id: JobId, tombstone: Entry) -> None:
        """A deleted video's log goes, and what its deletion left if it died, or what a late worker wrote since."""
        if self._clock() - tombstone.at <= _ABANDONED_S:
            return
        self._erase(job_id)
        for seq in range(tombstone.seq + 1):  # the tombstone is the last, and the marker finds it
            self.store.delete(entry_key(job_id, seq))
        self._unmark(job_id)

    def _is_old(self, marker: str) -> bool:
        """Raises: ObjectMissing; Damaged."""
        return self._clock() - read_note(self.store, marker, Mark).at > _ABANDONED_S

    def _erase(self, job_id: JobId) -> None:
        """Remove everything of a video but its log and its marker."""
        job = None
        with contextlib.suppress(ObjectMissing):  # an erasing that was cut short got this far
            job = self.request(job_id)
            self.store.delete(index_key(job))
            self._unclaim(job_id, job.idempotency)
        with skipping_damaged(job_id), contextlib.suppress(ObjectMissing):
            self._unclaim(job_id, read_note(self.store, marker_key(job_id), Mark).claim)
        forget_embeddings(self.store, job_id)
        last = request_key(job_id)
        for key in self.store.list(video_folder(job_id)):
            if not key.startswith(log_folder(job_id)) and key != last:
                self.store.delete(key)
        if job is not None:
            forget_batch(self.store, job)
        self.store.delete(last)  # it alone says which batch the video belongs to
        self._requests.pop(job_id, None)

    def _unclaim(self, job_id: JobId, claim: str | None) -> None:
        """Free the Idempotency-Key, unless it is a later video's by now, or cannot be read."""
        with skipping_damaged(job_id), contextlib.suppress(ObjectMissing):
            if claim and read_note(self.store, claim, Claim).id == job_id:
                self.store.delete(claim)


def _members(first: Job, seeds: tuple[int, ...]) -> list[Job]:
    """The videos of a batch, a millisecond apart, so that lists show them in order; without seeds `first` alone."""
    if not seeds:
        return [first]
    batch = batch_of(first.id, len(seeds))
    return [
        first.model_copy(
            update={
                "id": job_id,
                "created_ms": first.created_ms + k,
                "request": first.request.model_copy(update={"seed": seed}),
                "idempotency": None if k else first.idempotency,
                "batch": batch,
            }
        )
        for k, (job_id, seed) in enumerate(zip(batch.videos, seeds, strict=True))
    ]


def _check_readable(request: VideoRequest) -> None:
    """What is stored must be readable again, by every process that will meet it. Raises: InvalidRequest."""
    try:
        VideoRequest.model_validate_json(request.model_dump_json())
    except ValidationError as err:
        faults = {".".join(map(str, fault["loc"])) or "request": fault["msg"] for fault in err.errors()}
        text = "; ".join(f"{name}: {message}" for name, message in faults.items())
        raise InvalidRequest(f"the request cannot be stored: {text}", fields=faults) from err
