"""The scheduler's choices: one test a rule, and properties that hold for any news."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from farm.contract import JobId, OrderKey, WorkerCard
from farm.dispatch import crew
from farm.dispatch.crew import Crew, Worker
from farm.dispatch.queue import DAY_S, PATIENCE_S, Queue
from farm.dispatch.scheduler import Assignment, Offers, schedule
from farm.jobs import Record
from farm.jobs.demand import Demand, Need, Piece, demand_of, measured
from farm.ledger.states import JobState
from farm.numeric_class import parse_class
from tests import hands

NOW = 1_000_000.0
Accept = Callable[..., Record]


def card(worker: str = "w0", pace: float = 100.0, **fields: Any) -> WorkerCard:
    """A worker that can do everything, with its seconds a section."""
    return hands.card(worker, **{"models": ("a", "b"), "vram_gib": 24.0, "s_per_section": pace} | fields)


def video(name: str, sections: float = 4, *, model: str = "a", section: int = 0, **fields: Any) -> Demand:
    """A video that waits for its next section."""
    key = OrderKey(stage="section", section=section)
    values: dict[str, Any] = {
        "job": JobId(name),
        "owner": "somebody",
        "created_s": NOW,
        "pieces": (Piece(key, Need("section", model), 1.0),),
        "remaining": float(sections),
    }
    return Demand(**values | fields)


class Farm:
    """Videos that wait and workers, at times that the test gives."""

    def __init__(self, *news: WorkerCard | Demand, busy: dict[str, float] | None = None) -> None:
        """busy: workers that got an order at NOW, and what its video needs afterwards."""
        self.queue, self.crew = Queue(), Crew(clock=lambda: 0.0)
        self.offers, self.owners = Offers(self.queue, self.crew), dict[str, str]()
        for one in news:
            self.tell(one)
        for worker, chain in (busy or {}).items():
            self.crew.reserve(self.worker(worker), None, work=1.0, chain=chain, now=NOW)

    def tell(self, one: WorkerCard | Demand) -> None:
        """A video is new or another one; a worker asks."""
        if isinstance(one, Demand):
            self.queue.enqueue(one, now=NOW)
            self.owners[one.job] = one.owner
        else:
            self.crew.release(self.crew.hear(one), "idle", now=NOW)

    def worker(self, name: str) -> Worker:
        """One that was told of."""
        worker = self.crew.get(name)
        assert worker
        return worker

    def schedule(self, now: float = NOW) -> list[Assignment]:
        """Return the orders that idle workers get."""
        workers = self.crew.serving()
        self.queue.age(now=now, fastest_s=min((worker.pace_s for worker in workers), default=0.0))
        return schedule(self.queue, workers, now=now)

    def give_one(self, now: float = NOW) -> str:
        """The lone worker gets an order, which ends its video, and asks again."""
        offer = self.offers.to("w0", now=now)
        assert offer
        self.offers.take(offer, owner=self.owners[offer.job])
        self.queue.dequeue(offer.job)
        self.crew.reserve(self.worker("w0"), None, work=1.0, chain=0.0, now=now)
        self.crew.release(self.worker("w0"), "idle", now=now)
        return offer.job


def paces(farm: Farm) -> dict[str, float]:
    """By worker, seconds a section."""
    return {worker.card.id: worker.pace_s for worker in farm.crew.serving()}


def who(farm: Farm, now: float = NOW) -> dict[str, str]:
    """The schedule: worker -> video."""
    return {one.worker: one.job for one in farm.schedule(now)}


def first(*demands: Demand, now: float = NOW) -> str:
    """Which video a lone worker gets."""
    return who(Farm(card(), *demands), now)["w0"]


def test_the_least_work_left_comes_first() -> None:
    """A short video goes before a long one, and a long one that is nearly done before both."""
    assert first(video("long", 50), video("short", 4)) == "short"
    assert first(video("long", 2, section=48), video("short", 4)) == "long"


def test_waiting_makes_up_for_work() -> None:
    """Each `PATIENCE_S` of waiting counts like a section less, so short newcomers do not pass for ever."""
    old = video("old", 14, created_s=NOW - 11 * PATIENCE_S)
    assert first(old, video("new", 4)) == "old"
    assert first(old, video("new", 2)) == "new"


def test_priority_comes_before_shortness_and_fairness() -> None:
    """A long video of higher priority goes first; a day's waiting is worth a point."""
    assert first(video("low", 1), video("high", 50, priority=1)) == "high"
    assert first(video("low", 1, created_s=NOW - 2.5 * DAY_S), video("high", 50, priority=1)) == "low"


