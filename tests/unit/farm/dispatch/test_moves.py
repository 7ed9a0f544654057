"""Turns that owners give: where a moved video goes among its owner's, and what others notice."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from farm.contract import JobId, Moved
from farm.dispatch.moves import move_to
from farm.dispatch.queue import DAY_S, URGENT
from farm.jobs.demand import Demand
from farm.request import Move
from tests.unit.farm.dispatch.test_scheduler import NOW, Farm, card, video, who


class Owner:
    """Videos of one owner, or of several, in a queue."""

    def __init__(self, *demands: Demand) -> None:
        """All wait."""
        self.farm = Farm(card(), *demands)
        self.videos = {demand.job: demand for demand in demands}

    def move(self, name: str, now: float = NOW, /, **place: Any) -> None:
        """As the dispatcher does it."""
        demand = self.videos[JobId(name)]
        moving = move_to(demand, Move(**place), self.farm.queue.turns_of(demand.owner, now=now), now=now)
        if moving:
            self.put(name, moved=moving.moved, priority=moving.priority)

    def put(self, name: str, **changes: Any) -> None:
        """Change a video."""
        self.videos[JobId(name)] = self.videos[JobId(name)]._replace(**changes)
        self.farm.tell(self.videos[JobId(name)])

    def order(self) -> str:
        """The queue, a letter a video."""
        return "".join(self.farm.queue.to_begin())


def five(**fields: Any) -> Owner:
    """Videos a to e, the shortest first."""
    return Owner(*(video(name, 1 + at, **fields) for at, name in enumerate("abcde")))


@pytest.mark.parametrize(
    ("name", "place", "order"),
    [
        ("e", {"to": "first"}, "eabcd"),
        ("a", {"to": "last"}, "bcdea"),
        ("e", {"before": "c"}, "abecd"),
        ("a", {"after": "c"}, "bcade"),
        ("c", {"before": "d"}, "abcde"),
        ("a", {"to": "first"}, "abcde"),
    ],
)
def test_a_video_goes_where_its_owner_wants_it(name: str, place: dict[str, str], order: str) -> None:
    """Above "shortest first", and a worker obeys."""
    owner = five()
    owner.move(name, **place)
    assert owner.order() == order
    assert who(owner.farm) == {"w0": order[0]}


@given(st.lists(st.tuples(st.sampled_from("abcde"), st.sampled_from("abcde"), st.sampled_from(["before", "after"]))))
@settings(max_examples=60)
def test_moves_do_what_moves_of_a_list_do(moves: list[tuple[str, str, str]]) -> None:
    """Also for the videos of a batch, which are equally long and were accepted in one moment."""
    owner = Owner(*(video(name, 4) for name in "abcde"))
    wanted = list(owner.order())
    for name, beside, where in moves:
        if name == beside:
            continue
        owner.move(name, **{where: beside})
        wanted.remove(name)
        wanted.insert(wanted.index(beside) + (where == "after"), name)
        assert owner.order() == "".join(wanted)


def test_a_hundred_videos_go_into_one_gap() -> None:
    """There is always room between two neighbours."""
    owner = Owner(*(video(f"v{n:03}", 4) for n in range(102)))
    for n in range(2, 102):
        owner.move(f"v{n:03}", before="v001")
    assert owner.farm.queue.to_begin() == ["v000", *(f"v{n:03}" for n in range(2, 102)), "v001"]


def test_a_later_short_video_does_not_go_before_the_first() -> None:
    """The first stays the first; a newcomer goes among the others where its length leads."""
    owner = five()
    owner.move("e", to="first")
    owner.farm.tell(video("n", 0.5, created_s=NOW + 1))
    assert owner.order() == "enabcd"


def test_a_video_that_was_begun_is_not_interrupted_by_a_move() -> None:
    """First means the next to begin."""
    owner = Owner(video("r", 3, status="in_progress"), video("a", 4), video("b", 9))
    owner.move("b", to="first")
    assert (owner.order(), who(owner.farm)) == ("ba", {"w0": "r"})


def test_across_a_border_of_priority_it_takes_that_priority() -> None:
    """Up and down; what was waiting for days is in a higher level, too, and both stay together."""
    owner = Owner(video("a", 1, priority=5), video("b", 2), video("c", 3), video("d", 1, created_s=NOW - 3.5 * DAY_S))
    assert owner.order() == "adbc"
    owner.move("c", before="a")
    owner.move("b", after="d")
    assert [owner.videos[JobId(name)].priority for name in "abcd"] == [5, 0, 5, 0]
    assert owner.order() == "cadb"
    owner.farm.schedule(NOW + 0.7 * DAY_S)
    assert owner.order() == "cadb"


def test_a_deadline_in_danger_goes_before_what_was_moved() -> None:
    """First means first among those that can wait."""
    owner = Owner(video("d", 4, deadline_s=NOW + 450), video("a", 1), video("b", 2))
    owner.farm.schedule()
    owner.move("b", to="first")
    assert owner.order() == "dba"
    owner.move("b", before="d")
    assert owner.order() == "dba"


def test_what_was_moved_beside_an_old_video_hides_no_deadline_in_danger() -> None:
    """However old: the owner's video in danger still goes before those of other owners."""
    old, new = (video(name, 1, priority=10, created_s=NOW - days * DAY_S) for name, days in (("o", 4), ("n", 0)))
    bob = video("b", 1, owner="bob", priority=5, created_s=NOW - 5.5 * DAY_S)
    owner = Owner(old, new, bob, video("d", 4, deadline_s=NOW + 450))
    owner.move("n", after="o")
    owner.farm.schedule()
    assert owner.order() == "odbn"
    owner.farm.queue.dequeue(old.job)
    assert who(owner.farm) == {"w0": "d"}


