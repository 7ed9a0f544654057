"""The waiting orders, most urgent first.

Each rule decides only between orders that the rule before leaves equal:

1. Level: the request's priority, plus one for each day of waiting. A video in danger of missing its deadline is above
   all priorities. Waiting long enough beats every priority, so no video starves.
2. Fairness: the owner whose videos were given less work goes first (start-time fair queueing).
3. Standing, within an owner: the least remaining work goes first; `PATIENCE_S` of waiting counts as one section less.
   Time does not change this number, so the lists stay sorted.
"""

from __future__ import annotations

import heapq
from bisect import bisect_left, insort
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from farm.contract import JobId
from farm.jobs.demand import Demand, Need, Piece

PATIENCE_S = 600.0  #: this much waiting counts as much as one standard section less to do
DAY_S = 86_400.0  #: a day of waiting is worth one point of priority
URGENT = 11  #: the level of a video in danger of missing its deadline; priorities end at 10


class Rank(NamedTuple):
    """A video's place among one owner's videos. Lower goes first."""

    level: int  #: negative: the highest level goes first
    standing: float
    until: float  #: unix seconds; time may change the level then


Item = tuple[float, int, JobId]  #: a waiting order: standing, number among the video's pieces, video


class Waiting(NamedTuple):
    """A waiting order, its video, and the numbers that rank it."""

    level: int
    account: float
    standing: float
    demand: Demand
    piece: Piece