def test_a_deadline_in_danger_comes_before_priority() -> None:
    """A deadline changes nothing while there is time, puts the video first when there is not, nothing once missed."""
    due = video("due", 10, deadline_s=NOW + 10_000)
    farm = Farm(card(pace=100.0), due, video("vip", 2, priority=10))
    assert who(farm, NOW) == {"w0": "vip"}
    assert who(farm, NOW + 8_500) == {"w0": "due"}
    assert who(farm, NOW + 10_001) == {"w0": "vip"}


def test_of_two_deadlines_the_one_with_less_room_comes_first() -> None:
    """Owners share nothing there: what counts is when a video must begin at the latest."""
    later = video("later", 2, deadline_s=NOW + 300, owner="other")
    assert first(later, video("sooner", 10, deadline_s=NOW + 1050)) == "sooner"


def test_owners_share_the_work() -> None:
    """An owner with many videos gets every second section while another waits; a newcomer has no credit."""
    farm = Farm(card(), *(video(f"many-{n}", 1, owner="many") for n in range(9)))
    got = []
    for turn in range(8):
        if turn == 4:
            for n in range(4):
                farm.tell(video(f"few-{n}", 50, owner="few"))
        got.append(farm.give_one().partition("-")[0])
    assert got[:4] == ["many"] * 4
    assert sorted(got[4:]) == ["few", "few", "many", "many"]


def test_the_fastest_free_worker_is_taken() -> None:
    """One video, four free workers: the fastest, wherever it stands in the list."""
    assert who(Farm(card("a", 300), card("b", 30), card("c", 100), card("d", 775), video("v"))) == {"b": "v"}


def test_the_shortest_video_goes_to_the_fastest_worker() -> None:
    """Three videos, three free workers that differ a little."""
    news = card("c", 50), card("b", 40), card("a", 30), video("x", 2), video("y", 4), video("z", 9)
    assert who(Farm(*news)) == {"a": "x", "b": "y", "c": "z"}


def test_a_slow_worker_leaves_to_a_fast_one_what_that_ends_sooner() -> None:
    """The fast one is free in 30 s and needs 30 s: a card of 775 s waits, one of 59 s does not."""
    assert who(Farm(card("fast", 30), card("slow", 775), video("v"), busy={"fast": 0.0})) == {}
    assert who(Farm(card("fast", 30), card("near", 59), video("v"), busy={"fast": 0.0})) == {"near": "v"}


def test_a_slow_worker_helps_where_fast_ones_are_taken_for_long() -> None:
    """A fast card that stays with its own video for 40 sections is none to wait for; nor is one that is stuck."""
    farm = Farm(card("fast", 30), card("slow", 775), video("v"), busy={"fast": 40.0})
    assert who(farm) == {"slow": "v"}
    stuck = Farm(card("fast", 30), card("slow", 775), video("v"), busy={"fast": 0.0})
    assert who(stuck, NOW + 900) == {"slow": "v"}


def test_a_slow_worker_takes_what_is_too_much_for_the_fast_ones() -> None:
    """In 775 s the fast card can do the first videos; the slow one begins behind them, not in front."""
    videos = [video(f"v{n:02}", 4 + n) for n in range(20)]
    plan = who(Farm(card("fast", 30), card("slow", 775), *videos, busy={"fast": 0.0}))
    assert plan == {"slow": "v05"}


