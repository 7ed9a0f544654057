"""All videos in one store: accept them, find them, write users' wishes into their ledgers, delete them.

Every method is synchronous; call it from a thread.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Literal, NamedTuple

from farm.contract import Artifact, Job, JobId
from farm.errors import Conflict, NotFound
from farm.jobs.accept import Submission, accept
from farm.jobs.erase import erase
from farm.jobs.sweep import sweep
from farm.ledger import Entry, Ledger
from farm.ledger.layout import OPEN_MARKERS, claim_key, index_key, parse_marker, request_key
from farm.ledger.notes import mark, mark_hooks, read_note
from farm.ledger.states import OPEN, Event, JobState
from farm.request import VideoEdit
from farm.store import ObjectMissing, Store
from framefarm_client.names import is_id

Wish = Literal["pause", "resume", "cancel", "retry"]
_REMEMBERED = 2000  #: requests kept in memory
_REMEMBERED_S = 1800.0  #: less than a tombstone lasts: behind it, another owner may import a video of that id


class Record(NamedTuple):
    """A video: the accepted request, and the newest entry of its ledger."""

    asked: Job  #: request.json
    head: Entry

    @property
    def job(self) -> Job:
        """The request with users' later edits, which the ledger holds. Everything but an export uses this one."""
        return self.asked.edited(self.head.state.edits)

    def after_sections(self, number: int) -> Record:
        """Return the video as it was when its first `number` sections were made and decoded."""
        state = self.head.state
        clips = {section: seq for section, seq in state.clips.items() if int(section) < number}
        before = state.model_copy(update={"sections": state.sections[:number], "clips": clips, "video": None})
        return self._replace(head=self.head.model_copy(update={"state": before}))


class Jobs:
    """All videos in one store."""

    def __init__(self, store: Store, *, clock: Callable[[], float] = time.time) -> None:
        """`clock` gives unix seconds."""
        self.store, self.ledger, self._clock = store, Ledger(store, clock=clock), clock
        self._requests: dict[JobId, tuple[float, Job]] = {}  # when it was read; it does not change

    def accept(self, new: Submission) -> Record:
        """Store a video, or all videos of a batch; return the first. Raises: as farm.jobs.accept.accept."""
        job_id, head = accept(self.ledger, new, now_s=self._clock())
        return Record(self.request(job_id), head)

    def is_claimed(self, idempotency_key: str | None, *, owner: str) -> bool:
        """Tell whether an earlier request used this key."""
        return idempotency_key is not None and bool(self.store.existing({claim_key(owner, idempotency_key)}))

    def enter(self, job: Job, *, is_open: bool) -> None:
        """Register an imported video whose objects and ledger are already stored; is_open: it has not ended.

        Raises: Conflict if another video has its id.
        """
        self.store.put_if_absent(index_key(job), b"{}")
        if is_open:
            mark(self.store, job.id, at=self._clock())
        key, data = request_key(job.id), job.model_dump_json().encode()
        if not self.store.put_if_absent(key, data) and self.store.get(key) != data:
            raise Conflict(f"{job.id} exists with another request")

    def get(self, job_id: str, *, owner: str | None) -> Record:
        """Return the video if it belongs to `owner` (None: to anybody). Raises: NotFound."""
        if not is_id(job_id):
            raise NotFound(f"no video {job_id[:60]!r}")
        try:
            job = self.request(JobId(job_id))
        except ObjectMissing as err:
            raise NotFound(f"no video {job_id}") from err
        if owner is not None and job.owner != owner:
            raise NotFound(f"no video {job_id}")
        return Record(job, self.ledger.head(job.id))

    def wish(self, job_id: str, wish: Wish, *, owner: str) -> Record:
        """Write a user's wish into the ledger. Raises: NotFound; Conflict if the video's state forbids it."""
        job, head = self.get(job_id, owner=owner)
        if wish != "retry":
            return Record(job, self.ledger.append(job.id, Event(name=wish), after=head))
        mark_hooks(self.store, job.id, head.seq + 1, job.hooks, at=self._clock())
        return Record(job, self._append_marked(job.id, Event(name=wish), head))

    def edit(self, job_id: str, edit: VideoEdit, *, owner: str) -> Record:
        """Write a user's changes into the ledger. Raises: NotFound; Conflict if the video's state forbids them."""
        job, head = self.get(job_id, owner=owner)

        def check(state: JobState) -> None:  # of the newest entry: a worker may just have committed the last section
            if edit.prompt is not None and state.status in OPEN and len(state.sections) == job.plan.sections:
                raise Conflict("all sections are made, so another prompt would change nothing; remix the video")

        return Record(job, self.ledger.append(job.id, Event(name="edited", edit=edit), after=head, check=check))

    def delete(self, job_id: str, *, owner: str) -> None:
        """Erase an ended video. Raises: NotFound; Conflict if it has not ended.

        Request, inputs and artifacts go at once. The ledger now ends in a tombstone, which refuses late writers; a
        sweep removes it an hour later.
        """
        job, head = self.get(job_id, owner=owner)
        self._append_marked(job.id, Event(name="deleted"), head)
        erase(self.store, job.id)
        self._requests.pop(job.id, None)

    def artifact(self, record: Record, name: str) -> Artifact | None:
        """Return a committed artifact: "conditioning", "section/3", "preview/3", "clip/3", "frames/3", "step", …."""
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
        return self.ledger.artifact(record.job.id, seq, kind if seq else name)  # entry 0 of a remix names many

    def request(self, job_id: JobId) -> Job:
        """Return the request as it was accepted. Raises: ObjectMissing; Damaged if it cannot be read."""
        read_at, job = self._requests.get(job_id, (0.0, None))
        if job is None or self._clock() - read_at > _REMEMBERED_S:
            job = read_note(self.store, request_key(job_id), Job)
            self._requests.pop(job_id, None)
            while len(self._requests) >= _REMEMBERED:
                self._requests.pop(next(iter(self._requests)), None)
            self._requests[job_id] = self._clock(), job
        return job

    def open_ids(self) -> list[JobId]:
        """Return the videos with a marker: all that have not ended, and those that need tidying up."""
        return list(dict.fromkeys(filter(None, map(parse_marker, self.store.list(OPEN_MARKERS)))))

    def sweep(self, job_id: JobId) -> Record | None:
        """Return the video behind a marker if it has not ended; otherwise tidy up and return None."""
        head = sweep(self.ledger, job_id, now_s=self._clock())
        return None if head is None else Record(self.request(job_id), head)

    def note_losses(self, job_id: JobId, event: Event) -> None:
        """Write into the ledger what the store lost of the video, so that a farm makes it again.

        Raises: Conflict if nothing of it is lost any more; NotFound; Damaged.
        """
        head = self.ledger.head(job_id)
        if head.state.status in {"failed", "cancelled"}:  # only a retry goes on with it
            self.ledger.append(job_id, event, after=head)
        else:
            self._append_marked(job_id, event, head)

    def _append_marked(self, job_id: JobId, event: Event, head: Entry) -> Entry:
        """Append an event after which a sweep must find the video, even if a sweep is just removing its marker."""
        mark(self.store, job_id, at=self._clock())  # before: a crash after the entry loses nothing
        entry = self.ledger.append(job_id, event, after=head)
        mark(self.store, job_id, at=self._clock())  # after: a sweep that read the old state may have removed it
        return entry
