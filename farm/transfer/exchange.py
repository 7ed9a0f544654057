"""Export and import a video: its request, inputs, ledger and artifacts, as they are at one ledger entry.

Some facts belong to a farm and stay there: owner, idempotency key, batch, webhook, and the epochs of its dispatchers,
which would outrank the dispatcher of the other farm.
"""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from PIL import Image, UnidentifiedImageError
from pydantic import ValidationError

from farm.contract import Artifact, Job, JobId
from farm.errors import Conflict, FarmError, NotFound
from farm.intake.body import checked
from farm.intake.prepare import Tools
from farm.jobs import Jobs, Record
from farm.ledger import Entry
from farm.ledger.layout import (
    IMPORTS,
    REQUEST,
    RESERVED,
    entry_key,
    entry_path,
    import_key,
    log_folder,
    parse_entry,
    part_of,
    video_folder,
)
from farm.ledger.states import OPEN, ErrorInfo, Event, JobState, accepted, advance, made, maker_of
from framefarm_client.archive import Manifest, Member, bad_archive

_NOBODY = "nobody"  #: the owner in an archive
_LATEST_S = 1e11  #: later unix times are impossible


class Snapshot(NamedTuple):
    """A video as it is at one ledger entry."""

    manifest: Manifest
    read: Callable[[Member], Iterator[bytes]]


class Arrived(NamedTuple):
    """An unpacked archive that has passed all checks. Nothing of it is stored yet."""

    job: Job  #: with its id and owner on this farm
    folder: Path
    manifest: Manifest
    last: int  #: seq of its newest ledger entry
    state: JobState
    artifacts: dict[str, Artifact]  #: path -> artifact, with its key on this farm

    @property
    def is_open(self) -> bool:
        """Tell whether the video has not ended, so that it counts against the limits of this farm."""
        return self.state.status in OPEN

    def entry(self, seq: int) -> Entry:
        """Return a ledger entry as this farm stores it."""
        return _renamed(_read_entry(self.folder, seq), JobId(self.manifest.id), self.job.id)


def snapshot(jobs: Jobs, record: Record) -> Snapshot:
    """Collect everything that the ledger names up to the record's head; later entries stay out.

    Of a video of which the store has lost something, objects that nothing needs any more stay out.
    Raises: StoreError. A damaged object is noticed only when it is read.
    """
    job_id, folder = record.job.id, video_folder(record.job.id)
    request = _neutral(record.asked).model_dump_json().encode()
    named, unneeded = {artifact.key: artifact for artifact in record.asked.inputs.values()}, set[str]()
    members, has_lost = [_member(REQUEST, request)], False
    for seq in range(record.head.seq + 1):
        entry = jobs.ledger.entry(job_id, seq)
        named |= {artifact.key: artifact for artifact in entry.event.artifacts.values()}
        unneeded |= _unneeded(entry, record.head.state)
        has_lost = has_lost or entry.event.name == "lost"
        members.append(_member(entry_path(seq), _entry_bytes(entry)))
    members += [
        Member(path=key.removeprefix(folder), sha256=artifact.sha256, bytes=artifact.bytes)
        for key, artifact in sorted(named.items())
        if not (has_lost and key in unneeded)
    ]

    def read(member: Member) -> Iterator[bytes]:
        if member.path == REQUEST:
            return iter([request])
        key = f"{folder}{member.path}"
        if (seq := parse_entry(key)) is not None:  # read again: a long video's ledger is not kept in memory
            return iter([_entry_bytes(jobs.ledger.entry(job_id, seq))])
        return jobs.store.open_read(key)

    return Snapshot(Manifest(id=job_id, objects=tuple(members)), read)


def import_video(arrived: Arrived, jobs: Jobs, tools: Tools) -> Record:
    """Store an exported video. If it has not ended, this farm goes on with it, with the same bits.

    A second import of the same archive returns the same video.
    Raises: InvalidRequest if this farm would plan another video for the request; Conflict if other content has its id.
    """
    _check_here(arrived, tools)
    job, store = arrived.job, jobs.store
    if (found := _existing(arrived, jobs)) is not None:
        return found
    store.put_if_absent(import_key(job.id), b"{}")  # tells an interrupted import from a damaged video
    for path, artifact in sorted(arrived.artifacts.items()):
        if not store.put_if_absent(artifact.key, arrived.folder / path):
            _check_same(jobs, artifact)
    for seq in range(arrived.last + 1):
        data = _entry_bytes(arrived.entry(seq))
        key = entry_key(job.id, seq)
        if not store.put_if_absent(key, data) and store.get(key) != data:
            raise _taken(job.id)
    _release(jobs, job.id)
    jobs.enter(job, is_open=arrived.is_open)
    store.delete(import_key(job.id))
    return jobs.get(job.id, owner=job.owner)


