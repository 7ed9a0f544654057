"""What a video asks of the fleet, as plain numbers: the orders that wait, what each needs, how much work is left.

The unit of work is the standard section: 9 latent frames at 640x608 in 25 steps, without true CFG.
"""

from __future__ import annotations

from typing import NamedTuple

from farm.contract import Job, JobId, JobPlan, OrderKey, Stage, WorkerCard, slot_of
from farm.jobs.jobs import Record
from farm.ledger.states import JobState, Status, runnable
from farm.numeric_class import NumericClass, attention_for, parse_class
from farm.request import VideoRequest

SIDE_WORK = 1 / 9  #: an encode, a decode or a finish beside its section: about what they cost on the big model
_STANDARD_LATENTS = 9 * 640 * 608
_STANDARD_STEPS = 25


class Need(NamedTuple):
    """What a worker must have for an order. Orders of equal need are equal to every worker."""

    stage: Stage
    model: str
    numeric_class: NumericClass | None = None  #: without threads and attention: a worker sets them; None: any
    attention: str | None = None  #: of a section; None: any; where no worker has it, somebody gets it and says so
    preserve_gb: float | None = None  #: None: what the worker leaves to others anyway
    decode: str | None = None  #: how latents become frames, in the stage decode: some ways take more memory


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
    pieces: tuple[Piece, ...]  #: most urgent first; empty where somebody has them all, or the video is paused
    remaining: float  #: standard sections of all that is left, leased orders included
    priority: int = 0
    deadline_s: float | None = None  #: when the video is wanted
    failed: frozenset[str] = frozenset()  #: slots whose workers failed on it
    status: Status = "queued"


def demand_of(record: Record) -> Demand:
    """The demand of a video in its newest known state."""
    job, state = record.job, record.head.state
    section = section_work(job)
    pieces = tuple(
        Piece(key, need_of(record, key.stage), section if key.stage == "section" else section * SIDE_WORK)
        for key in runnable(job.plan, state)
    )
    return Demand(
        job=job.id,
        owner=job.owner,
        created_s=job.created_ms / 1000,
        pieces=pieces,
        remaining=section * _sections_left(job, state),
        priority=job.request.priority,
        deadline_s=_deadline_s(job),
        failed=frozenset(slot_of(failure.worker) for failure in state.failures),
        status=state.status,
    )


def need_of(record: Record, stage: Stage) -> Need:
    """What a worker must have for this stage of the video."""
    return need_for(record.job.request, stage, record.head.state.numeric_class)


def need_for(request: VideoRequest, stage: Stage, pinned: str | None) -> Need:
    """What a worker must have for this stage of a video whose numeric class is `pinned` (None: not yet)."""
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
    """Whether the worker has the stage and the model, room for it, and computes in the video's numeric class."""
    if need.stage not in card.stages or need.model not in card.models:
        return False
    preserve_gb = card.preserve_gb if need.preserve_gb is None else need.preserve_gb
    if card.vram_gib is not None and need.stage != "finish":
        room_gib = card.vram_gib - preserve_gb
        least_gib = card.needs_gib.get(need.model, 0.0)
        if need.decode is not None:
            least_gib = card.needs_gib.get(f"{need.model} decode={need.decode}", least_gib)
        if room_gib <= 0 or room_gib < least_gib:
            return False
    return need.numeric_class is None or need.numeric_class.admits(parse_class(card.numeric_class))


def whole_work(request: VideoRequest, plan: JobPlan, *, shared: int = 0) -> float:
    """A whole video, in standard sections, without its first `shared` sections and their decodes."""
    decodes = sum(1 for frames in plan.final_frames[shared:] if frames)
    return work_of(request, plan) * (plan.sections - shared + SIDE_WORK * (decodes + 2))


def section_work(job: Job) -> float:
    """A section of this video, in standard sections."""
    return work_of(job.request, job.plan)


def work_of(request: VideoRequest, plan: JobPlan) -> float:
    """A section of such a video, in standard sections.

    Half of a standard section's time is attention, which grows with the square of the tokens; true CFG computes every
    step twice. Source: the counts of 640x608 in design.md (494 TFLOP a forward, half of it attention).
    """
    size = plan.latent_window_size * plan.height * plan.width / _STANDARD_LATENTS
    steps = request.num_inference_steps / _STANDARD_STEPS * (2 if request.true_cfg_scale > 1 else 1)
    return size * (1 + size) / 2 * steps


def _sections_left(job: Job, state: JobState) -> float:
    """Sections and what goes with them; the saved steps of a stopped section are not counted."""
    sides = sum(1 for frames in job.plan.final_frames if frames) - len(state.clips)
    sides += (state.conditioning is None) + (state.video is None)
    return job.plan.sections - len(state.sections) + SIDE_WORK * sides


def _deadline_s(job: Job) -> float | None:
    """`metadata.deadline_s`: seconds after its acceptance at which the video is wanted; what is no number is none."""
    wished = job.request.metadata.get("deadline_s")
    if isinstance(wished, bool) or not isinstance(wished, int | float) or wished <= 0:
        return None
    return job.created_ms / 1000 + wished


def measured(card: WorkerCard) -> float | None:
    """Seconds a standard section, as the worker measured them."""
    pace = card.s_per_section if card.s_per_standard_section is None else card.s_per_standard_section
    return pace if pace and pace > 0 else None
