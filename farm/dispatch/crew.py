"""The workers that the dispatcher has heard of: what each one does, when it is free, how fast it is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import inf
from statistics import median
from typing import Literal

from farm.contract import Order, WorkerCard
from farm.jobs.demand import measured

_FORGET_S = 30.0  #: a worker that is silent for this long is no longer listed
_SOON_S = 5.0  #: a worker that has just ended an order asks for the next within this time, or is away
_GUESSES = ((60.0, 30.0), (22.0, 120.0), (11.0, 230.0), (0.0, 775.0))  #: (GiB at least, s): H200, 4090, 4070, 3060 6 GB
_CPU_GUESS_S = 20_000.0
_SAME = 0.05  #: a worker keeps its pace while its measurements differ by less than this part of it

#: idle: it asked for an order; busy: it has one; soon: it has just ended one; away: unknown; resting: it gets none
Place = Literal["idle", "busy", "soon", "away", "resting"]


@dataclass(slots=True, eq=False)
class Worker:
    """A worker as the dispatcher heard of it last. `Crew` alone changes it."""

    card: WorkerCard
    seen: float  #: monotonic seconds
    pace_s: float  #: seconds a standard section
    skill: int  #: workers of equal skill can do the same orders
    place: Place = "away"
    since: float = 0.0  #: unix seconds: when it came to that place
    work: float = 0.0  #: of its order, standard sections
    chain: float = 0.0  #: work that the order's video will need afterwards
    order: Order | None = None  #: the order that it does, by its own account

    def free_at(self, now: float) -> float:
        """Return when it could begin an order of another video, if it first finishes the video that it has.

        A worker that is late is expected to stay late for as long again.
        """
        if self.place == "busy":
            late = max(0.0, now - self.since - self.pace_s * self.work)
            return max(now, self.since + self.pace_s * (self.work + self.chain) + 2 * late)
        is_free = self.place == "idle" or (self.place == "soon" and now - self.since <= _SOON_S)
        return now if is_free else inf


class Crew:
    """All workers heard of, by their id."""

    def __init__(self, *, clock: Callable[[], float]) -> None:
        """`clock` is monotonic."""
        self._clock = clock
        self.version = 0  #: rises with all news but a lease
        self._workers: dict[str, Worker] = {}
        #: workers whose process is gone, though a call of theirs may still be on the way -> whether they died alone
        self.dead: dict[str, bool] = {}
        self._skills: dict[tuple[object, ...], int] = {}
        #: device -> how much slower than guessed those are that measured; None: those of all devices
        self._ratios: dict[str | None, float] = {}
        self._have_changed = False  # measurements, since the ratios were taken

    def hear(self, card: WorkerCard) -> Worker:
        """Note that a worker has just reported, and its report about itself."""
        worker, now = self._workers.get(card.id), self._clock()
        if worker is not None and worker.card == card:
            worker.seen = now
            return worker
        self.version += 1
        skill = self._skills.setdefault(_skill(card), len(self._skills))
        if worker is None:
            worker = self._workers[card.id] = Worker(card, now, 0.0, skill)
        worker.card, worker.seen, worker.skill = card, now, skill
        pace_s = self._pace_s(card)
        if abs(pace_s - worker.pace_s) >= _SAME * worker.pace_s:
            worker.pace_s = pace_s
            self._have_changed |= measured(card) is not None
        return worker

    def get(self, worker_id: str) -> Worker | None:
        """Return the worker of that id, if it was heard of and has not died."""
        return self._workers.get(worker_id)

    def reserve(self, worker: Worker, order: Order | None, *, work: float, chain: float, now: float) -> None:
        """Note that the worker does an order of that `work`; its video will need `chain` more, in standard sections."""
        worker.place, worker.since, worker.order = "busy", now, order
        worker.work, worker.chain = work, max(0.0, chain)

    def release(self, worker: Worker, place: Place, *, now: float) -> None:
        """Note that the worker holds no lease."""
        if worker.place != place:
            worker.place, worker.since = place, now
            self.version += 1

    def bury(self, worker_id: str, *, alone: bool) -> None:
        """Note that the worker's process is gone. alone: its node lives on, and no operator told it to go."""
        self.dead[worker_id] = alone
        if self._workers.pop(worker_id, None):
            self._have_changed = True
            self.version += 1

    def present(self) -> list[Worker]:
        """Return the workers heard of lately."""
        now = self._clock()
        return [worker for worker in self._workers.values() if now - worker.seen < _FORGET_S]

    def serving(self) -> list[Worker]:
        """Return the workers that may get orders, silent ones until `forget_silent` is called."""
        if self._have_changed:
            self._compare()
        return [worker for worker in self._workers.values() if worker.place != "resting"]

    def forget_silent(self) -> bool:
        """Forget the workers not heard of lately; return whether there were any."""
        present = {worker.card.id: worker for worker in self.present()}
        if len(present) == len(self._workers):
            return False
        self._workers = present
        self._have_changed = True
        self.version += 1
        return True

    def overslept(self, seconds: float) -> None:
        """Treat the workers as heard of for `seconds` more: the dispatcher itself did not listen."""
        now = self._clock()
        for worker in self._workers.values():
            worker.seen = min(now, worker.seen + seconds)

    def _compare(self) -> None:
        """Give the workers that measured nothing the pace of their like."""
        known = dict[str | None, list[float]]()
        for worker in self._workers.values():
            if (own_s := measured(worker.card)) is not None:
                for device in (worker.card.device, None):
                    known.setdefault(device, []).append(own_s / _guess_s(worker.card))
        self._ratios, self._have_changed = {device: median(ratios) for device, ratios in known.items()}, False
        for worker in self._workers.values():
            if measured(worker.card) is None:
                worker.pace_s = self._pace_s(worker.card)

    def _pace_s(self, card: WorkerCard) -> float:
        """Return its own measurement, else a guess by memory, put right by the same device or by all others."""
        own_s = measured(card)
        if own_s is not None:
            return own_s
        return _guess_s(card) * self._ratios.get(card.device, self._ratios.get(None, 1.0))


def _guess_s(card: WorkerCard) -> float:
    if card.vram_gib is None:
        return _CPU_GUESS_S
    return next(s for gib, s in _GUESSES if card.vram_gib >= gib)


def _skill(card: WorkerCard) -> tuple[object, ...]:
    """Return all that `farm.jobs.demand.fits` looks at."""
    room = tuple(sorted(card.needs_gib.items())), card.vram_gib, card.preserve_gb
    return card.stages, card.models, card.numeric_class, card.attentions, room