def read_arrived(manifest: Manifest, folder: Path, *, owner: str, new_id: bool) -> Arrived:
    """Check that the files in `folder` are one video with a legal ledger.

    new_id: give it a new id, made from the old one and the owner.
    Raises: InvalidRequest if no farm could have exported it.
    """
    try:
        sent = Job.model_validate_json((folder / REQUEST).read_bytes())
        named, last, state = _replayed(manifest, folder)
    except (OSError, ValidationError, ValueError) as err:
        raise bad_archive(f"it is not a video of a farm: {_words(err)}") from err
    if sent.id != manifest.id or not 0 <= sent.created_ms <= (time.time() + 86400) * 1000:
        raise bad_archive("its request is not that of this video")
    named |= {artifact.key: artifact for artifact in sent.inputs.values()}
    members, artifacts = manifest.named(), dict[str, Artifact]()
    job_id = _new_id(sent.id, owner, members[entry_path(0)]) if new_id else sent.id
    unneeded = set[str]().union(*(_unneeded(_read_entry(folder, seq), state) for seq in range(last + 1)))
    for key, artifact in named.items():
        path = key.removeprefix(video_folder(sent.id))
        member = members.get(path)
        if member is None and key in unneeded:  # the other farm's store lost it
            continue
        if path == key or part_of(path) in RESERVED or member is None:
            raise bad_archive(f"its ledger names {key[:80]!r}, which it does not hold")
        if (member.sha256, member.bytes) != (artifact.sha256, artifact.bytes):
            raise bad_archive(f"{path} is not the object that its ledger names")
        artifacts[path] = _moved(artifact, sent.id, job_id)
    known = {REQUEST, *artifacts, *(entry_path(seq) for seq in range(last + 1))}
    if extra := members.keys() - known:
        raise bad_archive(f"nothing in it names {min(extra)[:80]!r}")
    inputs = {name: _moved(artifact, sent.id, job_id) for name, artifact in sent.inputs.items()}
    job = _neutral(sent).model_copy(update={"id": job_id, "owner": owner, "inputs": inputs})
    return Arrived(job, folder, manifest, last, state, artifacts)


def _replayed(manifest: Manifest, folder: Path) -> tuple[dict[str, Artifact], int, JobState]:
    """Replay the ledger; return its artifacts, its last seq and its state. Raises: ValueError, InvalidRequest."""
    named, state, seq = dict[str, Artifact](), JobState(), -1
    paths = manifest.named()
    while entry_path(seq + 1) in paths:
        seq += 1
        entry = _read_entry(folder, seq)
        event = entry.event
        if not (0 <= entry.at < _LATEST_S and math.isfinite(event.seconds) and event.seconds >= 0):
            raise ValueError(f"ledger entry {seq} has impossible times")
        try:
            state = advance(state, event, seq=seq, at=entry.at) if seq else accepted(event)
        except FarmError as err:
            raise ValueError(f"ledger entry {seq} is not legal: {err}") from err
        if (entry.seq, entry.epoch, entry.state) != (seq, 0, state) or state.status == "deleted":
            raise ValueError(f"ledger entry {seq} does not follow from the one before")
        named |= {artifact.key: artifact for artifact in event.artifacts.values()}
    if seq < 0:
        raise ValueError("it has no ledger")
    return named, seq, state


def _check_here(arrived: Arrived, tools: Tools) -> None:
    """Check that this farm can go on with the video and that its inputs are harmless. Raises: InvalidRequest."""
    job, planner = arrived.job, tools.planner
    request = checked({}, {}, planner, kept=job.request.model_dump()).request
    _, plan = planner.settle(request, image_size=None, source_frames=job.plan.source_frames)
    if plan != job.plan:
        raise bad_archive("this farm plans another video for its request; the exporting farm has another version")
    if arrived.is_open:
        planner.pin_loras(job.request.loras)
    for name, artifact in job.inputs.items():
        path = arrived.folder / artifact.key.removeprefix(video_folder(job.id))
        if name == "source":
            facts = tools.media.look_at(str(path))
            if (facts.frames, facts.height, facts.width) != (job.plan.source_frames, job.plan.height, job.plan.width):
                raise bad_archive("the video that it extends differs in size or length from its plan")
        else:
            _check_picture(path, tools.settings.max_pixels)


