"""The dispatcher and the scheduler together: measured speeds, warm workers, deadlines, and leases that end."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from farm.contract import Artifact, Failure, JobId, Order, OrderKey, Progress, WorkerCard
from farm.dispatch.dispatcher import Dispatcher
from farm.jobs import Jobs, Record
from farm.ledger import Entry
from farm.ledger.states import Event
from farm.settings import FarmSettings
from tests import hands
from tests.clock import Clock

Accept = Callable[..., Record]


@pytest.fixture
def clock() -> Clock:
    """Unix time, which stands still."""
    return Clock(1_800_000_000.0)


@pytest.fixture
def jobs(jobs: Jobs, clock: Clock) -> Jobs:
    """Videos that come at the clock's time."""
    return Jobs(jobs.store, clock=clock)


@pytest.fixture
def dispatcher(jobs: Jobs, clock: Clock) -> Dispatcher:
    """In charge of an empty store."""
    return Dispatcher(jobs, FarmSettings(), clock=clock, wall=clock)


def card(worker: str, pace: float, **fields: Any) -> WorkerCard:
    """A worker of that many seconds a section."""
    return hands.card(worker, **{"numeric_class": "one", "s_per_standard_section": pace} | fields)


def commit(jobs: Jobs, order: Order, worker: str) -> None:
    """Write the entry of a worker that is done."""
    artifact = Artifact(key=f"jobs/{order.job.id}/x.a{order.attempt}", sha256="0" * 64, bytes=1)
    event = Event(
        name="committed",
        key=str(order.key),
        attempt=order.attempt,
        worker=worker,
        artifacts={{"encode": "conditioning", "decode": "clip"}.get(order.key.stage, "section"): artifact},
        numeric_class="one",
    )
    jobs.ledger.append(order.job.id, event)


def ask(dispatcher: Dispatcher, who: WorkerCard) -> Order:
    """An order, which must be there."""
    order = dispatcher.ask(who)
    assert isinstance(order, Order)
    return order


def test_a_video_moves_to_the_fast_card_at_its_next_section(dispatcher: Dispatcher, jobs: Jobs, accept: Accept) -> None:
    """The slow one that began it asks first and is told to wait; the fast one goes on."""
    fast, slow = card("fast", 30), card("slow", 775)
    dispatcher.nudge(accept().job.id)
    order = ask(dispatcher, slow)
    assert dispatcher.ask(fast) == "go"
    commit(jobs, order, "slow")
    assert dispatcher.ask(slow) == "go"
    assert ask(dispatcher, fast).key == OrderKey(stage="section", section=0)


def test_a_slow_card_does_not_take_what_a_busy_fast_one_ends_sooner(
    dispatcher: Dispatcher, jobs: Jobs, accept: Accept, clock: Clock
) -> None:
    """If the fast card falls silent, its lease expires and the slow card gets the order."""
    fast, slow = card("fast", 30), card("slow", 775)
    begun, waits = accept().job.id, accept().job.id
    dispatcher.nudge(begun)
    assert ask(dispatcher, fast).job.id == begun
    dispatcher.nudge(waits)
    assert dispatcher.ask(slow) == "go"
    live = dispatcher.live(waits)
    assert live
    assert live.queue_position == 0
    clock.now += 31
    dispatcher.tick()
    assert ask(dispatcher, slow).job.id in {begun, waits}


def test_a_worker_that_measured_nothing_yet_is_as_fast_as_its_like(dispatcher: Dispatcher, accept: Accept) -> None:
    """Also one that asked before its like had measured anything, when a section was thought to take hours."""
    new = hands.card("new", numeric_class="one")
    assert dispatcher.ask(new) == "go"
    first, second = accept(), accept()
    for video in (first, second):
        dispatcher.nudge(video.job.id)
    got = {ask(dispatcher, who).job.id for who in (card("known", 3.0, model="tiny"), new)}
    assert got == {first.job.id, second.job.id}


def test_a_deadline_in_the_metadata_comes_before_priority(dispatcher: Dispatcher, accept: Accept, clock: Clock) -> None:
    """As soon as it is in danger."""
    only = card("only", 30)
    due, important = accept(metadata={"deadline_s": 7200}).job.id, accept(priority=5).job.id
    for job_id in (due, important):
        dispatcher.nudge(job_id)
    positions = [live.queue_position for job_id in (due, important) if (live := dispatcher.live(job_id))]
    assert positions == [1, 0]
    clock.now += 7199
    assert ask(dispatcher, only).job.id == due


def test_owners_take_turns(dispatcher: Dispatcher, jobs: Jobs, accept: Accept) -> None:
    """An owner who sent three videos first does not make the other owner wait for all of them."""
    only = card("only", 30)
    for owner in ("a", "a", "a", "b"):
        dispatcher.nudge(accept(owner=owner).job.id)
    owners = []
    for _ in range(2):
        order = ask(dispatcher, only)
        commit(jobs, order, "only")
        owners.append(order.job.owner)
    assert sorted(owners) == ["a", "b"]


def test_a_dead_workers_lease_is_found_without_looking_at_every_video(
    dispatcher: Dispatcher, jobs: Jobs, accept: Accept, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With many videos waiting, a death and a lost answer cost a look at one."""
    for _ in range(5):
        dispatcher.nudge(accept().job.id)
    order, looks = ask(dispatcher, card("w", 30)), list[str]()
    assert ask(dispatcher, card("w", 30)) == order
    head = jobs.ledger.head

    def counted(job: JobId, *, after: Entry | None = None) -> Entry:
        looks.append(job)
        return head(job, after=after)

    monkeypatch.setattr(jobs.ledger, "head", counted)
    dispatcher.worker_died("w")
    assert set(looks) == {order.job.id}
    assert jobs.get(order.job.id, owner=None).head.state.leases == {}


def test_a_failed_order_goes_to_the_other_worker(dispatcher: Dispatcher, accept: Accept) -> None:
    """Even if the other worker is much slower, the farm does not wait for the one that failed."""
    fast, slow = card("fast", 30), card("slow", 775)
    dispatcher.nudge(accept().job.id)
    order = ask(dispatcher, fast)
    assert dispatcher.ask(slow) == "go"
    dispatcher.give_up(
        Failure(job=order.job.id, key=order.key, attempt=order.attempt, worker="fast", code="boom", message="x")
    )
    assert dispatcher.ask(fast) == "go"
    assert ask(dispatcher, slow).key == order.key


def test_an_inherited_lease_makes_its_worker_busy(
    dispatcher: Dispatcher, jobs: Jobs, accept: Accept, clock: Clock
) -> None:
    """A new dispatcher learns from the first report what the worker is at."""
    dispatcher.nudge(accept().job.id)
    order = ask(dispatcher, card("w", 30))
    heir = Dispatcher(jobs, FarmSettings(), clock=clock, wall=clock)
    progress = Progress(job=order.job.id, key=order.key, attempt=order.attempt, worker="w")
    assert heir.beat(card("w", 30), progress) == "go"
    assert [(worker.state, worker.job) for worker in heir.workers()] == [("busy", order.job.id)]
