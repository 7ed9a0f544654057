"""The dispatcher's answers, with a real store and a clock that the test turns."""

from __future__ import annotations

from collections.abc import Callable
from typing import get_args

import pytest

from farm.contract import Failure, JobPlan, Order, OrderKey, Progress, Stage, WorkerCard
from farm.dispatch.dispatcher import Dispatcher
from farm.dispatch.news import WATCH_S
from farm.errors import LeaseLost, NotFound
from farm.jobs import Jobs, Record
from farm.settings import FarmSettings
from tests import hands
from tests.clock import Clock
from tests.pages import read_page

Accept = Callable[..., Record]
SETTINGS = FarmSettings(lease_s=10.0, heartbeat_s=1.0)


@pytest.fixture
def dispatcher(jobs: Jobs, clock: Clock) -> Dispatcher:
    """In charge of an empty store."""
    return Dispatcher(jobs, SETTINGS, clock=clock)


def card(
    worker: str = "w0", numeric_class: str = "cpu-x-t1", stages: tuple[Stage, ...] = get_args(Stage)
) -> WorkerCard:
    """A worker that can do everything."""
    return hands.card(worker, numeric_class=numeric_class, stages=stages)


def ask(dispatcher: Dispatcher, worker: str = "w0", numeric_class: str = "cpu-x-t1") -> Order:
    """An order, which must be there."""
    order = dispatcher.ask(card(worker, numeric_class))
    assert isinstance(order, Order)
    return order


def progress(order: Order, worker: str = "w0", step: int = 1) -> Progress:
    """A report on an order."""
    return Progress(job=order.job.id, key=order.key, attempt=order.attempt, worker=worker, step=step, steps=25)


def commit(jobs: Jobs, order: Order, worker: str = "w0", numeric_class: str = "cpu-x-t1") -> None:
    """Write the entry of a worker that is done."""
    hands.commit(jobs, worker, order, numeric_class=numeric_class, seconds=2.0)


def failure(order: Order, worker: str = "w0", code: str = "boom", *, counts: bool = True) -> Failure:
    """Return the report of a worker that gives up."""
    return Failure(
        job=order.job.id, key=order.key, attempt=order.attempt, worker=worker, code=code, message="x", counts=counts
    )


def test_a_worker_shows_its_section_while_somebody_watches(
    dispatcher: Dispatcher, jobs: Jobs, accept: Accept, clock: Clock
) -> None:
    """Reports on a watched video's section are answered with `show`, until its watchers are silent for a while."""
    dispatcher.nudge(job_id := accept().job.id)
    dispatcher.watch(frozenset({job_id}))
    encode = ask(dispatcher)
    assert dispatcher.beat(card(), progress(encode)) == "go"
    commit(jobs, encode)
    section = ask(dispatcher)
    assert dispatcher.beat(card(), progress(section)) == "show"
    clock.now += WATCH_S - 1
    dispatcher.watch(frozenset({job_id}))
    clock.now += WATCH_S - 1
    assert dispatcher.beat(card(), progress(section)) == "show"
    clock.now += 1
    assert dispatcher.beat(card(), progress(section)) == "go"


def test_a_video_goes_through_its_stages(dispatcher: Dispatcher, jobs: Jobs, accept: Accept) -> None:
    """One worker gets every order once, with the artifacts of the stages before it, until nothing is left."""
    dispatcher.nudge(accept().job.id)
    seen = {}
    while isinstance(order := dispatcher.ask(card()), Order):
        seen[str(order.key)] = sorted(order.needs)
        commit(jobs, order)
    assert seen == {
        "encode": [],
        "section/0": ["conditioning"],
        "section/1": ["conditioning", "section/0"],
        "decode/1": ["conditioning", "section/0", "section/1"],
        "finish": ["clip/1"],
    }
    assert jobs.open_ids() == []
    assert dispatcher.ask(card()) == "go"


def test_a_decode_runs_beside_the_next_section(dispatcher: Dispatcher, jobs: Jobs, accept: Accept) -> None:
    """While one worker makes a section, another decodes what the sections before it made final."""
    plan = JobPlan(
        kind="i2v", sections=3, latent_window_size=9, fps=30, height=96, width=128, frames=109, final_frames=(0, 36, 73)
    )
    dispatcher.nudge(accept(plan=plan).job.id)
    for _ in ("encode", "section/0", "section/1"):
        commit(jobs, ask(dispatcher))
    held = {worker: str(ask(dispatcher, worker).key) for worker in ("w0", "w1")}
    assert sorted(held.values()) == ["decode/1", "section/2"]
    assert isinstance(dispatcher.ask(card("w2")), str)  # nothing is left to do beside the two


