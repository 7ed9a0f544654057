"""Who renders what next: a pure function of videos, workers and the time given; no Ray, clocks or storage in here.

farm/dispatch/queue.py has the rules of who comes first. Who does it: the fastest free worker that can. A slow one takes
an order only where it ends it sooner than a faster one that is busy now would; so it never holds up a video that a fast
card could go on with, and a video moves to a faster card at its next section. Workers of nearly equal speed: the one
that holds the video's context or model.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from farm.contract import JobId, OrderKey, Stage, WorkerCard, slot_of
from farm.dispatch.crew import Crew, Seat
from farm.dispatch.queue import DAY_S, PATIENCE_S, URGENT, Waiting, WaitingRoom
from farm.jobs import Record
from farm.jobs.demand import SIDE_WORK, Demand, Need, Piece, demand_of, fits, need_of

NEARLY = 1.25  #: workers whose speeds differ by less than this factor count as equal where one is warm
_DEPTH = 32  #: a worker looks at no more orders than this
_LOOK_S = 60.0  #: a video with a deadline is looked at again after this
_STALE_S = 1.0  #: what was planned holds this long, unless there is news


class Assignment(NamedTuple):
    """Who shall do what."""

    worker: str
    job: JobId
    key: OrderKey


class Scheduler:
    """Hears the news of videos and workers and says who shall do what. Times are unix seconds, and given.

    Its answers depend on the news alone. Each costs the few orders that are looked at, not all that wait.
    """

    def __init__(self) -> None:
        """No videos, no workers."""
        self.crew = Crew()
        self._room = WaitingRoom()
        self._videos: dict[JobId, Demand] = {}
        self._changes: list[tuple[float, JobId]] = []  # when a video's level changes next, soonest first
        self._until: dict[JobId, float] = {}
        self._failed: Counter[str] = Counter()  # slot -> videos that it failed on
        self._plan: dict[str, Assignment] | None = None  # None: there is news since it was made
        self._planned_at = 0.0
        self._positions: dict[JobId, int] | None = None

    def put(self, demand: Demand, *, now: float) -> None:
        """A video is new, or has changed."""
        before = self._videos.get(demand.job)
        if before == demand:
            return
        self._videos[demand.job] = demand
        self._positions = None
        less = before and before._replace(pieces=demand.pieces, remaining=demand.remaining, status=demand.status)
        if before is None or demand != less or not set(demand.pieces) <= set(before.pieces):
            self._plan = None  # orders that only went away were leased as planned, or are missed when they are offered
        self._failed.update(demand.failed)
        self._failed.subtract(before.failed if before else ())
        self._stand(demand, now)

    def drop(self, job: JobId) -> None:
        """A video has ended."""
        if demand := self._videos.pop(job, None):
            self._failed.subtract(demand.failed)
            self._room.drop(job)
            self._until.pop(job, None)
            self._positions = None

    def seat(self, card: WorkerCard) -> None:
        """A worker is new, or says something new about itself."""
        before = self.crew.seats.get(card.id)
        if before is None or before.card != card:
            self._plan = None
        self.crew.seat(card)

    def unseat(self, worker_id: str) -> None:
        """A worker is gone."""
        self.crew.unseat(worker_id)
        self._plan = None

    def asks(self, worker_id: str, *, now: float) -> None:
        """A worker wants an order."""
        if self.crew.seats[worker_id].place != "idle":
            self._plan = None
            self.crew.set(worker_id, "idle", now=now)

    def takes(self, assignment: Assignment, *, now: float) -> None:
        """A worker has a lease now; its owner's account pays. Tell it before the video's news."""
        if piece := self._piece(assignment):
            demand = self._videos[assignment.job]
            self._room.charge(demand.owner, piece.work)
            self.holds(assignment.worker, work=piece.work, chain=demand.remaining - piece.work, now=now)
        if self._plan is not None:
            self._plan.pop(assignment.worker, None)

    def holds(self, worker_id: str, *, work: float, chain: float = 0.0, now: float) -> None:
        """A worker is at an order of that `work`; its video will need `chain` more, in standard sections."""
        self.crew.set(worker_id, "busy", now=now, work=work, chain=max(0.0, chain))

    def inherits(self, worker_id: str, job: JobId, key: OrderKey, *, now: float) -> None:
        """A worker has a lease that it got before we knew of it."""
        left = self._videos[job].remaining if job in self._videos else 1.0
        work = min(1.0, left) * (1.0 if key.stage == "section" else SIDE_WORK)
        self.holds(worker_id, work=work, chain=left - work, now=now)

    def ended(self, worker_id: str, *, now: float, silent: bool = False) -> None:
        """A worker has no order any more: it will ask soon, unless it fell `silent`."""
        if worker_id in self.crew.seats:
            self.crew.set(worker_id, "away" if silent else "soon", now=now)
            self._plan = None

    def offer(self, worker_id: str, *, now: float) -> Assignment | None:
        """What an idle worker shall do; None: nothing now."""
        self._promote(now)
        if self._plan is None or now - self._planned_at > _STALE_S:
            self._plan = {plan.worker: plan for plan in self.plan(now=now)}
            self._planned_at = now
        offer = self._plan.get(worker_id)
        if offer and not (offer.job in self._videos and self._piece(offer)):
            self._plan = None  # it is gone: plan anew
            return self.offer(worker_id, now=now)
        return offer

    def plan(self, *, now: float) -> list[Assignment]:
        """At most one order for each idle worker, the fastest first. Changes nothing."""
        self._promote(now)
        books, taken, at = self._room.accounts(), list[Demand](), list[tuple[Seat, float]]()
        plan, gave_up, free = list[Assignment](), set[object](), self.crew.idle()
        ready = {seat.card.id for seat in free}
        for seat in free:
            while seat.card.id in ready and (seat.skill, seat.card.model) not in gave_up:
                waiting = self._choose(seat, now)
                if waiting is None:  # then slower ones of the same skill find nothing either
                    if not self._failed[slot_of(seat.card.id)]:
                        gave_up.add((seat.skill, seat.card.model))
                    break
                demand, piece = waiting
                chosen = self._warmest(seat, waiting, ready)
                ready.discard(chosen.card.id)
                plan.append(Assignment(chosen.card.id, demand.job, piece.key))
                taken.append(self._take(waiting, now))
                at.append((chosen, chosen.since))
                self.holds(chosen.card.id, work=piece.work, chain=demand.remaining - piece.work, now=now)
        for seat, since in at:
            self.crew.set(seat.card.id, "idle", now=since)
        for demand in reversed(taken):
            self._stand(demand, now)
        self._room.restore(books)
        return plan

    def wanted(self) -> int:
        """Workers that would have something to do: one a video, since its sections follow one another."""
        return sum(demand.status in {"queued", "in_progress"} for demand in self._videos.values())

    def position(self, job: JobId) -> int | None:
        """How many videos that were not begun are to begin before this one; None: it was begun."""
        if self._positions is None:
            self._positions = {job: place for place, job in enumerate(self.queue())}
        return self._positions.get(job)

    def queue(self) -> list[JobId]:
        """The videos that wait to begin, in the order in which they get workers if nothing else comes."""
        waiting = [demand for demand in self._videos.values() if demand.status == "queued" and demand.pieces]
        spent = self._room.accounts()[1]
        places = []
        for demand in sorted(waiting, key=lambda demand: (*self._room.rank(demand.job), demand.job)):
            level, standing = self._room.rank(demand.job)
            places.append((level, spent[demand.owner], standing, demand.job))
            if -level < URGENT:
                spent[demand.owner] += demand.remaining
        return [job for *_, job in sorted(places)]

    def _stand(self, demand: Demand, now: float) -> None:
        """Let the video wait where it belongs now."""
        level, standing, until = _standing(demand, self._fastest(), now)
        self._room.put(demand, level=level, standing=standing)
        if demand.pieces and self._until.get(demand.job) != until:
            self._until[demand.job] = until
            heapq.heappush(self._changes, (until, demand.job))

    def _promote(self, now: float) -> None:
        """Raise the videos whose time has come."""
        while self._changes and self._changes[0][0] <= now:
            until, job = heapq.heappop(self._changes)
            if self._until.get(job) == until:
                del self._until[job]
                self._stand(self._videos[job], now)
                self._plan = self._positions = None

    def _piece(self, assignment: Assignment) -> Piece | None:
        pieces = self._videos[assignment.job].pieces
        return next((piece for piece in pieces if piece.key == assignment.key), None)

    def _fastest(self) -> float:
        return self.crew.fastest() if self.crew.seats else 0.0

    def _choose(self, seat: Seat, now: float) -> Waiting | None:
        """The most urgent order that nobody faster would end sooner."""
        needs = [need for need in self._room.needs() if self.crew.able(seat, need)]
        ahead = float(sum(self._room.count(need) for need in self._room.needs() if need not in needs))
        plenty = self._room.work > self.crew.throughput * seat.pace
        reach, seen = seat.pace / self.crew.fastest(), None
        faster: dict[tuple[Need, float, frozenset[str]], Iterator[float]] = {}  # work that they would do meanwhile
        sooner: dict[tuple[Need, float, frozenset[str]], float] = {}  # as far as it is counted
        for number, waiting in enumerate(self._room.in_order(needs, model=seat.card.model)):
            demand, piece = waiting
            if slot_of(seat.card.id) in demand.failed and self.crew.others(piece.need, demand.failed):
                continue
            if number >= _DEPTH:
                return seen if plenty else None
            kind = piece.need, piece.work, demand.failed
            if kind not in faster:
                faster[kind] = self.crew.ahead(seat, *kind, now=now)
            while sooner.get(kind, 0.0) <= ahead:
                if (more := next(faster[kind], None)) is None:
                    return waiting
                sooner[kind] = more
            ahead += min(demand.remaining, reach * piece.work)
            seen = waiting
        return None

    def _warmest(self, seat: Seat, waiting: Waiting, ready: set[str]) -> Seat:
        """The worker itself, or a free one that is nearly as fast and has the video's context or model."""
        demand, piece = waiting

        def will(other: Seat) -> bool:
            near = other.card.id in ready and other.pace <= seat.pace * NEARLY and self.crew.able(other, piece.need)
            return near and slot_of(other.card.id) not in demand.failed

        if seat.card.warm == demand.job:
            return seat
        warm = next((other for other in self.crew.warm(demand.job) if will(other)), None)
        if warm or seat.card.model in {None, piece.need.model}:
            return warm or seat
        same = (self.crew.seats[id_] for id_ in sorted(ready))
        return next((other for other in same if other.card.model == piece.need.model and will(other)), seat)

    def _take(self, waiting: Waiting, now: float) -> Demand:
        """Take an order out while a plan is made; returns what the video's demand was."""
        demand, piece = waiting
        self._room.charge(demand.owner, piece.work)
        level, standing, _ = _standing(demand, self._fastest(), now)
        rest = tuple(other for other in demand.pieces if other is not piece)
        self._room.put(demand._replace(pieces=rest), level=level, standing=standing)
        return self._videos[demand.job]


