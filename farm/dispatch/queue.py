"""The orders that wait, most urgent first: sorted lists that change a little with each news, never sorted anew.

Who comes first, each rule only among those whom the rule before leaves equal:

1. level: the request's priority, one more for each day waited; a video in danger of its deadline stands above all
   priorities. A day's waiting always wins in the end, so nobody starves.
2. fairness between owners: who was given less work lately (start-time fair queueing).
3. within an owner: shortest remaining work, where `PATIENCE_S` of waiting makes up for a section. The sum is a number
   that time does not change, so that the lists stay sorted.
"""

from __future__ import annotations

import heapq
from bisect import bisect_left, insort
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from farm.contract import JobId
from farm.jobs.demand import Demand, Need, Piece

PATIENCE_S = 600.0  #: this much waiting counts as much as one standard section less to do
LOADING = 4.0  #: a worker changes its model only for an order that is ahead by more than this many sections
DAY_S = 86_400.0  #: a day's waiting is worth a point of priority
URGENT = 11  #: the level of a video in danger of its deadline; priorities end at 10

_Item = tuple[int, float, int, JobId]  # -level, standing, place within the video, video
_Head = tuple[int, float, float, int, JobId, str]  # -level, account, standing, place, video, owner


class Waiting(NamedTuple):
    """An order that waits, with its video."""

    demand: Demand
    piece: Piece


@dataclass(slots=True)
class _Lane:
    """The orders of one owner and one need."""

    items: list[_Item] = field(default_factory=list)
    head: _Head | None = None  # as it stands in the line's heads


@dataclass(slots=True)
class _Line:
    """All orders of one need; `heads` has each owner's first."""

    lanes: dict[str, _Lane] = field(default_factory=dict)
    heads: list[_Head] = field(default_factory=list)