def test_a_video_moves_to_a_fast_card_at_its_next_section() -> None:
    """The card that it was warm on is free as well, but slow."""
    assert who(Farm(card("fast", 30), card("slow", 775, warm="v"), video("v", 30, section=20))) == {"fast": "v"}


def test_a_worker_that_is_about_to_ask_counts_as_free() -> None:
    """A fast card that has just ended its section does the next one, not the slow one that asks a moment earlier."""
    farm = Farm(card("fast", 30), card("slow", 775), video("v"))
    farm.crew.release(farm.worker("fast"), "soon", now=NOW)
    assert who(farm, NOW + 1) == {}
    assert who(farm, NOW + 60) == {"slow": "v"}
    farm.crew.release(farm.worker("fast"), "away", now=NOW + 60)
    assert who(farm, NOW) == {"slow": "v"}


def test_warm_workers_are_taken_among_near_equals_only() -> None:
    """A tenth slower is near enough for context and for a loaded model; twice as slow is not."""
    assert who(Farm(card("a", 100), card("b", 110, warm="v"), video("v"))) == {"b": "v"}
    assert who(Farm(card("a", 100), card("b", 200, warm="v"), video("v"))) == {"a": "v"}
    assert who(Farm(card("a", 100, model="b"), card("b", 110, model="a"), video("v"))) == {"b": "v"}
    assert who(Farm(card("a", 100, model="b"), card("b", 200, model="a"), video("v"))) == {"a": "v"}


def test_a_worker_changes_its_model_only_where_that_pays() -> None:
    """An order for the loaded model goes before one that is a little shorter, not before one that is much shorter."""
    holds_a = card("w", model="a")
    assert who(Farm(holds_a, video("same", 6), video("other", 4, model="b"))) == {"w": "same"}
    assert who(Farm(holds_a, video("same", 20), video("other", 4, model="b"))) == {"w": "other"}
    assert who(Farm(holds_a, video("same", 6), video("other", 50, model="b", priority=1))) == {"w": "other"}


def test_a_video_goes_where_it_fits() -> None:
    """Memory that the video or the worker leaves to others is not there for the model."""
    small = card("w", vram_gib=12.0, needs_gib={"a": 9.0})
    roomy = Need("section", "a", preserve_gb=4.0)
    greedy = video("v", pieces=(Piece(OrderKey(stage="section", section=0), roomy, 1.0),))
    assert who(Farm(small, video("v"))) == {"w": "v"}
    assert who(Farm(small, greedy)) == {}
    assert who(Farm(small.model_copy(update={"preserve_gb": 4.0}), video("v"))) == {}
    assert who(Farm(small.model_copy(update={"needs_gib": {"a": 14.0}}), video("v"))) == {}
    assert who(Farm(card("big", vram_gib=80.0, needs_gib={"a": 9.0}), greedy)) == {"big": "v"}


def test_a_worker_gets_only_what_it_can_do() -> None:
    """Stage, model and numeric class; what it cannot do does not stop it from doing what comes after."""
    decodes = card("w", stages=("decode",))
    piece = Piece(OrderKey(stage="decode", section=0), Need("decode", "a"), 0.1)
    assert who(Farm(decodes, video("v"))) == {}
    assert who(Farm(decodes, video("v"), video("late", 50, pieces=(piece,)))) == {"w": "late"}
    pinned = Piece(OrderKey(stage="section", section=0), Need("section", "a", parse_class("two")), 1.0)
    assert who(Farm(card("w"), video("v", pieces=(pinned,)))) == {}
    assert who(Farm(card("w", numeric_class="two-t8"), video("v", pieces=(pinned,)))) == {"w": "v"}


def test_a_worker_that_failed_a_video_gets_it_where_nobody_else_can() -> None:
    """Another that is busy is waited for."""
    failed = video("v", failed=frozenset({"w0"}))
    assert who(Farm(card("w0"), failed)) == {"w0": "v"}
    assert who(Farm(card("w0"), card("w1", 110), failed)) == {"w1": "v"}
    assert who(Farm(card("w0"), card("w1", 110), failed, busy={"w1": 0.0})) == {}


