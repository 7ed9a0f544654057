"""Accept new videos: store everything that belongs to them, then begin their ledgers.

A video exists once its ledger has an entry 0. The order of writes makes a crash between any two of them harmless: the
marker comes first, so a sweep finds what the crash leaves.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import NamedTuple
from uuid import uuid4

from pydantic import ValidationError

from farm.contract import Artifact, Job, JobId, JobPlan
from farm.errors import Conflict, InvalidRequest, NotFound, Unavailable
from farm.jobs.batches import batch_of, is_accepted
from farm.jobs.origin import Origin
from farm.ledger import Entry, Ledger
from farm.ledger.layout import (
    batch_key,
    claim_key,
    entry_key,
    index_key,
    input_key,
    marker_key,
    receiver_key,
    request_key,
)
from farm.ledger.notes import Claim, mark, mark_hooks, read_note
from farm.ledger.states import Event
from farm.receiver import NO_HOOKS, Hooks
from farm.request import VideoRequest
from farm.store import Store


class Submission(NamedTuple):
    """A checked request and everything that is stored with it."""

    request: VideoRequest  #: with model, seed and size filled in
    plan: JobPlan
    images: Mapping[str, bytes]  #: "start", "end", … -> PNG; "source" -> the uploaded video that this one extends
    owner: str
    fingerprint: str  #: sha256 of the request as it was sent
    idempotency_key: str | None = None  #: the same key with the same fingerprint gives the same video
    origin: Origin | None = None  #: the video that this one comes from
    hooks: Hooks = NO_HOOKS  #: the receivers of its end
    seeds: tuple[int, ...] = ()  #: a batch: one video for each seed; empty: one video with the request's own seed


def accept(ledger: Ledger, new: Submission, *, now_s: float) -> tuple[JobId, Entry]:
    """Store a video, or all videos of a batch; return the first one's id and newest entry.

    Once this returns, the farm renders them, even if every process dies. If it fails, none of them exists.
    Raises: InvalidRequest if the request could not be read back; Conflict if the key was used for another request;
    NotFound if the origin is gone; Unavailable if the video of this key is being deleted.
    """
    _check_readable(new.request)
    store = ledger.store
    first, claim = _claimed(store, new, now_s)
    members = _members(new, first, claim)
    begun = None
    if claim is None or not _is_accepted(store, members[0]):
        for job in members[1:]:
            mark(store, job.id, at=now_s)
        events = [_stage(store, job, new, now_s) for job in members]
        if (batch := members[0].batch) is not None:
            store.put_if_absent(batch_key(new.owner, batch.id), batch.model_dump_json().encode())
        begun, *_ = [ledger.begin(job.id, event) for job, event in zip(members, events, strict=True)]
    try:
        return first.id, ledger.head(first.id, after=begun)
    except NotFound as err:  # a sweep gave it up while we were stopped, or its user deleted it
        raise Unavailable("this video was deleted or given up just now; ask again") from err


def _claimed(store: Store, new: Submission, now_s: float) -> tuple[Claim, str | None]:
    """Mark a new video and bind the Idempotency-Key to it. Return what the key stands for, and the claim's key.

    That is the video of an earlier request if that one used the key before.
    """
    ours = Claim(id=JobId(f"video_{uuid4().hex}"), created_ms=int(now_s * 1000), fingerprint=new.fingerprint)
    claim = None if new.idempotency_key is None else claim_key(new.owner, new.idempotency_key)
    mark(store, ours.id, at=now_s, claim=claim)
    if claim is None or store.put_if_absent(claim, ours.model_dump_json().encode()):
        return ours, claim
    first = read_note(store, claim, Claim)
    if first.id != ours.id:
        store.delete(marker_key(ours.id))  # ours will never exist
    if first.fingerprint != new.fingerprint:
        raise Conflict("this Idempotency-Key was used for another request; use a new key for a new video")
    return first, claim


def _members(new: Submission, first: Claim, claim: str | None) -> list[Job]:
    """Return the videos to accept: one, or those of a batch, a millisecond apart so that lists show them in order."""
    batch = batch_of(first.id, len(new.seeds)) if new.seeds else None
    ids, seeds = (batch.videos, new.seeds) if batch else ((first.id,), (new.request.seed,))
    return [
        Job(
            id=job_id,
            owner=new.owner,
            created_ms=first.created_ms + number,
            request=new.request.model_copy(update={"seed": seed}),
            plan=new.plan,
            inputs={},
            idempotency=None if number else claim,
            hooks=new.hooks.hosts,
            batch=batch,
        )
        for number, (job_id, seed) in enumerate(zip(ids, seeds, strict=True))
    ]


def _is_accepted(store: Store, first: Job) -> bool:
    """Tell whether an earlier request with the same key was accepted. Videos that users deleted stay deleted."""
    if first.batch is not None:
        return is_accepted(store, first.batch, first.owner)
    return bool(store.existing({entry_key(first.id, 0)}))


def _stage(store: Store, job: Job, new: Submission, now_s: float) -> Event:
    """Store all of a new video except its ledger; return what its entry 0 will say."""
    mark_hooks(store, job.id, 0, job.hooks, at=now_s)
    if new.hooks.receiver is not None:
        store.put_if_absent(receiver_key(job.id), new.hooks.receiver.model_dump_json().encode())
    inputs = {name: _put_input(store, job.id, name, data) for name, data in sorted(new.images.items())}
    event, parents = Event(name="accepted"), dict[str, JobId]()
    if (origin := new.origin) is not None:
        inputs |= origin.copied_inputs(store, job.id)
        event = origin.copied_work(store, job.id)
        parents = {"remixed_from" if origin.relation == "remix" else "extends": origin.job}
    job = job.model_copy(update={"inputs": inputs, **parents})
    store.put_if_absent(request_key(job.id), job.model_dump_json().encode())
    store.put_if_absent(index_key(job), b"{}")
    return event


def _put_input(store: Store, job_id: JobId, name: str, data: bytes) -> Artifact:
    artifact = Artifact(key=input_key(job_id, name), sha256=hashlib.sha256(data).hexdigest(), bytes=len(data))
    store.put_if_absent(artifact.key, data)
    return artifact


def _check_readable(request: VideoRequest) -> None:
    """Make sure that every process can read the request back. Raises: InvalidRequest."""
    try:
        VideoRequest.model_validate_json(request.model_dump_json())
    except ValidationError as err:
        faults = {".".join(map(str, fault["loc"])) or "request": fault["msg"] for fault in err.errors()}
        text = "; ".join(f"{name}: {message}" for name, message in faults.items())
        raise InvalidRequest(f"the request cannot be stored: {text}", fields=faults) from err
