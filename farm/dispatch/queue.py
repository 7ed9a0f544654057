"""The waiting orders, most urgent first.

Each rule decides only between orders that the rule before leaves equal:

1. Level: the request's priority, plus one for each day of waiting. A video in danger of missing its deadline is above
   all priorities. Waiting long enough beats every priority, so no video starves.
2. Fairness: the owner whose videos were given less work goes first (start-time fair queueing). Of two with equal work
   it is the one that was served longer ago, or came first. So no owner's own turns decide between owners.
3. Turn, within an owner: the least remaining work goes first; `PATIENCE_S` of waiting counts as one section less. A
   video that its owner moved has the turn that the move gave it. Time does not change a turn, so the lists stay sorted.

Within an owner, a moved video also has the tier of its neighbour, but no move brings it before a deadline in danger.
Between owners its own waiting counts: an owner has the level of the video that comes first in the owner's order. The
priority that a moved video takes counts among all; beyond it, a move wins at most one section from others.
"""

from __future__ import annotations

import heapq
from bisect import bisect_left, insort
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from fractions import Fraction
from typing import NamedTuple

from farm.contract import JobId
from farm.jobs.demand import Demand, Need, Piece

PATIENCE_S = 600.0  #: this much waiting counts as much as one standard section less to do
DAY_S = 86_400.0  #: a day of waiting is worth one point of priority
URGENT = 11  #: the level of a video in danger of missing its deadline; priorities end at 10


class Turn(NamedTuple):
    """A video's place among one owner's videos of a level. Lower goes first."""

    at_s: float  #: unix seconds: when it was accepted, and `PATIENCE_S` for each section that is left
    beside: JobId  #: the video itself, or the one that it was moved beside
    by: Fraction | int = 0  #: how far behind that one


class Rank(NamedTuple):
    """A video's place among one owner's videos, and its level. Lower goes first."""

    tier: int  #: the level among the owner's videos: where the video was moved, its neighbour's below `URGENT`
    turn: Turn
    level: int  #: negative: the highest level goes first
    until: float  #: unix seconds; time may change tier or level then


class Item(NamedTuple):
    """A waiting order in the line of its owner."""

    tier: int
    turn: Turn
    number: int  #: among the video's pieces
    job: JobId


#: an owner's first order, as it ranks among those of others: level, account, what decides between equals, order
Head = tuple[int, float, tuple[int, float, str], Item, str, Iterator[Item]]


class Waiting(NamedTuple):
    """A waiting order, its video, and the numbers that rank it."""

    level: int
    account: float
    tier: int
    turn: Turn
    demand: Demand
    piece: Piece


