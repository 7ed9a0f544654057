"""Who renders what next: a pure function of videos and idle workers, without Ray, clocks or storage."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from farm.contract import JobId, OrderKey, Stage, WorkerCard
from farm.jobs import Record
from farm.states import runnable

_THREADS = re.compile(r"-t\d+$")


class Assignment(NamedTuple):
    """Who shall do what."""

    worker: str
    job: JobId
    key: OrderKey


def assign(videos: Sequence[Record], idle: Sequence[WorkerCard], fleet: Sequence[WorkerCard]) -> list[Assignment]:
    """At most one order for each idle worker.

    Higher priority first, then the older video; within a video decodes before the next section, so that frames become
    final early. A worker that rendered for the video before is taken before others; one that has not the video's
    attention, or that failed on it, is taken only where no other in the `fleet` (idle or busy) could do it.
    """
    free = {card.id: card for card in idle}
    plan = []
    for record, key in _orders(videos):
        wanted = _wanted(record, key.stage, {card.id: card for card in (*fleet, *idle)}.values())
        able = [card for card in free.values() if card.id in wanted]
        if able:
            chosen = max(able, key=lambda card: card.warm == record.job.id)
            del free[chosen.id]
            plan.append(Assignment(chosen.id, record.job.id, key))
    return plan


def queue(videos: Sequence[Record]) -> list[JobId]:
    """The videos in the order in which they get workers."""
    return [record.job.id for record in sorted(videos, key=_urgency)]


def can_do(card: WorkerCard, record: Record, stage: Stage) -> bool:
    """Whether the worker has the stage and the model, and computes in the video's numeric class."""
    pinned = record.head.state.numeric_class
    same_class = pinned is None or stage == "finish" or _family(pinned, record) == _family(card.numeric_class, record)
    return stage in card.stages and record.job.request.model in card.models and same_class


def _wanted(record: Record, stage: Stage, fleet: Iterable[WorkerCard]) -> set[str]:
    """Who of the fleet shall do it. Where nobody has the attention somebody gets it all the same, and says so."""
    fit = [card for card in fleet if can_do(card, record, stage)]
    if stage == "section":
        fit = [card for card in fit if record.job.request.attention in card.attentions] or fit
    failed = {failure.worker for failure in record.head.state.failures}
    return {card.id for card in fit if card.id not in failed} or {card.id for card in fit}


def _family(numeric_class: str, record: Record) -> str:
    """The class without its thread count, which a CPU worker sets for each order, and the attention, as each does."""
    return _THREADS.sub("", numeric_class).removesuffix(f"-{record.job.request.attention}")


def _orders(videos: Sequence[Record]) -> Iterator[tuple[Record, OrderKey]]:
    for record in sorted(videos, key=_urgency):
        for key in runnable(record.job.plan, record.head.state):
            yield record, key


def _urgency(record: Record) -> tuple[int, int, str]:
    return -record.job.request.priority, record.job.created_ms, record.job.id