def _check_picture(path: Path, max_pixels: int) -> None:
    try:
        with Image.open(path, formats=["PNG"]) as image:
            width, height = image.size
    except (UnidentifiedImageError, OSError, ValueError, Image.DecompressionBombError) as err:
        raise bad_archive(f"{path.name} is not a PNG") from err
    if width * height > max_pixels:
        raise bad_archive(f"{path.name} has {width}x{height} px, over the limit of {max_pixels:,} px (FARM_MAX_PIXELS)")


def is_here(arrived: Arrived, jobs: Jobs) -> bool:
    """Tell whether the video was imported before. Raises: Conflict if other content has its id."""
    return _existing(arrived, jobs) is not None


def _existing(arrived: Arrived, jobs: Jobs) -> Record | None:
    """Return the same video, at this entry or a later one, if it is here. Raises: Conflict if another one is."""
    job = arrived.job
    try:
        record = jobs.get(job.id, owner=None)
    except NotFound as err:
        log = jobs.store.list(log_folder(job.id))
        if log and import_key(job.id) not in jobs.store.list(IMPORTS):
            raise Conflict(f"{job.id} was deleted here; wait an hour, or import it under a new id") from err
        return None
    here = (
        jobs.ledger.entry(job.id, seq).model_copy(update={"epoch": 0}) == arrived.entry(seq)
        for seq in range(arrived.last + 1)
    )
    same_request = (_neutral(record.asked), record.asked.owner) == (_neutral(job), job.owner)
    if same_request and record.head.seq >= arrived.last and all(here):
        return record
    raise _taken(job.id)


def _check_same(jobs: Jobs, artifact: Artifact) -> None:
    """Accept an existing object if an interrupted import of ours wrote it. Raises: Conflict if it differs."""
    digest = hashlib.sha256()
    for piece in jobs.store.open_read(artifact.key):
        digest.update(piece)
    if digest.hexdigest() != artifact.sha256:
        raise Conflict(f"{artifact.key} exists here with other content; import the video under a new id")


def _release(jobs: Jobs, job_id: JobId) -> None:
    """End the leases of the other farm's workers."""
    head = jobs.ledger.head(job_id)
    for key, lease in head.state.leases.items():
        error = ErrorInfo(code="imported", message="the video moved to another farm")
        event = Event(name="released", key=key, attempt=lease.attempt, error=error)
        head = jobs.ledger.append(job_id, event, after=head)


def _neutral(job: Job) -> Job:
    """Remove what belongs to one farm only."""
    return job.model_copy(update={"owner": _NOBODY, "idempotency": None, "hooks": {}, "edits": (), "batch": None})


def _moved(artifact: Artifact, old: JobId, new: JobId) -> Artifact:
    return artifact.model_copy(update={"key": artifact.key.replace(video_folder(old), video_folder(new), 1)})


def _renamed(entry: Entry, old: JobId, new: JobId) -> Entry:
    artifacts = {name: _moved(artifact, old, new) for name, artifact in entry.event.artifacts.items()}
    return entry.model_copy(update={"event": entry.event.model_copy(update={"artifacts": artifacts})})


def _new_id(old: JobId, owner: str, first: Member) -> JobId:
    """Return the same id for the same video and owner, so that a repeated import makes no second video."""
    return JobId(f"video_{hashlib.sha256(f'{old} {owner} {first.sha256}'.encode()).hexdigest()[:32]}")


def _taken(job_id: JobId) -> Conflict:
    return Conflict(f"{job_id} exists here with other content; import it under a new id, or delete the one here")


def _unneeded(entry: Entry, head: JobState) -> set[str]:
    """Return the keys that an entry names and that a video in state `head` needs no more."""
    there = made(head)
    named = entry.event.artifacts.items()
    return {artifact.key for name, artifact in named if there.get(maker_of(name, entry.event)) != entry.seq}


def _read_entry(folder: Path, seq: int) -> Entry:
    return Entry.model_validate_json((folder / entry_path(seq)).read_bytes())


def _entry_bytes(entry: Entry) -> bytes:
    return entry.model_copy(update={"epoch": 0}).model_dump_json(exclude_defaults=True).encode()


def _member(path: str, data: bytes) -> Member:
    return Member(path=path, sha256=hashlib.sha256(data).hexdigest(), bytes=len(data))


def _words(err: Exception) -> str:
    """Say what is wrong without quoting the archive."""
    if isinstance(err, ValidationError):
        return f"{err.error_count()} faults in its request or ledger"
    return err.strerror or "a file is missing" if isinstance(err, OSError) else str(err)