def assign(
    videos: Iterable[Record], idle: Sequence[WorkerCard], fleet: Iterable[WorkerCard], *, now: float | None = None
) -> list[Assignment]:
    """At most one order for each idle worker, in one go: (videos, workers, now) -> who shall do what.

    fleet: all workers, the idle ones or not; of those that are not idle nothing is known but that they exist.
    now:   unix seconds; None: when the youngest video came.
    """
    demands = [demand_of(record) for record in videos]
    now = max((demand.created_s for demand in demands), default=0.0) if now is None else now
    scheduler = Scheduler()
    for card in (*fleet, *idle):
        scheduler.seat(card)
    for card in idle:
        scheduler.asks(card.id, now=now)
    for demand in demands:
        scheduler.put(demand, now=now)
    return scheduler.plan(now=now)


def can_do(card: WorkerCard, record: Record, stage: Stage) -> bool:
    """Whether the worker has the stage, the model and room for it, and computes in the video's numeric class."""
    return fits(card, need_of(record, stage))


def _standing(demand: Demand, fastest: float, now: float) -> tuple[int, float, float]:
    """Level, standing (lower goes first), and until when they hold.

    A deadline is in danger once twice the time is left that the fastest worker would take; when it has passed the video
    is one like others.
    """
    days = max(0, int((now - demand.created_s) // DAY_S))
    level, standing = demand.priority + days, demand.created_s + PATIENCE_S * demand.remaining
    until = demand.created_s + (days + 1) * DAY_S
    if demand.deadline_s is not None and now < demand.deadline_s:
        begin = demand.deadline_s - 2 * demand.remaining * fastest
        until = min(until, demand.deadline_s, now + _LOOK_S)  # the fleet may be another one soon
        if now >= begin:
            return max(level, URGENT), demand.deadline_s - demand.remaining * fastest, until
        until = min(until, begin)
    return level, standing, until