@dataclass
class WaitingRoom:
    """Every order that waits."""

    work: float = 0.0  #: standard sections still to do of all videos that have an order waiting
    _lines: dict[Need, _Line] = field(default_factory=dict)
    _levels: dict[JobId, tuple[int, float]] = field(default_factory=dict)  # video -> level and standing in the lists
    _demands: dict[JobId, Demand] = field(default_factory=dict)
    _accounts: dict[str, float] = field(default_factory=dict)  # owner -> work given
    _orders: dict[str, int] = field(default_factory=dict)  # owner -> orders that wait
    _virtual: float = 0.0  # the account of who was served last: where a newcomer begins

    def __contains__(self, job: JobId) -> bool:
        return job in self._demands

    def put(self, demand: Demand, *, level: int, standing: float) -> None:
        """Let the video's pieces wait, instead of those that did."""
        self.drop(demand.job)
        if not demand.pieces:
            return
        self._demands[demand.job], self._levels[demand.job] = demand, (level, standing)
        self.work += demand.remaining
        owner = demand.owner
        if not self._orders.get(owner):
            self._accounts[owner] = max(self._accounts.get(owner, 0.0), self._virtual)
        self._orders[owner] = self._orders.get(owner, 0) + len(demand.pieces)
        for place, piece in enumerate(demand.pieces):
            line = self._lines.setdefault(piece.need, _Line())
            lane = line.lanes.setdefault(owner, _Lane())
            insort(lane.items, (-level, standing, place, demand.job))
            self._lead(line, lane, owner)

    def drop(self, job: JobId) -> None:
        """Let the video wait no more."""
        demand = self._demands.pop(job, None)
        if demand is None:
            return
        level, standing = self._levels.pop(job)
        self.work -= demand.remaining
        owner = demand.owner
        self._orders[owner] -= len(demand.pieces)
        for place, piece in enumerate(demand.pieces):
            line = self._lines[piece.need]
            lane = line.lanes[owner]
            del lane.items[bisect_left(lane.items, (-level, standing, place, job))]
            self._lead(line, lane, owner)
            if not lane.items:
                del line.lanes[owner]
                if not line.lanes:
                    del self._lines[piece.need]
        if not self._demands:
            self.work = 0.0  # no rounding error is carried on

    def charge(self, owner: str, work: float) -> None:
        """Work of this owner was given to a worker."""
        account = self._accounts.get(owner, 0.0)
        self._virtual = max(self._virtual, account)
        self._settle(owner, account + work)

    def accounts(self) -> tuple[float, dict[str, float]]:
        """The books, to go back to later."""
        return self._virtual, dict(self._accounts)

    def restore(self, books: tuple[float, dict[str, float]]) -> None:
        """Undo charges."""
        self._virtual, accounts = books
        for owner, account in list(self._accounts.items()):
            if account != accounts.get(owner, 0.0):
                self._settle(owner, accounts.get(owner, 0.0))

    def needs(self) -> Collection[Need]:
        """Kinds of orders that wait."""
        return self._lines.keys()

    def count(self, need: Need) -> int:
        """Orders of one kind that wait."""
        return sum(len(lane.items) for lane in self._lines[need].lanes.values())

    def rank(self, job: JobId) -> tuple[int, float]:
        """Lower goes first, among one owner's videos."""
        level, standing = self._levels[job]
        return -level, standing

    def in_order(self, needs: Collection[Need], *, model: str | None) -> Iterator[Waiting]:
        """The orders of these kinds, most urgent first, for a worker that holds `model`. Stop before you change us.

        An order of another model has to be ahead by more than `LOADING`.
        """
        loaded = self._walk([need for need in needs if model in {None, need.model} or need.stage == "finish"])
        others = self._walk([need for need in needs if model not in {None, need.model} and need.stage != "finish"])
        ours, other = next(loaded, None), next(others, None)
        while ours or other:
            if other and (ours is None or _is_far_ahead(other, ours)):
                yield self._waiting(other)
                other = next(others, None)
            elif ours:
                yield self._waiting(ours)
                ours = next(loaded, None)

    def _waiting(self, head: _Head) -> Waiting:
        demand = self._demands[head[4]]
        return Waiting(demand, demand.pieces[head[3]])

    def _walk(self, needs: Iterable[Need]) -> Iterator[_Head]:
        """The orders of these kinds, in order."""
        heap: list[tuple[_Head, Need, int, int]] = []  # the order, its need, its number among the heads and in its lane
        for need in needs:
            heapq.heappush(heap, (self._lines[need].heads[0], need, 0, 0))
        while heap:
            head, need, number, depth = heapq.heappop(heap)
            yield head
            line = self._lines[need]
            if depth == 0 and number + 1 < len(line.heads):
                heapq.heappush(heap, (line.heads[number + 1], need, number + 1, 0))
            items = line.lanes[head[5]].items
            if depth + 1 < len(items):
                heapq.heappush(heap, (self._head(items[depth + 1], head[5]), need, number, depth + 1))

    def _head(self, item: _Item, owner: str) -> _Head:
        level, standing, place, job = item
        return level, 0.0 if -level >= URGENT else self._accounts[owner], standing, place, job, owner

    def _lead(self, line: _Line, lane: _Lane, owner: str) -> None:
        """Put the lane's first order among the heads, where it belongs now."""
        head = self._head(lane.items[0], owner) if lane.items else None
        if head == lane.head:
            return
        if lane.head is not None:
            del line.heads[bisect_left(line.heads, lane.head)]
        if head is not None:
            insort(line.heads, head)
        lane.head = head

    def _settle(self, owner: str, account: float) -> None:
        self._accounts[owner] = account
        if self._orders.get(owner):
            for line in self._lines.values():
                if lane := line.lanes.get(owner):
                    self._lead(line, lane, owner)


def _is_far_ahead(other: _Head, ours: _Head) -> bool:
    """Whether an order is worth changing the model for."""
    level, account, standing, _, _, owner = other
    if level != ours[0]:
        return level < ours[0]
    if owner != ours[5] and -level < URGENT:
        return account + LOADING < ours[1]
    return standing + LOADING * PATIENCE_S < ours[2]