def test_a_lost_answer_gives_the_same_order_again(dispatcher: Dispatcher, accept: Accept) -> None:
    """A worker that asks again while it holds a lease gets that order, with that attempt."""
    dispatcher.nudge(accept().job.id)
    assert ask(dispatcher) == ask(dispatcher)


def test_a_silent_worker_loses_its_lease(dispatcher: Dispatcher, accept: Accept, clock: Clock, jobs: Jobs) -> None:
    """Reports keep a lease alive; without them it ends, another worker gets the order, and the first hears stop."""
    dispatcher.nudge(accept().job.id)
    order = ask(dispatcher)
    for _ in range(3):
        clock.now += 9
        assert dispatcher.beat(card(), progress(order)) == "go"
        dispatcher.tick()
    clock.now += 11
    dispatcher.tick()
    other = ask(dispatcher, "w1")
    assert other.key == order.key
    assert dispatcher.beat(card(), progress(order)) == "stop"
    with pytest.raises(LeaseLost):
        commit(jobs, order)
    assert jobs.get(order.job.id, owner=None).head.state.failures == ()


def test_pause_and_cancel_stop_the_worker(dispatcher: Dispatcher, jobs: Jobs, accept: Accept) -> None:
    """A nudge suffices: the next report is answered "stop", and nothing is leased until a resume."""
    job, _ = accept()
    dispatcher.nudge(job.id)
    order = ask(dispatcher)
    jobs.wish(job.id, "pause", owner="local")
    dispatcher.nudge(job.id)
    assert dispatcher.beat(card(), progress(order)) == "stop"
    dispatcher.give_up(failure(order, code="stopped", counts=False))
    assert dispatcher.ask(card()) == "go"
    jobs.wish(job.id, "resume", owner="local")
    dispatcher.nudge(job.id)
    order = ask(dispatcher)
    jobs.wish(job.id, "cancel", owner="local")
    dispatcher.nudge(job.id)
    assert dispatcher.beat(card(), progress(order)) == "stop"
    assert dispatcher.live(job.id) is None
    assert jobs.open_ids() == []


def test_lost_nudges_only_delay(dispatcher: Dispatcher, jobs: Jobs, accept: Accept) -> None:
    """A sweep finds a new video, a tick finds a leased video's cancel."""
    job, _ = accept()
    assert dispatcher.ask(card()) == "go"
    dispatcher.sweep()
    order = ask(dispatcher)
    jobs.wish(job.id, "cancel", owner="local")
    dispatcher.tick()
    assert dispatcher.beat(card(), progress(order)) == "stop"


def test_a_new_dispatcher_honours_living_leases(
    dispatcher: Dispatcher, jobs: Jobs, accept: Accept, clock: Clock
) -> None:
    """After a restart the worker carries on, its lease gets a full period, and the old dispatcher is refused."""
    job, _ = accept()
    dispatcher.nudge(job.id)
    order = ask(dispatcher)
    heir = Dispatcher(jobs, SETTINGS, clock=clock)
    assert heir.epoch == dispatcher.epoch + 1
    clock.now += 9
    heir.tick()
    assert heir.beat(card(), progress(order, step=7)) == "go"
    clock.now += 9
    heir.tick()
    live = heir.live(job.id)
    assert live
    assert live.progress
    assert live.progress.step == 7
    clock.now += 11
    heir.tick()
    with pytest.raises(LeaseLost, match="newer dispatcher"):
        dispatcher.give_up(failure(order))


def test_a_dead_worker_costs_its_order_at_once(dispatcher: Dispatcher, accept: Accept, jobs: Jobs) -> None:
    """Its lease ends without waiting for the period, and the death counts against the video."""
    job, _ = accept()
    dispatcher.nudge(job.id)
    order = ask(dispatcher)
    dispatcher.worker_died("w0")
    assert ask(dispatcher, "w1").key == order.key
    (failed,) = jobs.get(job.id, owner=None).head.state.failures
    assert (failed.code, failed.worker) == ("worker_died", "w0")


