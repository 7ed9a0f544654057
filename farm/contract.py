"""Plain data that ingress, dispatcher and workers exchange, and the protocols that deploy/ fills in.

Read this file first: it names every noun of the farm. The glossary explains them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import TYPE_CHECKING, Literal, NewType, Protocol

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from farm.request import LoraUse, VideoEdit, VideoRequest

if TYPE_CHECKING:
    from PIL.Image import Image

JobId = NewType("JobId", str)
Stage = Literal["encode", "section", "decode", "finish"]
#: to a worker: go on; go on, and send previews; drop this order; drop it and rest; end
Verdict = Literal["go", "show", "stop", "pause", "exit"]
WorkerWish = Literal["pause", "resume", "drain"]  #: an operator's wish for a worker
AUTO = "auto"  #: a request's attention: the worker that starts the video chooses it


def slot_of(worker_id: str) -> str:
    """Return the worker's slot. The worker that replaces a dead one has the same slot and another id."""
    return worker_id.rpartition(".")[0] or worker_id


class Value(BaseModel):
    """Frozen plain data. Unknown names are errors, so that two versions of the farm notice each other."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Artifact(Value):
    """An object that a stage (or the ingress) wrote: its key, and what its bytes must be."""

    key: str
    sha256: str
    bytes: int


class JobPlan(Value):
    """The video that a request leads to: its size, its length, and the frames that each section completes."""

    kind: Literal["i2v", "f1"]
    sections: int
    latent_window_size: int
    height: int
    width: int
    frames: int
    final_frames: tuple[int, ...]  #: per section in generation order; 0: that section needs no decode
    fps: int
    source_frames: int = 0  #: frames of the extended video; `frames` includes them


class Edit(VideoEdit):
    """A user's changes to a waiting video, and the first section that they affect."""

    from_section: int


class Moved(Value):
    """The turn that a user gave a video, taken from the neighbours that it had then. Lower goes first.

    `since_s` is its neighbour's: both stay in one tier of the owner's videos while they wait. The next three decide
    within the tier.
    """

    since_s: float  #: unix seconds from which its waiting counts among the owner's videos
    at_s: float  #: unix seconds, as a standing
    beside: JobId  #: the video whose standing that was
    by: Fraction  #: how far behind that video


class Batch(Value):
    """Videos that one request asked for."""

    id: str
    videos: tuple[JobId, ...]


class Job(Value):
    """An accepted video: its request with every choice made (seed, model, size), and its plan.

    request.json holds it as it was accepted. `farm.jobs.Record.job` adds the user's later edits; orders and answers
    use that one.
    """

    id: JobId
    owner: str
    created_ms: int
    request: VideoRequest
    plan: JobPlan
    inputs: dict[str, Artifact]  #: "start", "end", "keyframe_0" … -> PNG; "source" -> the extended video
    idempotency: str | None = None  #: the key of the object that claims the request's Idempotency-Key
    remixed_from: JobId | None = None  #: the video that it remixes
    extends: JobId | None = None  #: the video of this farm that it extends
    hooks: dict[str, str] = {}  #: receivers of its end: "request" and "farm" -> host of the URL
    batch: Batch | None = None
    edits: tuple[Edit, ...] = ()  #: already applied to `request`; never in request.json

    def edited(self, edits: tuple[Edit, ...]) -> Job:
        """Apply the ledger's edits, oldest first, to the request."""
        if not edits:
            return self
        changes = {name: value for edit in edits for name, value in edit.changes().items()}
        return self.model_copy(update={"request": self.request.model_copy(update=changes), "edits": edits})

    def shown_edits(self) -> list[dict[str, object]]:
        """Return the edits that tell how the video was made: all but those of its labels alone."""
        shown = [edit.model_dump(exclude_none=True, exclude={"labels"}) for edit in self.edits]
        return [edit for edit in shown if len(edit) > 1]


