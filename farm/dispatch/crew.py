"""The fleet as the scheduler sees it: who is free, who will be when, and how fast each is. No clocks in here."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterator
from dataclasses import dataclass, field
from math import inf
from statistics import median
from typing import Literal

from farm.contract import WorkerCard, slot_of
from farm.jobs.demand import Need, fits, measured

_SOON_S = 5.0  #: a worker that has just ended an order asks for the next within this time, or is away
_GUESSES = ((60.0, 30.0), (22.0, 120.0), (11.0, 230.0), (0.0, 775.0))  #: (GiB at least, s): H200, 4090, 4070, 3060 6 GB
_CPU_GUESS_S = 20_000.0
_CACHED = 50_000  #: answers to "can it do that" that are remembered

Place = Literal["idle", "busy", "soon", "away"]


@dataclass(slots=True)
class Seat:
    """A worker's place. idle: it asked; busy: has an order; soon: has just ended one; away: nobody knows."""

    card: WorkerCard
    pace: float  #: seconds a standard section
    skill: int  #: workers of equal skill can do the same orders
    place: Place = "away"
    since: float = 0.0
    work: float = 0.0  #: of its order, standard sections
    free_at: float = inf  #: when it could begin an order of another video, if it stays with its own to the end

    def late(self, now: float) -> float:
        """Seconds by which its order takes longer than it should: as long again it is expected to take."""
        return 2 * max(0.0, now - self.since - self.pace * self.work)


@dataclass
class Crew:
    """All workers heard of lately, fastest first."""

    seats: dict[str, Seat] = field(default_factory=dict)
    throughput: float = 0.0  #: standard sections a second of all together
    _by_pace: list[tuple[float, str]] = field(default_factory=list)
    _idle: set[str] = field(default_factory=set)
    _warm: dict[str, set[str]] = field(default_factory=dict)  # video -> who rendered for it last
    _skills: dict[tuple[object, ...], int] = field(default_factory=dict)
    _able: dict[tuple[int, Need], bool] = field(default_factory=dict)

    def seat(self, card: WorkerCard) -> Seat:
        """Take in what a worker says about itself; what it does stays as it is."""
        seat = self.seats.get(card.id)
        if seat is not None and seat.card == card:
            return seat
        skill, pace = self._skills.setdefault(_skill(card), len(self._skills)), self._pace(card)
        if seat is None:
            seat = self.seats[card.id] = Seat(card, pace, skill)
            self._place(seat)
            self._able.clear()
            return seat
        if seat.skill != skill:
            self._able.clear()
        self._unplace(seat)
        seat.card, seat.pace, seat.skill = card, pace, skill
        self._place(seat)
        return seat

    def unseat(self, worker_id: str) -> None:
        """Forget a worker."""
        if seat := self.seats.pop(worker_id, None):
            self._unplace(seat)
            self._idle.discard(worker_id)
            self._able.clear()

    def set(self, worker_id: str, place: Place, *, now: float = 0.0, work: float = 0.0, chain: float = 0.0) -> None:
        """What a worker does from now on."""
        seat = self.seats[worker_id]
        seat.place, seat.since, seat.work = place, now, work
        seat.free_at = inf if place == "away" else now + seat.pace * (work + chain)
        (self._idle.add if place == "idle" else self._idle.discard)(worker_id)

    def idle(self) -> list[Seat]:
        """Those who wait for an order, fastest first."""
        return sorted((self.seats[id_] for id_ in self._idle), key=lambda seat: (seat.pace, seat.card.id))

    def able(self, seat: Seat, need: Need) -> bool:
        """Whether the worker can do it, and no other has what this one lacks (the video's attention)."""
        answer = self._able.get((seat.skill, need))
        if answer is None:
            answer = fits(seat.card, need) and (_has_attention(seat.card, need) or not self._someone_has(need))
            if len(self._able) > _CACHED:
                self._able.clear()
            self._able[seat.skill, need] = answer
        return answer

    def others(self, need: Need, failed: frozenset[str]) -> bool:
        """Whether somebody could do it who has not failed on that video."""
        return any(slot_of(id_) not in failed and self.able(seat, need) for id_, seat in self.seats.items())

    def warm(self, job: str) -> Iterator[Seat]:
        """Who rendered for the video last."""
        for id_ in sorted(self._warm.get(job, ())):
            yield self.seats[id_]

    def fastest(self) -> float:
        """The best pace there is, seconds a standard section."""
        return self._by_pace[0][0]

    def ahead(self, seat: Seat, need: Need, work: float, failed: frozenset[str], *, now: float) -> Iterator[float]:
        """Work that faster workers would have done by the time at which `seat` ends an order of that `work`.

        A sum that grows from worker to worker, in whole orders of this size; read it as far as it matters. A faster
        worker that has an order is taken to stay with its video. failed: who does not count.
        """
        end, total, seats = now + seat.pace * work, 0.0, self.seats
        for pace, id_ in self._by_pace:
            if pace >= seat.pace:
                return
            other = seats[id_]
            if other.free_at + pace * work <= end and slot_of(id_) not in failed and self.able(other, need):
                if other.place == "soon" and now - other.since > _SOON_S:
                    continue
                begin = max(now, other.free_at + other.late(now) if other.place == "busy" else now)
                total += max(0.0, (end - begin) // (pace * work)) * work
                yield total

    def _pace(self, card: WorkerCard) -> float:
        """Measured, else as measured on the same device, else guessed and put right by what others measured."""
        own = measured(card)
        if own is not None:
            return own
        known = [
            (other.card.device == card.device, pace / _guess(other.card))
            for other in self.seats.values()
            if (pace := measured(other.card)) is not None
        ]
        same = [ratio for is_same, ratio in known if is_same]
        return _guess(card) * (median(same or [ratio for _, ratio in known]) if known else 1.0)

    def _someone_has(self, need: Need) -> bool:
        return any(_has_attention(seat.card, need) and fits(seat.card, need) for seat in self.seats.values())

    def _place(self, seat: Seat) -> None:
        insort(self._by_pace, (seat.pace, seat.card.id))
        self.throughput += 1 / seat.pace
        if seat.card.warm:
            self._warm.setdefault(seat.card.warm, set()).add(seat.card.id)

    def _unplace(self, seat: Seat) -> None:
        del self._by_pace[bisect_left(self._by_pace, (seat.pace, seat.card.id))]
        self.throughput -= 1 / seat.pace
        if seat.card.warm:
            self._warm[seat.card.warm].discard(seat.card.id)
            if not self._warm[seat.card.warm]:
                del self._warm[seat.card.warm]


def _guess(card: WorkerCard) -> float:
    if card.vram_gib is None:
        return _CPU_GUESS_S
    return next(s for gib, s in _GUESSES if card.vram_gib >= gib)


def _has_attention(card: WorkerCard, need: Need) -> bool:
    return need.attention is None or need.attention in card.attentions


def _skill(card: WorkerCard) -> tuple[object, ...]:
    room = tuple(sorted(card.needs_gib.items())), card.vram_gib, card.preserve_gb
    return card.stages, card.models, card.numeric_class, card.attentions, room
