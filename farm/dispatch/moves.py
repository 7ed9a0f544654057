"""Which turn a move gives a video: between two neighbours among its owner's videos. Those of others do not count.

The video takes the priority of the video that it is moved beside. Among its owner's videos it also takes that one's
waiting time, so both stay in one tier, unless that is the tier of deadlines in danger. Between owners its own waiting
counts. A video in danger of missing its deadline has no turn: beside it is before all others. Videos that were begun
keep their turns, and nothing that is moved goes between them and what they were before.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import NamedTuple

from farm.contract import Moved
from farm.dispatch.queue import Rank, Turn
from farm.jobs.demand import Demand
from farm.request import Move


class Moving(NamedTuple):
    """The changes that a move makes."""

    priority: int
    moved: Moved


def move_to(demand: Demand, move: Move, turns: Sequence[tuple[Rank, Demand]], *, now: float) -> Moving | None:
    """Return what the move changes of a video; None: its owner has no other that waits for its turn.

    turns: as Queue.turns_of returns them. The video that `move` names waits. `now`: unix seconds.
    """
    others = [(rank, other) for rank, other in turns if other.job != demand.job]
    waiting = [at for at, (_, other) in enumerate(others) if other.status == "queued"]
    if not waiting:
        return None
    named = [at for at in waiting if others[at][1].job == move.beside]
    at = named[0] if named else waiting[-1] if move.to == "last" else waiting[0]
    rank, neighbour = others[at]
    gap = at + 1 if move.to == "last" or (named and move.after) else at
    ahead, behind = (
        others[side][0].turn if 0 <= side < len(others) and others[side][0].tier == rank.tier else None
        for side in (gap - 1, gap)
    )
    turn = _between(ahead, behind, own=Turn(now, demand.job))
    moved = Moved(since_s=neighbour.since_s, at_s=turn.at_s, beside=turn.beside, by=Fraction(turn.by))
    return Moving(neighbour.priority, moved)


def _between(ahead: Turn | None, behind: Turn | None, *, own: Turn) -> Turn:
    """Return a turn between two, as early as can be: a later video goes before it only if it goes before `ahead`, too.

    own: a turn that every later video comes behind.
    """
    if ahead and behind and ahead[:2] == behind[:2]:
        return ahead._replace(by=(ahead.by + Fraction(behind.by)) / 2)
    if ahead:
        return ahead._replace(by=ahead.by + 1)
    return behind._replace(by=behind.by - 1) if behind and behind < own else own