def test_another_models_video_goes_first_if_its_owner_wants_it() -> None:
    """A worker changes its model for it, but not for what nobody moved."""
    owner = Owner(video("a", 2), video("b", 3, model="b"))
    owner.farm.tell(card(model="a"))
    owner.move("b", to="first")
    assert who(owner.farm) == {"w0": "b"}
    unmoved = Farm(card(model="a"), video("a", 2), video("b", 1, model="b"))
    assert who(unmoved) == {"w0": "a"}


def test_alone_there_is_nothing_to_move() -> None:
    """A video that was begun is no neighbour."""
    owner = Owner(video("a", 4), video("b", 4, status="in_progress"))
    owner.move("a", to="last")
    assert owner.videos[JobId("a")].moved is None


def test_a_move_beside_an_old_video_wins_nothing_from_other_owners() -> None:
    """Neither days of waiting nor, with the highest priority, the level of deadlines come with the place."""
    for priority in (0, 10):
        old = video("old", 1, priority=priority, created_s=NOW - 4 * DAY_S)
        new = [video(f"new{n}", 1, priority=priority) for n in range(6)]
        owner = Owner(old, *new, *(video(f"bob{n}", 1, owner="bob", priority=priority) for n in range(6)))
        for n in range(6):
            owner.move(f"new{n}", after="old")
        order = owner.farm.queue.to_begin()
        assert order[0] == "old"
        assert sum(name.startswith("bob") for name in order[1:7]) >= 3
        assert work(owner, [])[1:7].count("bob") >= 3


def test_what_waits_for_days_comes_after_a_new_video_that_is_moved_before_it() -> None:
    """Its owner wants that. Once the new one has gone, the old one has its level again."""
    new, old, bob = video("n", 9), video("o", 1, created_s=NOW - 4 * DAY_S), video("b", 1, owner="bob")
    owner = Owner(new, old, bob, video("c", 1, owner="bob"))
    owner.move("n", before="o")
    order = owner.order()
    assert order.index("n") < order.index("o")
    assert order.index("o") == order.index("n") + 1


def test_a_worker_changes_no_model_for_a_move_at_the_cost_of_another_owner() -> None:
    """The owner's old video is for the loaded model; what was moved before it is new."""
    old, new = video("o", 1, created_s=NOW - 4 * DAY_S), video("n", 1, model="b")
    owner = Owner(old, new, video("b", 1, owner="bob", created_s=NOW - 2 * DAY_S))
    owner.farm.tell(card(model="a"))
    owner.move("n", before="o")
    assert who(owner.farm)["w0"] in {"o", "b"}


OWNERS = st.lists(  # owner, sections, priority, days of waiting
    st.tuples(st.sampled_from("xyz"), st.integers(1, 9), st.sampled_from([0, 1, 10]), st.sampled_from([0.0, 0.4, 1.5])),
    min_size=2,
    max_size=14,
)
MOVES = st.lists(st.tuples(st.integers(0, 13), st.integers(0, 13), st.sampled_from(["before", "after"])), max_size=20)