class Queue:
    """All open videos and their waiting orders. Times are unix seconds, and given."""

    def __init__(self) -> None:
        self.version = 0  #: rises with all news but an order that is gone
        self.accounts: dict[str, float] = {}  #: owner -> work given, standard sections
        self._served = 0.0  # the account of the owner who was served last: a newcomer begins there
        self._demands: dict[JobId, Demand] = {}
        self._ranks: dict[JobId, Rank] = {}
        self.lines: dict[Need, dict[tuple[int, str], list[Item]]] = {}  #: need -> level and owner -> sorted orders
        self._waiting: Counter[str] = Counter()  # owner -> orders
        self._due: list[tuple[float, JobId]] = []  # a heap: when to rank a video again
        self._positions: dict[JobId, int] | None = None
        self._fastest_s = 0.0  # seconds that the fastest worker takes for a standard section

    def enqueue(self, demand: Demand, *, now: float) -> None:
        """Queue the video's orders in place of its earlier ones."""
        before = self._demands.get(demand.job)
        if before == demand:
            return
        if before is None or not _only_took_orders(before, demand):
            self.version += 1
        self._withdraw(demand.job)
        self._insert(demand, now)

    def dequeue(self, job: JobId) -> None:
        """Forget the video and its orders."""
        self._withdraw(job)
        self._demands.pop(job, None)
        self._ranks.pop(job, None)

    def age(self, *, now: float, fastest_s: float) -> None:
        """Rank again the videos that are due; also those with a deadline if another worker is the fastest now."""
        changed = set[JobId]()
        if fastest_s != self._fastest_s:
            self._fastest_s = fastest_s
            changed = {job for job, demand in self._demands.items() if demand.deadline_s is not None}
        while self._due and self._due[0][0] <= now:
            until, job = heapq.heappop(self._due)
            if job in self._ranks and self._ranks[job].until == until:
                changed.add(job)
        for job in sorted(changed):
            self._withdraw(job)
            self._insert(self._demands[job], now)
            self.version += 1

    def charge(self, owner: str, work: float) -> None:
        """Note that work of this owner was given to a worker."""
        self._served = max(self._served, self.accounts[owner])
        self.accounts[owner] += work

    def has(self, job: JobId, piece: Piece) -> bool:
        """Whether the order still waits."""
        return job in self._demands and piece in self._demands[job].pieces

    def in_order(self, needs: Iterable[Need], accounts: Mapping[str, float]) -> Iterator[Waiting]:
        """Yield the orders of these needs, most urgent first. Do not change the queue while you iterate."""
        heads = [
            (level, 0.0 if -level >= URGENT else accounts[owner], *items[0], 0, items)
            for need in needs
            for (level, owner), items in self.lines[need].items()
        ]
        heapq.heapify(heads)
        while heads:
            level, account, standing, number, job, at, items = heads[0]
            demand = self._demands[job]
            yield Waiting(level, account, standing, demand, demand.pieces[number])
            if at + 1 < len(items):
                heapq.heapreplace(heads, (level, account, *items[at + 1], at + 1, items))
            else:
                heapq.heappop(heads)

    def position(self, job: JobId) -> int | None:
        """Return how many videos will begin before this one; None: it was begun, or it waits for nothing."""
        if self._positions is None:
            self._positions = {job: place for place, job in enumerate(self.to_begin())}
        return self._positions.get(job)

    def to_begin(self) -> list[JobId]:
        """Return the videos that were not begun, in the order in which they get workers if nothing else comes."""
        queued = [demand for demand in self._demands.values() if demand.status == "queued" and demand.pieces]
        spent, places = dict(self.accounts), []
        for demand in sorted(queued, key=lambda demand: (self._ranks[demand.job], demand.job)):
            level, standing, _ = self._ranks[demand.job]
            places.append((level, spent[demand.owner], standing, demand.job))
            if -level < URGENT:
                spent[demand.owner] += demand.remaining
        return [job for *_, job in sorted(places)]

    def wanted(self) -> int:
        """Return how many workers would have something to do: one a video, since its sections follow one another."""
        return sum(demand.status in {"queued", "in_progress"} for demand in self._demands.values())

    def _withdraw(self, job: JobId) -> None:
        self._positions = None
        if demand := self._demands.get(job):
            for need, line, item in self._places(demand):
                items = self.lines[need][line]
                del items[bisect_left(items, item)]
                if not items:
                    del self.lines[need][line]
                if not self.lines[need]:
                    del self.lines[need]
            self._waiting[demand.owner] -= len(demand.pieces)

    def _insert(self, demand: Demand, now: float) -> None:
        owner, rank, before = demand.owner, _rank(demand, self._fastest_s, now), self._ranks.get(demand.job)
        self._demands[demand.job], self._ranks[demand.job] = demand, rank
        if demand.pieces and not self._waiting[owner]:
            self.accounts[owner] = max(self.accounts.get(owner, 0.0), self._served)
        self._waiting[owner] += len(demand.pieces)
        for need, line, item in self._places(demand):
            insort(self.lines.setdefault(need, {}).setdefault(line, []), item)
        if before is None or before.until != rank.until:
            heapq.heappush(self._due, (rank.until, demand.job))

    def _places(self, demand: Demand) -> Iterator[tuple[Need, tuple[int, str], Item]]:
        """Yield where each of the video's orders waits."""
        level, standing, _ = self._ranks[demand.job]
        for number, piece in enumerate(demand.pieces):
            yield piece.need, (level, demand.owner), (standing, number, demand.job)


def _only_took_orders(before: Demand, after: Demand) -> bool:
    """Whether nothing but a lease or a commit lies between the two: no order came, no rank changed."""
    same = before._replace(pieces=after.pieces, remaining=after.remaining, status=after.status)
    return after == same and set(after.pieces) <= set(before.pieces)


def _rank(demand: Demand, fastest_s: float, now: float) -> Rank:
    """Rank the video.

    A deadline is in danger once the time left is less than twice what the fastest worker would take. After the deadline
    the video ranks like any other.
    """
    days = max(0, int((now - demand.created_s) // DAY_S))
    level, standing = demand.priority + days, demand.created_s + PATIENCE_S * demand.remaining
    until = demand.created_s + (days + 1) * DAY_S
    if demand.deadline_s is not None and now < demand.deadline_s:
        begin = demand.deadline_s - 2 * demand.remaining * fastest_s
        until = min(until, demand.deadline_s)
        if now >= begin:
            return Rank(-max(level, URGENT), demand.deadline_s - demand.remaining * fastest_s, until)
        until = min(until, begin)
    return Rank(-level, standing, until)