class Queue:
    """All open videos and their waiting orders. Times are unix seconds, and given."""

    def __init__(self) -> None:
        self.version = 0  #: rises with all news but an order that is gone
        self.accounts: dict[str, float] = {}  #: owner -> work given, standard sections
        self._services: Counter[str] = Counter()  # owner -> number of the newest order that was given to it
        self._arrivals: dict[str, list[float]] = {}  # owner -> when its videos were accepted, sorted
        self._served = 0.0  # the account of the owner who was served last: a newcomer begins there
        self._demands: dict[JobId, Demand] = {}
        self._ranks: dict[JobId, Rank] = {}
        self.lines: dict[Need, dict[str, list[Item]]] = {}  #: need -> owner -> sorted orders
        self._given = 0  # orders
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
        self._given += 1
        self._services[owner] = self._given

    def has(self, job: JobId, piece: Piece) -> bool:
        """Whether the order still waits."""
        return job in self._demands and piece in self._demands[job].pieces

    def in_order(self, needs: Iterable[Need], accounts: Mapping[str, float]) -> Iterator[Waiting]:
        """Yield the orders of these needs, most urgent first. Do not change the queue while you iterate."""
        lines = dict[str, list[list[Item]]]()
        for need in needs:
            for owner, items in self.lines[need].items():
                lines.setdefault(owner, []).append(items)
        heads = [self._head(owner, heapq.merge(*found), accounts) for owner, found in lines.items()]
        heapq.heapify(heads)
        while heads:
            level, account, _, (tier, turn, number, job), owner, rest = heads[0]
            demand = self._demands[job]
            yield Waiting(level, account, tier, turn, demand, demand.pieces[number])
            try:
                heapq.heapreplace(heads, self._head(owner, rest, accounts))
            except StopIteration:
                heapq.heappop(heads)

    def turns_of(self, owner: str, *, now: float) -> list[tuple[Rank, Demand]]:
        """Return the owner's videos in the order of their turns, without those in danger of missing their deadlines."""
        own = (demand for demand in self._demands.values() if demand.owner == owner)
        turns = ((_own_rank(demand, now), demand) for demand in own if not _is_late(demand, self._fastest_s, now))
        return sorted(turns, key=lambda turn: (turn[0], turn[1].job))

    def position(self, job: JobId) -> int | None:
        """Return how many videos will begin before this one; None: it was begun, or it waits for nothing."""
        if self._positions is None:
            self._positions = {job: place for place, job in enumerate(self.to_begin())}
        return self._positions.get(job)

    def to_begin(self) -> list[JobId]:
        """Return the videos that were not begun, in the order in which they get workers if nothing else comes."""
        queued = [demand for demand in self._demands.values() if demand.status == "queued" and demand.pieces]
        lines = dict[str, list[Item]]()
        for demand in queued:
            rank = self._ranks[demand.job]
            lines.setdefault(demand.owner, []).append(Item(rank.tier, rank.turn, 0, demand.job))
        spent, order = dict(self.accounts), list[JobId]()
        heads = [self._head(owner, iter(sorted(line)), spent) for owner, line in lines.items()]
        heapq.heapify(heads)
        while heads:
            level, _, _, item, owner, rest = heads[0]
            order.append(item.job)
            if -level < URGENT:
                spent[owner] += self._demands[item.job].remaining
            try:
                heapq.heapreplace(heads, self._head(owner, rest, spent))
            except StopIteration:
                heapq.heappop(heads)
        return order

    def wanted(self) -> int:
        """Return how many workers would have something to do: one a video, since its sections follow one another."""
        return sum(demand.status in {"queued", "in_progress"} for demand in self._demands.values())

    def _withdraw(self, job: JobId) -> None:
        self._positions = None
        if demand := self._demands.get(job):
            for need, owner, item in self._places(demand):
                items = self.lines[need][owner]
                del items[bisect_left(items, item)]
                if not items:
                    del self.lines[need][owner]
                if not self.lines[need]:
                    del self.lines[need]
            self._waiting[demand.owner] -= len(demand.pieces)
            arrivals = self._arrivals[demand.owner]
            del arrivals[bisect_left(arrivals, demand.created_s)]

    def _insert(self, demand: Demand, now: float) -> None:
        owner, rank, before = demand.owner, _rank(demand, self._fastest_s, now), self._ranks.get(demand.job)
        insort(self._arrivals.setdefault(owner, []), demand.created_s)
        self._demands[demand.job], self._ranks[demand.job] = demand, rank
        if demand.pieces and not self._waiting[owner]:
            self.accounts[owner] = max(self.accounts.get(owner, 0.0), self._served)
        self._waiting[owner] += len(demand.pieces)
        for need, _, item in self._places(demand):
            insort(self.lines.setdefault(need, {}).setdefault(owner, []), item)
        if before is None or before.until != rank.until:
            heapq.heappush(self._due, (rank.until, demand.job))

    def _share(self, level: int, owner: str, accounts: Mapping[str, float]) -> tuple[float, tuple[int, float, str]]:
        """Return an owner's rank among others: the work that it was given, then the tie-breaker."""
        if -level >= URGENT:
            return 0.0, (0, 0.0, "")
        served = self._services[owner]
        return accounts[owner], (served, 0.0 if served else self._arrivals[owner][0], owner)

    def _head(self, owner: str, items: Iterator[Item], accounts: Mapping[str, float]) -> Head:
        """Return the owner's next order, which stands for the owner among others. Raises: StopIteration."""
        item = next(items)
        level = self._ranks[item.job].level
        return level, *self._share(level, owner, accounts), item, owner, items

    def _places(self, demand: Demand) -> Iterator[tuple[Need, str, Item]]:
        """Yield where each of the video's orders waits."""
        rank = self._ranks[demand.job]
        for number, piece in enumerate(demand.pieces):
            yield piece.need, demand.owner, Item(rank.tier, rank.turn, number, demand.job)


def _only_took_orders(before: Demand, after: Demand) -> bool:
    """Whether nothing but a lease or a commit lies between the two: no order came, no rank changed."""
    same = before._replace(pieces=after.pieces, remaining=after.remaining, status=after.status)
    return after == same and set(after.pieces) <= set(before.pieces)


def _rank(demand: Demand, fastest_s: float, now: float) -> Rank:
    """Rank the video. fastest_s: what the fastest worker takes for a standard section."""
    rank = _own_rank(demand, now)
    if demand.deadline_s is None or now >= demand.deadline_s:
        return rank
    if _is_late(demand, fastest_s, now):
        begin = Turn(demand.deadline_s - demand.remaining * fastest_s, demand.job)
        until = min(rank.until, demand.deadline_s)
        return Rank(min(rank.tier, -URGENT), begin, min(rank.level, -URGENT), until)
    return rank._replace(until=min(rank.until, _begin_s(demand, fastest_s)))


def _is_late(demand: Demand, fastest_s: float, now: float) -> bool:
    """Whether the video is in danger of missing its deadline. After the deadline it ranks like any other."""
    return demand.deadline_s is not None and _begin_s(demand, fastest_s) <= now < demand.deadline_s


def _begin_s(demand: Demand, fastest_s: float) -> float:
    """Return when the time left is twice what the fastest worker would take."""
    return (demand.deadline_s or 0.0) - 2 * demand.remaining * fastest_s


def _own_rank(demand: Demand, now: float) -> Rank:
    """Rank the video as if it had no deadline."""
    days, own_days = _days(demand.since_s, now), _days(demand.created_s, now)
    turn = Turn(demand.created_s + PATIENCE_S * demand.remaining, demand.job)
    if demand.moved:
        turn = Turn(demand.moved.at_s, demand.moved.beside, demand.moved.by)
    until = min(demand.since_s + (days + 1) * DAY_S, demand.created_s + (own_days + 1) * DAY_S)
    level = -demand.priority - own_days
    tier = max(-demand.priority - days, min(level, 1 - URGENT))  # only by its own days does it reach URGENT
    return Rank(tier, turn, level, until)


def _days(since_s: float, now: float) -> int:
    """Return the whole days of waiting."""
    return max(0, int((now - since_s) // DAY_S))