def test_three_failures_of_a_kind_end_a_video(dispatcher: Dispatcher, accept: Accept, jobs: Jobs) -> None:
    """With two workers, both have tried before the video fails with that error; a retry starts afresh."""
    job, _ = accept()
    dispatcher.nudge(job.id)
    for worker in ("w0", "w1"):
        dispatcher.ask(card(worker, stages=()))
    for worker in ("w0", "w1", "w0"):
        order = ask(dispatcher, worker)
        dispatcher.give_up(failure(order, worker))
    state = jobs.get(job.id, owner=None).head.state
    assert state.status == "failed"
    assert state.error
    assert state.error.code == "boom"
    jobs.wish(job.id, "retry", owner="local")
    dispatcher.nudge(job.id)
    assert ask(dispatcher).key == OrderKey(stage="encode")


def test_stops_and_store_troubles_never_count(dispatcher: Dispatcher, accept: Accept, jobs: Jobs) -> None:
    """A video survives any number of failures that are not its own."""
    job, _ = accept()
    dispatcher.nudge(job.id)
    for _ in range(10):
        dispatcher.give_up(failure(ask(dispatcher), counts=False))
    assert jobs.get(job.id, owner=None).head.state.failures == ()


def test_a_worker_that_failed_a_video_gets_it_last(dispatcher: Dispatcher, accept: Accept) -> None:
    """Another worker takes it over; alone, the same one tries again."""
    job, _ = accept()
    dispatcher.nudge(job.id)
    dispatcher.ask(card("w1", stages=()))
    dispatcher.give_up(failure(ask(dispatcher, "w0")))
    dispatcher.ask(card("w1"))
    assert dispatcher.live(job.id)
    assert dispatcher.ask(card("w0")) == "go"


def test_numeric_classes_are_not_mixed(dispatcher: Dispatcher, accept: Accept, jobs: Jobs) -> None:
    """No other kind of device goes on with a section; another thread count is the same kind, and is told."""
    dispatcher.nudge(accept().job.id)
    commit(jobs, ask(dispatcher, numeric_class="cpu-x-t2"), numeric_class="cpu-x-t2")
    dispatcher.tick()
    assert dispatcher.ask(card("w1", numeric_class="cuda-x")) == "go"
    assert ask(dispatcher, "w2", numeric_class="cpu-x-t1").numeric_class == "cpu-x-t2"


def test_draining_gives_nothing_out(dispatcher: Dispatcher, accept: Accept) -> None:
    """A busy worker and an idle one are both told to end."""
    dispatcher.nudge(accept().job.id)
    order = ask(dispatcher)
    dispatcher.drain()
    assert dispatcher.beat(card(), progress(order)) == "exit"
    assert dispatcher.ask(card("w1")) == "exit"


def test_workers_and_queue_are_shown(dispatcher: Dispatcher, accept: Accept) -> None:
    """The dispatcher says which worker does what, which video waits at which place, and how long it may take."""
    first, second = accept(priority=1).job.id, accept().job.id
    dispatcher.nudge(first)
    dispatcher.nudge(second)
    order = ask(dispatcher)
    (state,) = dispatcher.workers()
    assert (state.state, state.job, state.key) == ("busy", first, order.key)
    live = dispatcher.live(second)
    assert live
    assert live.queue_position == 0
    assert dispatcher.live("video_" + "0" * 32) is None  # type: ignore[arg-type]


def test_a_deleted_video_is_forgotten(dispatcher: Dispatcher, accept: Accept, jobs: Jobs) -> None:
    """A nudge for a video that is gone is harmless."""
    job, _ = accept()
    dispatcher.nudge(job.id)
    jobs.wish(job.id, "cancel", owner="local")
    jobs.delete(job.id, owner="local")
    dispatcher.nudge(job.id)
    assert dispatcher.live(job.id) is None
    with pytest.raises(NotFound):
        jobs.get(job.id, owner=None)


def test_a_video_says_what_it_waits_for(dispatcher: Dispatcher, accept: Accept, jobs: Jobs) -> None:
    """No worker at all, one that cannot start, one for another model: each is told; a fitting worker ends it."""
    job, _ = accept()
    dispatcher.nudge(job.id)

    def waiting_for() -> str | None:
        live = dispatcher.live(job.id)
        assert live
        return live.waiting_for

    assert waiting_for() == "a worker to start"
    dispatcher.worker_failed_to_start("ModelUnavailable: vae is missing")
    assert waiting_for() == "a worker; the last one could not start: ModelUnavailable: vae is missing"
    dispatcher.ask(card("w1", stages=("decode",)))
    assert waiting_for() == "a worker for tiny"
    commit(jobs, ask(dispatcher))
    assert waiting_for() is None


