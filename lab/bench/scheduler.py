"""Run the farm's scheduler on simulated videos and workers, in simulated time."""

from __future__ import annotations

import heapq
import random
import time
from collections.abc import Sequence
from statistics import fmean
from typing import NamedTuple, get_args

from farm.contract import JobId, OrderKey, Stage, WorkerCard
from farm.dispatch.crew import Crew
from farm.dispatch.queue import Queue
from farm.dispatch.scheduler import Assignment, Offers, schedule
from farm.jobs.demand import SIDE_WORK, Demand, Need, Piece

MIXED_FLEET = (30.0,) + (120.0,) * 4 + (230.0,) * 4 + (775.0,) * 8  #: seconds a section of 17 GPUs
MIXED_LENGTHS = ((0.6, 4), (0.3, 12), (0.1, 50))  #: share of the videos, sections: 5, 15 and 60 s
_MODEL = "framepack-i2v"


class Clip(NamedTuple):
    """A simulated video."""

    owner: str
    sections: int
    arrives_s: float = 0.0


class Outcome(NamedTuple):
    """How a simulation went."""

    makespan_s: float
    flow_s: float  #: mean time from arrival to end
    leases: int


def clips(number: int, *, seed: int, owners: int = 1, every_s: float = 0.0) -> list[Clip]:
    """Draw videos of `MIXED_LENGTHS` in random order: all at once, or one every `every_s` on average."""
    draw = random.Random(seed)
    made, at = [], 0.0
    for n in range(number):
        ends, share = [], 0.0
        for part, sections in MIXED_LENGTHS:
            share += part
            ends.append((share * number, sections))
        made.append(next((sections for end, sections in ends if n < end), ends[-1][1]))
    draw.shuffle(made)
    found = []
    for sections in made:
        found.append(Clip(f"owner-{draw.randrange(owners)}", sections, at))
        at += draw.expovariate(1 / every_s) if every_s else 0.0
    return found


def bound_s(videos: Sequence[Clip], fleet: Sequence[float]) -> float:
    """Return a lower bound of the makespan of videos that all come at once: all work, or the longest on the fastest."""
    work = [_work(clip.sections) for clip in videos]
    return max(sum(work) / sum(1 / s for s in fleet), max(work) * min(fleet))


def fifo_bound(videos: Sequence[Clip], fleet: Sequence[float]) -> Outcome:
    """Let each free GPU, the fastest first, take the oldest video and keep it to its end."""
    free, ends, flow = [(0.0, s) for s in sorted(fleet)], 0.0, 0.0
    for clip in sorted(videos, key=lambda clip: clip.arrives_s):
        free = [(max(at, clip.arrives_s), s) for at, s in free]
        heapq.heapify(free)
        begin, s = heapq.heappop(free)
        end = begin + _work(clip.sections) * s
        heapq.heappush(free, (end, s))
        ends, flow = max(ends, end), flow + end - clip.arrives_s
    return Outcome(ends, flow / len(videos), len(videos))


def by_section(videos: Sequence[Clip], fleet: Sequence[float]) -> Outcome:
    """Let the farm's scheduler lease every order. Workers ask as soon as they are free."""
    return _Farm(videos, fleet).run()


def decisions_per_s(*, videos: int, workers: int, seconds: float = 2.0) -> float:
    """Return how many leases a second one thread decides, if all `workers` are busy but the one that asks."""
    fleet = [MIXED_FLEET[n % len(MIXED_FLEET)] for n in range(workers)]
    farm = _Farm(clips(videos, seed=2, owners=50), fleet)
    return farm.rate(seconds)


