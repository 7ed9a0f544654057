"""The demands of a video on the workers, as plain numbers: its waiting orders, their needs, and the work left.

The unit of work is the standard section: 9 latent frames at 640x608 in 25 steps, without true CFG.
"""

from __future__ import annotations

from typing import NamedTuple

from farm.contract import Job, JobId, JobPlan, Moved, OrderKey, Stage, WorkerCard, slot_of
from farm.jobs.jobs import Record
from farm.ledger.states import JobState, Status, runnable
from farm.numeric_class import NumericClass, attention_for, parse_class
from farm.request import VideoRequest, deadline_s

SIDE_WORK = 1 / 9  #: an encode, a decode or a finish, beside its section: about its share with the 13B model
_STANDARD_LATENTS = 9 * 640 * 608
_STANDARD_STEPS = 25


class Need(NamedTuple):
    """The requirements that an order makes of a worker. Orders of equal need are equal to every worker."""

    stage: Stage
    model: str
    numeric_class: NumericClass | None = None  #: without threads and attention: a worker sets them; None: any
    attention: str | None = None  #: of a section; None: any. If no worker has it, another one gets the order
    preserve_gb: float | None = None  #: GPU memory left to other programs; None: the worker's own setting
    decode: str | None = None  #: how the stage `decode` makes frames: some ways take more memory


class Piece(NamedTuple):
    """An order that could be leased now."""

    key: OrderKey
    need: Need
    work: float  #: standard sections


class Demand(NamedTuple):
    """A video as the scheduler sees it. Times are unix seconds."""

    job: JobId
    owner: str
    created_s: float
    pieces: tuple[Piece, ...]  #: most urgent first; empty if all are leased, or the video is paused
    remaining: float  #: standard sections of all that is left, leased orders included
    priority: int = 0
    deadline_s: float | None = None
    failed: frozenset[str] = frozenset()  #: slots whose workers failed on it
    status: Status = "queued"
    moved: Moved | None = None  #: the turn that its owner gave it

    @property
    def since_s(self) -> float:
        """From when its waiting counts among its owner's videos."""
        return self.moved.since_s if self.moved else self.created_s


def demand_of(record: Record) -> Demand:
    """Return the demand of a video in its newest known state."""
    job, state = record.job, record.head.state
    return Demand(
        job=job.id,
        owner=job.owner,
        created_s=job.created_ms / 1000,
        pieces=tuple(
            Piece(key, need_of(record, key.stage), order_work(job, key.stage)) for key in runnable(job.plan, state)
        ),
        remaining=section_work(job.request, job.plan) * _sections_left(job, state),
        priority=job.request.priority,
        deadline_s=_deadline_s(job),
        failed=frozenset(slot_of(failure.worker) for failure in state.failures),
        status=state.status,
        moved=state.moved,
    )


def need_of(record: Record, stage: Stage) -> Need:
    """Return what a worker must have for this stage of the video."""
    return need_for(record.job.request, stage, record.head.state.numeric_class)


def need_for(request: VideoRequest, stage: Stage, pinned: str | None) -> Need:
    """Return what a worker must have for this stage of a video whose numeric class is `pinned` (None: not yet)."""
    pinned = None if request.allow_mixed else pinned
    attention = attention_for(request.attention, pinned)
    wanted = None
    if pinned is not None and stage != "finish":
        wanted = parse_class(pinned)._replace(attention=None, threads=None)
    return Need(
        stage=stage,
        model=request.model or "",
        numeric_class=wanted,
        attention=attention if stage == "section" else None,
        preserve_gb=request.preserve_gb,
        decode=request.decode if stage == "decode" else None,
    )


def fits(card: WorkerCard, need: Need) -> bool:
    """Whether the worker has the stage, the model and enough memory, and computes in the video's numeric class."""
    if need.stage not in card.stages or need.model not in card.models:
        return False
    if card.vram_gib is not None and need.stage != "finish":
        room_gib = card.vram_gib - (card.preserve_gb if need.preserve_gb is None else need.preserve_gb)
        least_gib = card.needs_gib.get(need.model, 0.0)
        if need.decode is not None:
            least_gib = card.needs_gib.get(f"{need.model} decode={need.decode}", least_gib)
        if room_gib <= 0 or room_gib < least_gib:
            return False
    return need.numeric_class is None or need.numeric_class.admits(parse_class(card.numeric_class))


def whole_work(request: VideoRequest, plan: JobPlan, *, shared: int = 0) -> float:
    """Return a whole video's work without its first `shared` sections and their decodes, in standard sections."""
    decodes = sum(1 for frames in plan.final_frames[shared:] if frames)
    return section_work(request, plan) * (plan.sections - shared + SIDE_WORK * (decodes + 2))


def order_work(job: Job, stage: Stage) -> float:
    """Return the work of one order of this video, in standard sections."""
    return section_work(job.request, job.plan) * (1 if stage == "section" else SIDE_WORK)


def section_work(request: VideoRequest, plan: JobPlan) -> float:
    """Return the work of one section, in standard sections.

    Half of a standard section's time is attention, which grows with the square of the tokens. True CFG doubles every
    step. Source: arithmetic, not a measurement. A forward at 640x608 costs 494 TFLOP, half of it attention.
    """
    size = plan.latent_window_size * plan.height * plan.width / _STANDARD_LATENTS
    steps = request.num_inference_steps / _STANDARD_STEPS * (2 if request.true_cfg_scale > 1 else 1)
    return size * (1 + size) / 2 * steps


def _sections_left(job: Job, state: JobState) -> float:
    """Return how many sections are left, with their side work; the saved steps of a stopped section do not count."""
    sides = sum(1 for frames in job.plan.final_frames if frames) - len(state.clips)
    sides += (state.conditioning is None) + (state.video is None)
    again = sum(1 if order.startswith("section/") else SIDE_WORK for order in state.lost)
    return job.plan.sections - len(state.sections) + SIDE_WORK * sides + again


def _deadline_s(job: Job) -> float | None:
    """Return when the video is needed. An older request may hold a deadline that is no number: ignore it."""
    try:
        seconds = deadline_s(job.request.metadata)
    except ValueError:
        return None
    return None if seconds is None else job.created_ms / 1000 + seconds


def measured(card: WorkerCard) -> float | None:
    """Return the seconds that the worker measured for a standard section."""
    pace = card.s_per_section if card.s_per_standard_section is None else card.s_per_standard_section
    return pace if pace and pace > 0 else None