def test_unknown_speeds_are_guessed_from_what_is_known() -> None:
    """By the same device's measurements; else by memory, put right by what other devices measured."""
    farm = Farm(card("a", 60.0, device="4090"), card("b", 1.0, device="4090", s_per_section=None))
    farm.tell(card("c", device="3060", vram_gib=12.0, s_per_section=None))
    assert paces(farm) == {"a": 60.0, "b": 60.0, "c": pytest.approx(60.0 * 230 / 120)}
    farm.crew.bury("a", alone=True)
    assert paces(farm) == {"b": 120.0, "c": 230.0}


def test_a_measurement_that_differs_by_little_is_no_other_pace() -> None:
    """Below 5 % nobody's changes; one that does is one piece of news, for however many others it counts."""
    alike = [card(f"b{n}", device="4090", s_per_section=None) for n in range(3)]
    farm = Farm(card("a", 60.0, device="4090"), *alike)
    assert set(paces(farm).values()) == {60.0}
    farm.crew.hear(card("a", 62.0, device="4090"))
    assert set(paces(farm).values()) == {60.0}
    before = farm.crew.version
    farm.crew.hear(card("a", 64.0, device="4090"))
    assert set(paces(farm).values()) == {64.0}
    assert farm.crew.version == before + 1


@pytest.mark.parametrize("s_per_section", [None, 60.0])
def test_hearing_a_worker_costs_the_same_for_any_number_of_others(
    s_per_section: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beats look at no other worker's card, whether the workers measured anything or not."""
    looks = 0

    def look(card: WorkerCard) -> float | None:
        nonlocal looks
        looks += 1
        return measured(card)

    monkeypatch.setattr(crew, "measured", look)
    farm = Farm(card("known", 50.0))
    for warm in ("a", "b"):
        for n in range(200):
            farm.crew.hear(card(f"w{n}", s_per_section=s_per_section, warm=JobId(warm)))
    assert looks <= 4 * 400


def test_records_become_demands(accept: Accept) -> None:
    """Size, steps, true CFG and what is done already tell the work; a paused video waits for nothing."""
    record = accept(priority=3, metadata={"deadline_s": 60}, num_inference_steps=50)
    demand = demand_of(record)
    assert [str(piece.key) for piece in demand.pieces] == ["encode"]
    assert (demand.priority, demand.deadline_s) == (3, demand.created_s + 60)
    double = demand_of(accept(num_inference_steps=50, true_cfg_scale=2.0))
    assert double.remaining == pytest.approx(2 * demand.remaining)
    later = JobState(status="in_progress", conditioning=1, sections=(3,))
    halfway = demand_of(Record(record.job, record.head.model_copy(update={"state": later})))
    assert [str(piece.key) for piece in halfway.pieces] == ["section/1"]
    assert 0.4 < halfway.remaining / demand.remaining < 0.6
    paused = JobState(status="paused")
    assert demand_of(Record(record.job, record.head.model_copy(update={"state": paused}))).pieces == ()
    for wrong in ("soon", True, -1, None):
        assert demand_of(accept(metadata={"deadline_s": wrong})).deadline_s is None


def test_records_are_scheduled_oldest_first(accept: Accept) -> None:
    """Age decides if nothing else does."""
    accepted = [accept() for _ in range(3)]  # within one millisecond, now and then
    records = [Record(one.job.model_copy(update={"created_ms": n}), one.head) for n, one in enumerate(accepted)]
    cards = [card(f"w{n}", models=("tiny",)) for n in range(2)]
    given = Farm(*map(demand_of, records), *cards).schedule(now=0.0)
    assert {one.job for one in given} == {record.job.id for record in records[:2]}


def test_the_queue_tells_the_order() -> None:
    """Owners take turns in it, too; a video that was begun is not in it."""
    mine = [video(f"a{n}", 4 + n, owner="a") for n in range(3)]
    farm = Farm(*mine, video("b0", 5, owner="b"), video("begun", status="in_progress"))
    assert farm.queue.to_begin() == ["a0", "b0", "a1", "a2"]
    assert (farm.queue.position(JobId("b0")), farm.queue.position(JobId("begun"))) == (1, None)


NAMES = [f"v{n}" for n in range(8)]
DEMANDS = st.builds(
    video,
    st.sampled_from(NAMES),
    st.integers(1, 60),
    model=st.sampled_from("ab"),
    priority=st.integers(-10, 10),
    owner=st.sampled_from(["somebody", "somebody else"]),
    created_s=st.integers(0, 40).map(lambda hours: NOW - 3600.0 * hours),
    deadline_s=st.none() | st.integers(-9, 99).map(lambda minutes: NOW + 60.0 * minutes),
)
CARDS = st.builds(
    card,
    st.sampled_from("pqrst"),
    st.sampled_from([30.0, 120.0, 230.0, 775.0]),
    model=st.sampled_from([None, "a", "b"]),
)
NEWS = st.lists(DEMANDS | CARDS | st.sampled_from([JobId(name) for name in NAMES]), max_size=40)


@given(NEWS)
@settings(max_examples=60)
def test_news_one_by_one_or_all_at_once_give_the_same_schedule(news: list[Demand | WorkerCard | JobId]) -> None:
    """The list kept between news equals a list sorted again; making a schedule changes nothing."""
    farm, videos, workers = Farm(), dict[JobId, Demand](), dict[str, WorkerCard]()
    for one in news:
        if isinstance(one, Demand):
            videos[one.job] = one
        elif isinstance(one, WorkerCard):
            workers[one.id] = one
        if isinstance(one, str):
            farm.queue.dequeue(one)
            videos.pop(one, None)
        else:
            farm.tell(one)
        farm.schedule()
    given = farm.schedule()
    assert sorted(given, key=str) == sorted(Farm(*workers.values(), *videos.values()).schedule(), key=str)
    orders = {(lease.job, lease.piece.key) for lease in given}
    assert len({lease.worker for lease in given}) == len(orders) == len(given)
    assert all(farm.offers.to(lease.worker, now=NOW) == lease for lease in given)


@given(st.lists(DEMANDS, max_size=12, unique_by=lambda demand: demand.job), st.integers(1, 6))
@settings(max_examples=40)
def test_no_equal_worker_idles_while_an_order_waits(demands: list[Demand], workers: int) -> None:
    """If all workers are equally fast, none waits for another."""
    given = Farm(*(card(f"w{n}") for n in range(workers)), *demands).schedule()
    assert len(given) == min(workers, len(demands))


@given(st.lists(DEMANDS, min_size=1, max_size=8, unique_by=lambda demand: demand.job), st.sampled_from([30.0, 775.0]))
@settings(max_examples=40)
def test_the_fastest_of_free_workers_always_works(demands: list[Demand], slowest: float) -> None:
    """Patience never stops the farm: if all workers are free, the fastest one has something to do."""
    assert "fast" in who(Farm(card("fast", 20.0), card("slow", slowest), *demands))


@given(
    st.integers(1, 500),
    st.integers(-10, 10),
    st.integers(1, 4),
    st.sampled_from(["same", "other", "many"]),
    st.booleans(),
)
@settings(max_examples=30)
def test_no_video_starves(sections: int, priority: int, rivals: int, owners: str, due: bool) -> None:
    """However many short videos of the highest priority keep coming, only those of the first four weeks go before."""
    farm = Farm(card(), video("old", sections, owner="same", priority=priority))
    for turn in range(28 * rivals):
        now = NOW + turn * DAY_S
        for n in range(rivals):
            owner = f"owner-{turn}-{n}" if owners == "many" else owners
            deadline = now + 150.0 if due else None
            rival = video(f"new-{turn}-{n}", 1, owner=owner, priority=10, created_s=now, deadline_s=deadline)
            farm.queue.enqueue(rival, now=now)
            farm.owners[rival.job] = owner
        if farm.give_one(now) == "old":
            return
    pytest.fail("more than they went before")