def work(farm: Owner, moves: list[tuple[int, int, str]], check: Callable[[Demand], None] = lambda _: None) -> list[str]:
    """Let a lone worker do all sections, while owners move their videos. Return whose section each one was.

    check: sees the video of each section before it is given.
    """
    names, given, moves = list(farm.videos), [], list(moves)
    while offer := farm.farm.offers.to("w0", now=NOW):
        demand = farm.videos[offer.job]
        check(demand)
        given.append(demand.owner)
        farm.farm.offers.take(offer, owner=demand.owner)
        left = demand.remaining - 1
        if left:
            farm.put(offer.job, remaining=left, status="in_progress")
        else:
            farm.farm.queue.dequeue(offer.job)
            del farm.videos[offer.job]
        farm.farm.crew.reserve(farm.farm.worker("w0"), None, work=1.0, chain=0.0, now=NOW)
        farm.farm.crew.release(farm.farm.worker("w0"), "idle", now=NOW)
        while moves and len(moves) % 3 != len(given) % 3:
            name, other, where = moves.pop()
            moved, beside = (farm.videos.get(JobId(names[at % len(names)])) for at in (name, other))
            waits = moved is not None and moved.status == "queued"
            if moved and beside and waits and _can_be_beside(moved, beside):
                farm.move(moved.job, **{where: beside.job})
    return given


def _can_be_beside(moved: Demand, beside: Demand) -> bool:
    is_other = beside.status == "queued" and moved.owner == beside.owner and moved.job != beside.job
    return is_other and moved.priority == beside.priority and _days(moved) == _days(beside)


def _days(demand: Demand) -> int:
    return int((NOW - demand.created_s) // DAY_S)


def several(videos: list[tuple[str, int, int, float]]) -> Owner:
    """Videos v0 to vN of several owners."""
    return Owner(
        *(
            video(f"v{n}", sections, owner=owner, priority=priority, created_s=NOW - days * DAY_S)
            for n, (owner, sections, priority, days) in enumerate(videos)
        )
    )


@given(OWNERS, MOVES)
@settings(max_examples=100, deadline=None, derandomize=True)
def test_no_owner_gets_more_or_less_work_by_a_move(
    videos: list[tuple[str, int, int, float]], moves: list[tuple[int, int, str]]
) -> None:
    """With and without moves within a tier, no owner is ever more than one section ahead: equal accounts may part."""
    given, unmoved = work(several(videos), moves), work(several(videos), [])
    for end in range(len(given)):
        ahead = Counter(given[:end])
        ahead.subtract(unmoved[:end])
        assert max(ahead.values(), default=0) <= 1
    assert Counter(given) == Counter(owner for owner, sections, *_ in videos for _ in range(sections))


@given(OWNERS, st.lists(st.tuples(st.integers(0, 13), st.integers(0, 13), st.sampled_from(["before", "after", "to"]))))
@settings(max_examples=60, deadline=None, derandomize=True)
def test_what_was_moved_goes_by_its_own_level_among_other_owners(
    videos: list[tuple[str, int, int, float]], moves: list[tuple[int, int, str]]
) -> None:
    """Owner x moves across ages and priorities; at each of its sections, no other owner was ahead of that video."""
    farm = several(videos)
    for name, other, where in moves:
        moved, beside = (farm.videos[JobId(f"v{at % len(videos)}")] for at in (name, other))
        if moved.owner == "x" and where == "to":
            farm.move(moved.job, to="first" if other % 2 else "last")
        elif moved.owner == beside.owner == "x" and moved.job != beside.job:
            farm.move(moved.job, **{where: beside.job})

    def level(demand: Demand) -> int:
        return demand.priority + _days(demand)

    def check(given: Demand) -> None:
        accounts = farm.farm.queue.accounts
        for other in farm.videos.values() if given.owner == "x" else ():
            if other.owner != "x":
                assert level(other) <= level(given)
                assert level(other) < level(given) or level(given) >= URGENT or accounts["x"] <= accounts[other.owner]

    given = work(farm, [], check)
    assert Counter(given) == Counter(owner for owner, sections, *_ in videos for _ in range(sections))


def test_a_turn_is_kept_as_plain_text() -> None:
    """A ledger entry holds it exactly, however often the gap was halved."""
    moved = Moved(since_s=1.5, at_s=2.25, beside=JobId("v"), by=Fraction(1, 3**50))
    assert Moved.model_validate_json(moved.model_dump_json()) == moved