def test_a_dead_workers_question_gets_no_order(dispatcher: Dispatcher, accept: Accept) -> None:
    """A question that was on its way when the process died is answered "exit": nothing is leased to a ghost."""
    dispatcher.nudge(accept().job.id)
    dispatcher.worker_died("worker-0.aaaaaa")
    assert dispatcher.ask(card("worker-0.aaaaaa")) == "exit"
    assert isinstance(dispatcher.ask(card("worker-0.bbbbbb")), Order)


def test_one_sick_slot_does_not_end_a_video(dispatcher: Dispatcher, accept: Accept, jobs: Jobs) -> None:
    """An order that killed workers in one slot waits for another slot that can do it."""
    job, _ = accept()
    dispatcher.nudge(job.id)
    ask(dispatcher, "worker-0.a")
    dispatcher.ask(card("worker-1.ffffff"))
    dispatcher.worker_died("worker-0.a")
    for worker in ("worker-0.b", "worker-0.c", "worker-0.d"):
        assert dispatcher.ask(card(worker)) == "go"
        dispatcher.worker_died(worker)
    assert jobs.get(job.id, owner=None).head.state.status == "in_progress"
    assert isinstance(dispatcher.ask(card("worker-1.ffffff")), Order)


def test_a_quick_resume_does_not_stop_the_worker(dispatcher: Dispatcher, accept: Accept, jobs: Jobs) -> None:
    """Pause and resume between two reports: the lease stands, the section goes on."""
    job, _ = accept()
    dispatcher.nudge(job.id)
    order = ask(dispatcher)
    jobs.wish(job.id, "pause", owner="local")
    jobs.wish(job.id, "resume", owner="local")
    dispatcher.nudge(job.id)
    assert dispatcher.beat(card(), progress(order)) == "go"


def test_a_damaged_video_does_not_stop_the_others(dispatcher: Dispatcher, accept: Accept, jobs: Jobs) -> None:
    """Sweep, tick and a new dispatcher skip a video with an unreadable ledger and render the next one."""
    damaged, healthy = accept().job.id, accept().job.id
    jobs.store.put_if_absent(f"jobs/{damaged}/log/00000001.json", b"{}")
    jobs.store.put_if_absent("open/DS_Store", b"")
    dispatcher.sweep()
    dispatcher.tick()
    assert ask(dispatcher).job.id == healthy
    assert Dispatcher(jobs, SETTINGS).live(healthy)
    page, _, _ = read_page(jobs, owner="local", limit=9, order="desc", status=None)
    assert [record.job.id for record in page] == [healthy]


def test_a_death_after_a_deletion_is_harmless(dispatcher: Dispatcher, accept: Accept, jobs: Jobs) -> None:
    """The video was cancelled and deleted without a nudge; the worker that had it dies, time passes."""
    job, _ = accept()
    dispatcher.nudge(job.id)
    ask(dispatcher)
    jobs.wish(job.id, "cancel", owner="local")
    jobs.delete(job.id, owner="local")
    dispatcher.worker_died("w0")
    dispatcher.tick()
    assert dispatcher.live(job.id) is None


def test_the_time_left_falls_while_a_decode_says_nothing(
    dispatcher: Dispatcher, jobs: Jobs, accept: Accept, clock: Clock
) -> None:
    """At first as the clock does, and never below nothing; a section's steps are counted as they come."""
    job = accept().job.id
    dispatcher.nudge(job)

    def left() -> float:
        live = dispatcher.live(job)
        assert live
        assert live.eta_s is not None
        return live.eta_s

    while (order := ask(dispatcher)).key.stage != "decode":
        if order.key.stage == "section" and order.key.section:
            dispatcher.beat(card(), progress(order, step=5))
            early = left()
            clock.now += 1
            dispatcher.beat(card(), progress(order, step=20))
            assert left() < early
        commit(jobs, order)
        dispatcher.nudge(job)
    told = []
    for _ in range(6):
        told.append(left())
        clock.now += 0.1
    assert told == sorted(told, reverse=True)
    assert told[-1] < told[0]
    clock.now += 5  # beyond what was expected of it
    assert 0 <= left() <= told[-1]