class OrderKey(Value):
    """Which piece of a video an order makes: the stage and, for `section` and `decode`, the section's number."""

    stage: Stage
    section: int | None = None  #: in generation order

    def __str__(self) -> str:
        """Return `encode` or `section/3`, as ledger states write it."""
        return self.stage if self.section is None else f"{self.stage}/{self.section}"

    @classmethod
    def parse(cls, text: str) -> OrderKey:
        """Undo `str`."""
        stage, _, section = text.partition("/")
        return cls.model_validate({"stage": stage, "section": int(section) if section else None})


class Order(Value):
    """A stage of a video for one worker, with everything that the worker needs."""

    job: Job
    key: OrderKey
    attempt: int  #: the sequence number of the lease's ledger entry; it fences the commit
    needs: dict[str, Artifact]  #: "conditioning", "section/2", "clip/1" … -> artifacts of earlier stages
    numeric_class: str | None  #: that of the video's first commit; None: the worker uses its own
    numeric_classes: tuple[str, ...] = ()  #: all that have taken part so far
    lease_s: float
    decode_tile_px: int | None = None  #: chosen by the video's encode if the request leaves it open


class Preview(Value):
    """A section while it is made, as it looked after a step. It lives in memory only."""

    step: int
    webp: bytes  #: the section's latent frames side by side, each latent pixel as a pixel


class Progress(Value):
    """How far a worker is with its order. It lives in memory only."""

    job: JobId
    key: OrderKey
    attempt: int
    worker: str
    step: int = 0
    steps: int = 0
    preview: Preview | None = None  #: only while somebody watches


class Failure(Value):
    """Why an order ended without a commit."""

    job: JobId
    key: OrderKey
    attempt: int
    worker: str
    code: str
    message: str
    counts: bool = True  #: False: the video is not to blame (drain, shutdown)


class WorkerCard(Value):
    """A worker's report about itself to the dispatcher."""

    id: str
    node: str  #: the name of its machine in the farm
    device: str
    vram_gib: float | None
    vram_class: str | None = None  #: see farm/settings.py; None: a CPU, or less than the smallest class
    numeric_class: str  #: without the attention, which each video chooses
    attentions: tuple[str, ...] = ("sdpa",)  #: those that can compute here
    attention: str = "sdpa"  #: the one for videos that start here and leave it open
    stages: tuple[Stage, ...]
    models: tuple[str, ...]
    plan: str  #: the memory plan in words
    s_per_section: float | None = None  #: the median of recent sections with the loaded model
    s_per_standard_section: float | None = None  #: the same, scaled to the standard section of farm/jobs/demand.py
    model: str | None = None  #: the loaded model
    #: the least GPU memory: MODEL -> for encode and section, "MODEL decode=HOW" -> for a decode
    needs_gib: dict[str, float] = Field(default_factory=dict)
    preserve_gb: float = 0.0  #: GPU memory left to other programs
    hours: str = ""  #: when it works, in its machine's local time; empty: always
    asleep: bool = False  #: it is outside its hours
    ray_node: str = ""  #: Ray's id of its machine; it changes whenever Ray starts there
    warm: JobId | None = None  #: the video that it rendered last; it still holds the context


class WorkerState(Value):
    """A worker as `/v1/workers` shows it."""

    card: WorkerCard
    state: Literal["idle", "busy", "paused", "draining", "drained"]
    paused: Literal["operator", "hours"] | None = None  #: why it pauses; it may still be at its last step
    job: JobId | None = None
    key: OrderKey | None = None
    owner: str | None = None  #: of that video
    percent: int | None = None  #: of that video that is done


class LiveJob(Value):
    """Facts about a video that only the dispatcher's memory has."""

    progress: Progress | None = None
    eta_s: float | None = None
    queue_position: int | None = None
    waiting_for: str | None = None  #: why no worker can take it now; None: a worker has it, or could


class Load(Value):
    """How many videos have not ended."""

    open: int
    of_owner: int  #: of the owner that was asked about


class MetricsDoor(Protocol):
    """The measurements of all the farm's processes, as the ingress sees them."""

    async def page(self) -> str:
        """Return the farm's series as Prometheus text. Raises: Unavailable."""


