"""Choose who renders what next: a pure function of the waiting orders, the workers and the time.

farm/dispatch/queue.py says which order comes first. The fastest free worker that can do it gets it. A slow worker takes
an order only if it ends it sooner than a faster worker that is busy now would. So it never holds up a video that a fast
card could go on with, and a video moves to a faster card at its next section. Among workers of nearly equal speed, the
one that holds the video's context or model gets the order.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import takewhile
from typing import NamedTuple

from farm.contract import JobId, slot_of
from farm.dispatch.crew import Crew, Worker
from farm.dispatch.queue import PATIENCE_S, URGENT, Queue, Waiting
from farm.jobs.demand import Demand, Need, Piece, fits

LOADING = 4.0  #: a worker changes its model only for an order that is ahead by more than this many sections
NEARLY = 1.25  #: speeds that differ by less than this factor count as equal if one of the workers is warm
_STALE_S = 1.0  #: a schedule holds this long, unless there is news


class Assignment(NamedTuple):
    """Which worker shall do which piece of which video."""

    worker: str
    job: JobId
    piece: Piece


def schedule(queue: Queue, workers: Iterable[Worker], *, now: float) -> list[Assignment]:
    """Return at most one order for each idle worker, the fastest worker first. Change nothing. `now`: unix seconds."""
    return list(_Round(queue, workers, now).assignments())


class Offers:
    """The newest schedule, kept until there is news, because idle workers ask again and again."""

    def __init__(self, queue: Queue, crew: Crew) -> None:
        self._queue, self._crew = queue, crew
        self._offers: dict[str, Assignment] = {}
        self._made_for: tuple[int, int] | None = None
        self._made_at = 0.0

    def to(self, worker_id: str, *, now: float) -> Assignment | None:
        """Return what an idle worker shall do; None: nothing now."""
        workers = self._crew.serving()
        self._queue.age(now=now, fastest_s=min((worker.pace_s for worker in workers), default=0.0))
        news, offer = (self._queue.version, self._crew.version), self._offers.get(worker_id)
        gone = offer is not None and not self._queue.has(offer.job, offer.piece)
        if gone or news != self._made_for or now - self._made_at > _STALE_S:
            self._offers = {offer.worker: offer for offer in schedule(self._queue, workers, now=now)}
            self._made_for, self._made_at = news, now
        return self._offers.get(worker_id)

    def take(self, offer: Assignment, *, owner: str) -> None:
        """Note that the offer's lease is written; its owner's account pays. The other offers hold."""
        self._offers.pop(offer.worker, None)
        self._queue.charge(owner, offer.piece.work)


class _Round:
    """An unfinished schedule: it notes the orders given out here, not in the queue."""

    def __init__(self, queue: Queue, workers: Iterable[Worker], now: float) -> None:
        self._queue, self._now = queue, now
        self._workers = sorted(workers, key=lambda worker: (worker.pace_s, worker.card.id))
        self._free_at = {worker.card.id: worker.free_at(now) for worker in self._workers}
        self._ready = {worker.card.id: worker for worker in self._workers if worker.place == "idle"}
        self._cards = {worker.skill: worker.card for worker in self._workers}
        self._able: dict[Need, set[int]] = {}
        self._accounts = dict(queue.accounts)
        self._taken: set[tuple[JobId, Piece]] = set()
        self._taken_of: Counter[Need] = Counter()

    def assignments(self) -> Iterator[Assignment]:
        """Yield the assignments."""
        gave_up = set[tuple[int, str | None]]()
        for worker in list(self._ready.values()):
            kind = worker.skill, worker.card.model
            while worker.card.id in self._ready and kind not in gave_up:
                waiting, passed_over = self._choose(worker)
                if waiting is None:  # slower workers of the same kind find nothing either
                    gave_up |= set() if passed_over else {kind}
                    break
                yield self._give(waiting.demand, waiting.piece, self._warmest(worker, waiting))

    def _give(self, demand: Demand, piece: Piece, worker: Worker) -> Assignment:
        del self._ready[worker.card.id]
        self._free_at[worker.card.id] = self._now + worker.pace_s * max(piece.work, demand.remaining)
        self._accounts[demand.owner] += piece.work
        self._taken.add((demand.job, piece))
        self._taken_of[piece.need] += 1
        return Assignment(worker.card.id, demand.job, piece)

    def _choose(self, worker: Worker) -> tuple[Waiting | None, bool]:
        """Return the most urgent order that no faster worker ends sooner, and whether other slots were left one."""
        slot, passed_over = slot_of(worker.card.id), False
        ahead = 0.0
        for need, lines in self._queue.lines.items():
            if not self._can(worker, need):
                ahead += sum(map(len, lines.values())) - self._taken_of[need]
        reach = worker.pace_s / self._workers[0].pace_s
        sooner: dict[tuple[Need, float, frozenset[str]], float] = {}
        for waiting in self._in_order(worker):
            demand, piece = waiting.demand, waiting.piece
            if self._taken and (demand.job, piece) in self._taken:
                continue
            if slot in demand.failed and self._others(piece.need, demand.failed):
                passed_over = True
                continue
            kind = piece.need, piece.work, demand.failed
            if kind not in sooner:
                sooner[kind] = self._sooner(worker, *kind)
            if sooner[kind] <= ahead:
                return waiting, passed_over
            ahead += min(demand.remaining, reach * piece.work)
        return None, passed_over

    def _sooner(self, worker: Worker, need: Need, work: float, failed: frozenset[str]) -> float:
        """Return the work that faster workers will have done by the time at which `worker` ends an order of `work`.

        They do whole orders of this size, after the videos that they have now. failed: slots that do not count.
        """
        end, total, able = self._now + worker.pace_s * work, 0.0, self._able_to(need)
        for other in self._workers:
            if other.pace_s >= worker.pace_s:
                break
            left_s = end - self._free_at[other.card.id]
            took_s = other.pace_s * work
            if left_s >= took_s and other.skill in able and slot_of(other.card.id) not in failed:
                total += left_s // took_s * work
        return total

    def _warmest(self, worker: Worker, waiting: Waiting) -> Worker:
        """Return the worker itself, or a free one that is nearly as fast and has the video's context or model."""
        job, need, failed = waiting.demand.job, waiting.piece.need, waiting.demand.failed

        def warmth(other: Worker) -> tuple[bool, bool]:
            needs_no_change = other is worker and other.card.model is None
            return other.card.warm == job, other.card.model == need.model or needs_no_change

        near = takewhile(lambda other: other.pace_s <= worker.pace_s * NEARLY, self._ready.values())
        able = (other for other in near if self._can(other, need) and slot_of(other.card.id) not in failed)
        return max((worker, *able), key=warmth)

    def _in_order(self, worker: Worker) -> Iterator[Waiting]:
        """Yield the orders that the worker can do; those that need another model only if they are far ahead."""
        needs = [need for need in self._queue.lines if self._can(worker, need)]
        loaded = self._queue.in_order((need for need in needs if _is_loaded(worker, need)), self._accounts)
        others = self._queue.in_order((need for need in needs if not _is_loaded(worker, need)), self._accounts)
        ours, other = next(loaded, None), next(others, None)
        while ours or other:
            if other and (ours is None or _is_far_ahead(other, ours)):
                yield other
                other = next(others, None)
            elif ours:
                yield ours
                ours = next(loaded, None)

    def _can(self, worker: Worker, need: Need) -> bool:
        return worker.skill in self._able_to(need)

    def _able_to(self, need: Need) -> set[int]:
        """Return the skills that can do it: those with the video's attention if there are any."""
        if need not in self._able:
            able = {skill: card for skill, card in self._cards.items() if fits(card, need)}
            exact = {skill for skill, card in able.items() if need.attention in {None, *card.attentions}}
            self._able[need] = exact or set(able)
        return self._able[need]

    def _others(self, need: Need, failed: frozenset[str]) -> bool:
        """Whether a worker in a slot that has not failed on that video could do it."""
        return any(self._can(worker, need) and slot_of(worker.card.id) not in failed for worker in self._workers)


def _is_loaded(worker: Worker, need: Need) -> bool:
    return worker.card.model in {None, need.model} or need.stage == "finish"


def _is_far_ahead(other: Waiting, ours: Waiting) -> bool:
    """Whether an order is worth changing the model for."""
    if other.level > ours.level:  # not even for its owner's order: a move does not delay other owners
        return False
    if other.demand.owner != ours.demand.owner:
        if other.level < ours.level:
            return True
        if -other.level < URGENT:
            return other.account + LOADING < ours.account
    elif other.tier != ours.tier:
        return other.tier < ours.tier
    elif other.demand.moved:
        return other.turn < ours.turn  # somebody wants it first
    return other.turn.at_s + LOADING * PATIENCE_S < ours.turn.at_s
