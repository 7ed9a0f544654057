"""What crosses a border: plain data between ingress, dispatcher and workers, and the protocols deploy/ fills in.

Read this file first: it names every noun of the farm. docs/reference/glossary.md explains them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Literal, NewType, Protocol

from pydantic import BaseModel, ConfigDict, Field

from farm.request import LoraUse, VideoEdit, VideoRequest

if TYPE_CHECKING:
    from PIL.Image import Image

JobId = NewType("JobId", str)
Stage = Literal["encode", "section", "decode", "finish"]


class Value(BaseModel):
    """Frozen plain data; an unknown name is an error, so that two versions notice each other."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Artifact(Value):
    """An object that a stage (or the ingress) wrote: where it lies and what its bytes must be."""

    key: str
    sha256: str
    bytes: int


class JobPlan(Value):
    """What a video will be, known before the first step: lengths, size, and the frames each section makes final."""

    kind: Literal["i2v", "f1"]
    sections: int
    latent_window_size: int
    height: int
    width: int
    frames: int
    final_frames: tuple[int, ...]  #: per section in generation order; 0 = that section's decode is skipped
    fps: int
    source_frames: int = 0  #: of the video that this one goes on from; `frames` counts them too


class Edit(VideoEdit):
    """A user's changes to a video that waited, and from which section on, in generation order, they hold."""

    from_section: int


class Batch(Value):
    """Videos that were asked for together, and accepted together."""

    id: str
    videos: tuple[JobId, ...]


class Job(Value):
    """What was asked for, completed (seed drawn, model and size chosen).

    As request.json it never changes. With a state (farm.jobs.Record) it also says what users changed since: that one
    goes into orders and answers.
    """

    id: JobId
    owner: str
    created_ms: int
    request: VideoRequest
    plan: JobPlan
    inputs: dict[str, Artifact]  #: "start", "end", "keyframe_0" … -> PNG; "source": the video that this one extends
    idempotency: str | None = None  #: key of the object that claims the request's Idempotency-Key
    remixed_from: JobId | None = None  #: whose request, and sections where it shares some, this one began with
    extends: JobId | None = None  #: whose video this one goes on from; None: it was sent, or there is none
    hooks: dict[str, str] = {}  #: who is told of its end: "request" and "farm" -> host of the URL
    batch: Batch | None = None  #: that it is of
    edits: tuple[Edit, ...] = ()  #: already in `request`; never in request.json

    def edited(self, edits: tuple[Edit, ...]) -> Job:
        """The same with the ledger's edits, oldest first, in its request."""
        if not edits:
            return self
        changes = {name: value for edit in edits for name, value in edit.changes().items()}
        return self.model_copy(update={"request": self.request.model_copy(update=changes), "edits": edits})


class OrderKey(Value):
    """Which piece of a video: the stage and, for `section` and `decode`, the section in generation order."""

    stage: Stage
    section: int | None = None

    def __str__(self) -> str:
        """`encode`, `section/3`: the form used in ledger states."""
        return self.stage if self.section is None else f"{self.stage}/{self.section}"

    @classmethod
    def parse(cls, text: str) -> OrderKey:
        """Undo `str`."""
        stage, _, section = text.partition("/")
        return cls.model_validate({"stage": stage, "section": int(section) if section else None})


class Order(Value):
    """One stage of one video, handed to a worker with everything it needs."""

    job: Job
    key: OrderKey
    attempt: int  #: sequence number of the lease's ledger entry; fences the commit
    needs: dict[str, Artifact]  #: "conditioning", "section/2", "clip/1" …: artifacts of earlier stages
    numeric_class: str | None  #: pinned by the video's first commit; None: the worker's own
    numeric_classes: tuple[str, ...] = ()  #: that took part so far
    lease_s: float
    decode_tile_px: int | None = None  #: pinned by the video's encode, where the request leaves it open


def slot_of(worker_id: str) -> str:
    """The place that a worker fills: a worker that replaces a dead one has another id and the same slot."""
    return worker_id.rpartition(".")[0] or worker_id


class Progress(Value):
    """How far a worker is with its order; lives in memory only."""

    job: JobId
    key: OrderKey
    attempt: int
    worker: str
    step: int = 0
    steps: int = 0


class Failure(Value):
    """Why an order ended without a commit. `counts` is false where the video is not to blame (drain, shutdown)."""

    job: JobId
    key: OrderKey
    attempt: int
    worker: str
    code: str
    message: str
    counts: bool = True


class WorkerCard(Value):
    """What a worker says about itself."""

    id: str
    node: str  #: its machine's name in the farm
    device: str
    vram_gib: float | None
    vram_class: str | None = None  #: farm/settings.py; None: a CPU, or less than the smallest class
    numeric_class: str  #: without the attention, which each video chooses
    attentions: tuple[str, ...] = ("sdpa",)  #: those that can compute here
    attention: str = "sdpa"  #: which of them a video gets that leaves it open and begins here
    stages: tuple[Stage, ...]
    models: tuple[str, ...]
    plan: str  #: the memory plan in words
    s_per_section: float | None = None  #: median of the sections it made lately with the model that it holds
    s_per_standard_section: float | None = None  #: the same, as if all had been of farm/jobs/demand.py's standard size
    model: str | None = None  #: the model it holds
    #: GPU memory without which it cannot run here: by model for encode and sections, by "MODEL decode=HOW" for a decode
    needs_gib: dict[str, float] = Field(default_factory=dict)
    preserve_gb: float = 0.0  #: GPU memory left to others
    hours: str = ""  #: of the day in which it works, its machine's local time; none: always
    asleep: bool = False  #: it is outside of them
    ray_node: str = ""  #: Ray's id of its machine, another one at each start of Ray there
    warm: JobId | None = None  #: the video it rendered last, whose context it still holds