class _Farm:
    """Simulated videos and workers in simulated time."""

    def __init__(self, videos: Sequence[Clip], fleet: Sequence[float]) -> None:
        self._clips = {JobId(f"video_{n:06}"): clip for n, clip in enumerate(videos)}
        self._pace = {f"worker-{n:04}": s for n, s in enumerate(fleet)}
        self._queue, self._crew = Queue(), Crew(clock=lambda: 0.0)
        self._demands: dict[JobId, Demand] = {}
        self._events: list[tuple[float, int, str]] = []  # when, 0: a video comes, 1: an order ends; which
        self._orders: dict[str, tuple[JobId, OrderKey]] = {}
        self._flows: list[float] = []
        self._leases = 0
        for worker, s in self._pace.items():
            self._crew.release(self._crew.hear(_card(worker, s)), "idle", now=0.0)
        for job, clip in self._clips.items():
            heapq.heappush(self._events, (clip.arrives_s, 0, job))

    def run(self) -> Outcome:
        """Run until every video has ended."""
        now = 0.0
        while self._events:
            now, _, name = heapq.heappop(self._events)
            self._happen(now, name, self._card_after(name))
            if not (self._events and self._events[0][0] == now):
                for assignment in schedule(self._queue, self._crew.serving(), now=now):
                    self._lease(assignment, now)
        return Outcome(now, fmean(self._flows), self._leases)

    def rate(self, seconds: float) -> float:
        """Return the leases a second of CPU time, asked for as the dispatcher does, after each worker got one."""
        offers = Offers(self._queue, self._crew)
        self._fill(offers)
        spent, leases = 0.0, 0
        while self._events and spent < seconds:
            now, _, name = heapq.heappop(self._events)
            card = self._card_after(name)
            begun = time.thread_time()
            self._happen(now, name, card)
            if assignment := offers.to(name, now=now):
                self._lease(assignment, now, offers)
                leases += 1
            spent += time.thread_time() - begun
        return leases / spent

    def _fill(self, offers: Offers) -> None:
        """Let every video come and give every worker its first order."""
        while self._events:
            now, _, name = heapq.heappop(self._events)
            self._happen(now, name, None)
        for worker in self._pace:
            if assignment := offers.to(worker, now=0.0):
                self._lease(assignment, 0.0, offers)

    def _card_after(self, name: str) -> WorkerCard | None:
        return _card(name, self._pace[name], self._orders[name][0]) if name in self._orders else None

    def _happen(self, now: float, name: str, card: WorkerCard | None) -> None:
        if card is None:
            job = JobId(name)
            self._tell(job, _work(self._clips[job].sections), OrderKey(stage="encode"), now)
            return
        job, key = self._orders.pop(name)
        clip = self._clips[job]
        self._crew.release(self._crew.hear(card), "idle", now=now)
        following = (key.section or 0) + 1 if key.stage == "section" else 0
        left = self._demands[job].remaining - (1.0 if key.stage == "section" else SIDE_WORK)
        if key.stage == "finish":
            self._queue.dequeue(job)
            self._flows.append(now - clip.arrives_s)
        elif following < clip.sections:
            self._tell(job, left, OrderKey(stage="section", section=following), now)
        else:
            self._tell(job, left, OrderKey(stage="finish"), now)

    def _tell(self, job: JobId, remaining: float, key: OrderKey | None, now: float) -> None:
        clip, pieces = self._clips[job], list[Piece]()
        if key is not None:
            work = 1.0 if key.stage == "section" else SIDE_WORK
            pieces = [Piece(key, Need(key.stage, _MODEL), work)]
        demand = Demand(job, clip.owner, clip.arrives_s, tuple(pieces), remaining, status="in_progress")
        self._demands[job] = demand
        self._queue.enqueue(demand, now=now)

    def _lease(self, assignment: Assignment, now: float, offers: Offers | None = None) -> None:
        name, job, piece = assignment
        demand, worker = self._demands[job], self._crew.get(name)
        self._tell(job, demand.remaining, None, now)
        if offers:
            offers.take(assignment, owner=demand.owner)
        else:
            self._queue.charge(demand.owner, piece.work)
        if worker:
            chain = demand.remaining - piece.work
            self._crew.reserve(worker, None, work=piece.work, chain=chain, now=now)
        self._orders[name] = job, piece.key
        self._leases += 1
        heapq.heappush(self._events, (now + piece.work * self._pace[name], 1, name))


def _work(sections: int) -> float:
    """Return a whole video's work in standard sections. Decodes run beside the sections and are not simulated."""
    return sections + 2 * SIDE_WORK


def _card(worker: str, s_per_section: float, warm: JobId | None = None) -> WorkerCard:
    return WorkerCard.model_construct(
        id=worker,
        node="simulated",
        device=f"{s_per_section:g} s",
        vram_gib=None,
        numeric_class="one",
        stages=get_args(Stage),
        models=(_MODEL,),
        plan="",
        s_per_section=s_per_section,
        model=_MODEL,
        warm=warm,
    )