class ModelCard(Value):
    """A model that a request may name."""

    name: str
    kind: Literal["i2v", "f1"]
    resolution: int  #: its size class, px
    needs_image: bool
    buckets: tuple[tuple[int, int], ...]  #: its sizes, (height, width) in px
    honest: str  #: the quality to expect, in plain words
    forward: str  #: the F1 model that extends a video of this one


class Weights(Value):
    """How much of a model lies on the ingress's machine."""

    here: bool  #: there is nothing to fetch
    missing_bytes: int | None  #: about; None: unknown


class PresetCard(Value):
    """A built-in preset."""

    name: str
    fields: dict[str, JsonValue]  #: the values that it fills in
    by_size: tuple[str, ...]  #: further fields that it fills in, by the size of the video
    prompt: str  #: a sample; empty: it has none


class LoraCard(Value):
    """A LoRA in the farm's folder, as its file and the files beside it tell."""

    name: str
    bytes: int
    sha256: str | None = None  #: None: nothing has used it since this process began
    trigger_words: tuple[str, ...] = ()
    base_model: str | None = None
    note: str | None = None
    preview: str | None = None  #: the version of its picture; None: it has none
    models: tuple[str, ...] = ()  #: those that it fits
    fault: str | None = None  #: why it cannot be used


class Prompting(Value):
    """Advice for people who write prompts."""

    guide: tuple[str, ...]
    samples: tuple[str, ...]


class Planner(Protocol):
    """The engine, as far as the farm must know it. `deploy/` injects it, so the farm does not import the engine."""

    request_type: type[VideoRequest]  #: VideoRequest with the engine's ranges and choices
    preset_fields: frozenset[str]  #: the request's fields that a preset may fill

    def models(self) -> Mapping[str, ModelCard]:
        """Return the models that this farm can render, by name."""

    def presets(self) -> Sequence[PresetCard]:
        """Return the built-in presets."""

    def loras(self) -> Sequence[LoraCard]:
        """Return the LoRAs in this machine's folder, by name. Reads the heads of their files."""

    def lora_picture(self, name: str) -> tuple[str, str]:
        """Return the picture beside a LoRA: its version, and the path of its file. Raises: NotFound."""

    def weights(self, model: str) -> Weights:
        """Return how much of a model lies on this machine. Looks at its files."""

    def prompting(self, model: str) -> Prompting:
        """Return advice on prompts for a model."""

    def settle(
        self, request: VideoRequest, *, image_size: tuple[int, int] | None, source_frames: int = 0
    ) -> tuple[VideoRequest, JobPlan]:
        """Fill in the request's preset and plan the video. The request's model is set.

        image_size: (height, width) in px of the start image, or of the extended video. source_frames: the length of
        the extended video.
        Raises: InvalidRequest naming the field that the engine cannot render.
        """

    def sections(self, request: VideoRequest) -> int:
        """Return how many sections the request asks for."""

    def border(self, request: VideoRequest, at_s: float) -> int:
        """Return how many sections begin before the border nearest to `at_s`; after the video's end, all of them."""

    def keyframe_section(self, at_s: float, plan: JobPlan) -> int:
        """Return the section, in generation order, that shows second `at_s` of the video."""

    def section_starts(self, plan: JobPlan) -> Sequence[int]:
        """Return the frame at which each section begins, in generation order."""

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
    """The engine's reading and writing of pictures and video files. `deploy/` injects it."""

    def upright_rgb(self, image: Image) -> Image:
        """Convert to 8-bit RGB, turned by the EXIF tag, white behind transparency. Damaged data raises any error."""

    def look_at(self, path: str) -> VideoFacts:
        """Read a video file's size and length without decoding all of it. Raises: UnsupportedImage."""

    def provenance(self, path: str) -> Mapping[str, object]:
        """Return what a farm wrote into an mp4 of how it was made; empty for any other. Raises: UnsupportedImage."""

    def frame(self, path: str, number: int) -> Image:
        """Return one frame of a video file as shown, decoding few others. Raises: Damaged if it cannot be read."""

    def join(self, clips: Sequence[str], out: str) -> None:
        """Join the mp4 files `clips`, given in time order, into `out` without encoding again. Raises: Damaged."""