Verdict = Literal["go", "stop", "pause", "exit"]  #: to a worker: carry on; drop this order; and rest; end yourself
WorkerWish = Literal["pause", "resume", "drain"]  #: what an operator asks of a worker


class WorkerState(Value):
    """A worker as `/v1/workers` shows it."""

    card: WorkerCard
    state: Literal["idle", "busy", "paused", "draining", "drained"]
    paused: Literal["operator", "hours"] | None = None  #: who wants it to rest; it may be at its last step yet
    job: JobId | None = None
    key: OrderKey | None = None


class LiveJob(Value):
    """What only the dispatcher's memory knows of a video; `version` rises with every change."""

    version: int
    seq: int  #: the newest entry of its ledger that the dispatcher has seen
    progress: Progress | None = None
    eta_s: float | None = None
    queue_position: int | None = None
    waiting_for: str | None = None  #: why nobody can work on it now; None: somebody does, or could


class Load(Value):
    """How many videos have not ended."""

    open: int
    of_owner: int  #: of the one that was asked for


class DispatcherDoor(Protocol):
    """The dispatcher as the ingress sees it. Every call may raise Unavailable: the ledger stays the truth."""

    async def nudge(self, job: JobId) -> None:
        """Say that the ledger of `job` has news. Only a hint: a lost one delays, never loses."""

    async def live(self, job: JobId, *, after_version: int = -1, timeout_s: float = 0.0) -> LiveJob | None:
        """What is known of `job` now, or as soon as its version passes `after_version`; None: nothing is."""

    async def workers(self) -> Sequence[WorkerState]:
        """All workers the dispatcher has heard of lately, and those on leave."""

    async def worker_wish(self, worker_id: str, wish: WorkerWish) -> WorkerState:
        """Pause, resume or drain a worker, named by its id or its slot. Raises: NotFound; Conflict; StoreError."""

    async def load(self, owner: str) -> Load:
        """How many videos have not ended, as far as the dispatcher knows."""


class MetricsDoor(Protocol):
    """What all processes of the farm have measured, as the ingress sees it."""

    async def page(self) -> str:
        """The farm's series as Prometheus text. Raises: Unavailable."""


class ModelCard(Value):
    """A model that can be asked for; `honest` says what to expect of it."""

    name: str
    kind: Literal["i2v", "f1"]
    resolution: int  #: class of the size buckets, px
    needs_image: bool
    honest: str
    forward: str  #: the F1 model that goes on where a video of this one ends


class Planner(Protocol):
    """What the farm must know of the engine. `deploy/` injects it, so that the farm does not import the engine."""

    request_type: type[VideoRequest]  #: VideoRequest with the engine's ranges and choices
    preset_fields: frozenset[str]  #: the request's fields that a preset may fill

    def models(self) -> Mapping[str, ModelCard]:
        """Return the models that this farm can render, by name."""

    def settle(
        self, request: VideoRequest, *, image_size: tuple[int, int] | None, source_frames: int = 0
    ) -> tuple[VideoRequest, JobPlan]:
        """Fill in the request's preset and plan the video. The request's model is set.

        image_size: (height, width) in px of the start image, or of the extended video. source_frames: the length of
        the extended video.
        Raises: InvalidRequest naming the field that the engine cannot render.
        """

    def keyframe_section(self, at_s: float, plan: JobPlan) -> int:
        """Return the section, in generation order, that shows second `at_s` of the video."""

    def pin_loras(self, loras: tuple[LoraUse, ...]) -> tuple[LoraUse, ...]:
        """Return the LoRAs with their sha256, so that every section uses the same bytes. May read large files.

        Raises: InvalidRequest if a LoRA is missing, or has another sha256 than the request asks for.
        """


class VideoFacts(Value):
    """The size and length of a video file, as a player shows it."""

    frames: int
    height: int  #: px
    width: int  #: px
    fps: int


class Media(Protocol):
    """Pictures and video files, as far as the ingress handles them."""

    def upright_rgb(self, image: Image) -> Image:
        """`image` in 8-bit RGB, turned by its EXIF tag, transparency over white. Raises whatever damaged data does."""

    def look_at(self, path: str) -> VideoFacts:
        """What a video file is, without decoding all of it. Raises: UnsupportedImage where it is none."""

    def join(self, clips: Sequence[str], out: str) -> None:
        """Write the mp4 files `clips`, in time order, into `out` without encoding anything again.

        Raises: Damaged where they cannot be joined.
        """


_ID = re.compile(r"video_[0-9a-f]{32}")


def is_id(text: str) -> bool:
    """Whether `text` could be a video's id."""
    return _ID.fullmatch(text) is not None


AUTO = "auto"  #: in a request: by the worker that begins the video
#: as `framepack_engine.planning.spec` names them; a test compares
ATTENTIONS = ("sdpa", "cudnn", "flash", "flash-3", "sage", "xformers")
