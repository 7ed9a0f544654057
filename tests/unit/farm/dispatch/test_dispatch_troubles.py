"""Poison, a store that is away, and a frozen dispatcher: what counts against a video, and what does not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from farm.contract import JobId, Order
from farm.dispatch.dispatcher import Dispatcher
from farm.errors import StoreError
from farm.jobs import Jobs, Record
from farm.ledger.layout import OPEN_MARKERS, marker_key
from farm.ledger.states import JobState
from farm.request import VideoEdit
from farm.store import FolderStore
from tests import hands
from tests.clock import Clock
from tests.unit.farm.dispatch.test_dispatch import SETTINGS, ask, card, commit, failure, progress

Accept = Callable[..., Record]


@pytest.fixture
def dispatcher(jobs: Jobs, clock: Clock) -> Dispatcher:
    """In charge of an empty store."""
    return Dispatcher(jobs, SETTINGS, clock=clock)


def state_of(jobs: Jobs, order: Order) -> JobState:
    """The video's state."""
    return jobs.get(order.job.id, owner=None).head.state


def die_at(dispatcher: Dispatcher, slot: str, life: int) -> Order:
    """A worker of this slot takes an order and its process dies."""
    order = ask(dispatcher, f"{slot}.{life}")
    dispatcher.worker_died(f"{slot}.{life}")
    return order


def test_poison_ends_after_three_deaths(dispatcher: Dispatcher, accept: Accept, jobs: Jobs) -> None:
    """Each worker that takes its order dies: three deaths on two slots end it, and say at what."""
    dispatcher.nudge(accept().job.id)
    dispatcher.ask(card("b.0", stages=()))
    for life, slot in enumerate(("a", "b", "a")):
        assert dispatcher.workers()
        order = die_at(dispatcher, slot, life)
    state = state_of(jobs, order)
    assert (state.status, [each.code for each in state.failures]) == ("failed", ["worker_died"] * 3)
    assert state.error
    assert state.error.message == "worker a.2 died at encode"


def test_deaths_at_different_orders_are_bad_luck(dispatcher: Dispatcher, accept: Accept, jobs: Jobs) -> None:
    """A long video may lose many workers, as long as each order is made in the end."""
    dispatcher.nudge(accept().job.id)
    for life in range(5):  # encode, two sections, decode, finish
        for slot in "ab":
            die_at(dispatcher, slot, life)
        order = ask(dispatcher, f"a.{life + 1}")
        commit(jobs, order, f"a.{life + 1}")
        dispatcher.nudge(order.job.id)
    state = state_of(jobs, order)
    assert (state.status, len(state.failures)) == ("completed", 10)


def test_a_worker_that_could_not_do_it_is_not_waited_for(dispatcher: Dispatcher, accept: Accept, jobs: Jobs) -> None:
    """The other one has no such stage: one slot's three deaths are enough."""
    dispatcher.nudge(accept().job.id)
    dispatcher.ask(card("b.0", stages=("finish",)))
    for life in range(3):
        order = die_at(dispatcher, "a", life)
    assert state_of(jobs, order).status == "failed"


def test_a_death_that_the_store_cannot_take_is_told_later(
    dispatcher: Dispatcher, accept: Accept, jobs: Jobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing breaks: the lease ends at the first tick after the store is back, long before it would expire."""
    dispatcher.nudge(accept().job.id)
    order = ask(dispatcher)

    def away(key: str, data: bytes | Path) -> bool:
        raise StoreError("the store does not answer")

    with monkeypatch.context() as patch:
        patch.setattr(jobs.store, "put_if_absent", away)
        dispatcher.worker_died("w0")
        with pytest.raises(StoreError):
            dispatcher.tick()
    assert state_of(jobs, order).leases
    dispatcher.tick()
    assert [each.code for each in state_of(jobs, order).failures] == ["worker_died"]
    assert ask(dispatcher, "w1").key == order.key


def test_another_videos_marker_is_not_a_workers_trouble(
    dispatcher: Dispatcher, accept: Accept, jobs: Jobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The store refuses to remove the marker of a video that ended: a worker that asks gets its order all the same."""
    ended, waiting = accept().job.id, accept().job.id
    for job_id in (ended, waiting):
        dispatcher.nudge(job_id)
    jobs.wish(ended, "cancel", owner="local")

    def away(key: str) -> None:
        raise StoreError(f"the store does not answer for {key}")

    with monkeypatch.context() as patch:
        patch.setattr(jobs.store, "delete", away)
        dispatcher.nudge(ended)
        assert ask(dispatcher).job.id == waiting
    assert marker_key(ended) in jobs.store.list(OPEN_MARKERS)
    dispatcher.sweep()
    assert marker_key(ended) not in jobs.store.list(OPEN_MARKERS)


def test_a_dispatcher_that_was_frozen_blames_nobody(
    dispatcher: Dispatcher, accept: Accept, clock: Clock, jobs: Jobs
) -> None:
    """It did not listen for longer than a lease: the worker has its time again, and no more than a lease."""
    dispatcher.nudge(accept().job.id)
    order = ask(dispatcher)
    clock.now += 500
    dispatcher.overslept(498)
    dispatcher.tick()
    assert dispatcher.beat(card(), progress(order)) == "go"
    clock.now += 11
    dispatcher.tick()
    assert state_of(jobs, order).leases == {}


def test_a_store_that_is_slow_to_look_blames_nobody(
    dispatcher: Dispatcher, accept: Accept, clock: Clock, jobs: Jobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The look at the ledgers takes longer than a lease: what was not heard meanwhile is not counted."""
    dispatcher.nudge(accept().job.id)
    order = ask(dispatcher)
    look = jobs.ledger.head

    def slow(*args: object, **options: object) -> object:
        clock.now += 60
        return look(*args, **options)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(jobs.ledger, "head", slow)
        dispatcher.tick()
    assert state_of(jobs, order).leases


def test_a_damaged_ledger_entry_does_not_hold_a_worker(
    dispatcher: Dispatcher, accept: Accept, jobs: Jobs, store: FolderStore
) -> None:
    """The entry that names what an order starts from cannot be read: what it named is made again, under a new entry."""
    damaged, healthy = accept(priority=1).job.id, accept().job.id
    for job_id in (damaged, healthy):
        dispatcher.nudge(job_id)
    encode = ask(dispatcher)
    assert encode.job.id == damaged
    commit(jobs, encode)
    dispatcher.nudge(damaged)
    (store.root / f"jobs/{damaged}/log/00000002.json").write_bytes(b"{}")
    assert dispatcher.ask(card()) == "go"
    again = ask(dispatcher)
    assert (again.job.id, str(again.key)) == (damaged, "encode")
    entry = jobs.ledger.entry(damaged, again.attempt - 1)
    assert (entry.event.name, entry.event.lost) == ("lost", {"encode": 2})
    assert entry.event.error
    assert "00000002.json is damaged" in entry.event.error.message
    finish(dispatcher, jobs)
    assert {state_of_video(jobs, job_id).status for job_id in (damaged, healthy)} == {"completed"}


def state_of_video(jobs: Jobs, job_id: JobId) -> JobState:
    """The video's state."""
    return jobs.get(job_id, owner=None).head.state


def finish(dispatcher: Dispatcher, jobs: Jobs) -> list[str]:
    """One worker does every order that there is; it notices what is damaged. Return the orders that it did."""
    done = []
    while isinstance(order := dispatcher.ask(card()), Order):
        if damage := hands.damage_of(jobs, "w0", order):
            dispatcher.give_up(damage)
        else:
            commit(jobs, order)
            done.append(str(order.key))
        dispatcher.nudge(order.job.id)
    return done


def until(dispatcher: Dispatcher, jobs: Jobs, last: str) -> Order:
    """A worker does the orders of the only video up to this one, which it holds."""
    while str((order := ask(dispatcher)).key) != last:
        commit(jobs, order)
    return order


@pytest.mark.parametrize("gone", [True, False])
def test_what_the_store_lost_is_made_again(
    *, dispatcher: Dispatcher, accept: Accept, jobs: Jobs, store: FolderStore, gone: bool
) -> None:
    """A worker misses a section and the conditioning: both come again before its own order, and nothing counts."""
    job_id = accept().job.id
    dispatcher.nudge(job_id)
    order = until(dispatcher, jobs, "decode/1")
    for name in ("conditioning", "section/0"):
        path = store.root / order.needs[name].key
        path.unlink()
        if not gone:
            path.write_bytes(b"x")
    dispatcher.give_up(failure(order, code="damaged"))
    assert finish(dispatcher, jobs) == ["encode", "section/0", "decode/1", "finish"]
    state = state_of_video(jobs, job_id)
    assert (state.status, state.failures, state.lost) == ("completed", (), ())
    assert state.losses == {"encode": 1, "section/0": 1}


def test_a_worker_that_is_wrong_about_the_store_is_not_believed(
    dispatcher: Dispatcher, accept: Accept, jobs: Jobs
) -> None:
    """The dispatcher finds the objects whole: the failure counts as any other, and nothing is made again."""
    dispatcher.nudge(accept().job.id)
    order = until(dispatcher, jobs, "section/1")
    dispatcher.give_up(failure(order, code="damaged"))
    state = state_of(jobs, order)
    assert ([each.code for each in state.failures], state.losses) == (["damaged"], {})
    assert finish(dispatcher, jobs) == ["section/1", "decode/1", "finish"]


def test_a_store_that_keeps_losing_one_thing_is_named(
    dispatcher: Dispatcher, accept: Accept, jobs: Jobs, store: FolderStore
) -> None:
    """The clip is made again three times; then the video ends as damaged. After a retry it goes on."""
    job_id = accept().job.id
    dispatcher.nudge(job_id)
    for _ in range(4):
        order = until(dispatcher, jobs, "finish")
        (store.root / order.needs["clip/1"].key).unlink()
        dispatcher.give_up(failure(order, code="damaged"))
    state = state_of_video(jobs, job_id)
    assert (state.status, state.error and state.error.code) == ("failed", "damaged")
    assert state.error
    assert f"made again 3 times, and lost again each time. Check the store {SETTINGS.storage}" in state.error.message
    jobs.wish(job_id, "retry", owner="local")
    dispatcher.nudge(job_id)
    assert finish(dispatcher, jobs) == ["decode/1", "finish"]


def test_a_lost_input_ends_the_video_at_once(
    dispatcher: Dispatcher, accept: Accept, jobs: Jobs, store: FolderStore
) -> None:
    """Nobody but its owner has the image: the error names it, and says what is left."""
    record = accept()
    dispatcher.nudge(record.job.id)
    order = ask(dispatcher)
    (store.root / record.job.inputs["start"].key).unlink()
    dispatcher.give_up(failure(order, code="damaged"))
    error = state_of(jobs, order).error
    assert error
    assert (error.code, record.job.inputs["start"].key in error.message) == ("damaged", True)
    assert "nothing of it can be fetched" in error.message


def test_a_section_of_an_earlier_prompt_is_made_again_with_it(
    dispatcher: Dispatcher, accept: Accept, jobs: Jobs, store: FolderStore
) -> None:
    """Its order has the prompt of its time, and no conditioning: that one is of the new prompt."""
    job_id = accept().job.id
    dispatcher.nudge(job_id)
    dispatcher.give_up(failure(until(dispatcher, jobs, "section/1"), counts=False))
    jobs.wish(job_id, "pause", owner="local")
    jobs.edit(job_id, VideoEdit(prompt="a dog"), owner="local")
    jobs.wish(job_id, "resume", owner="local")
    dispatcher.nudge(job_id)
    order = until(dispatcher, jobs, "decode/1")
    assert order.job.request.prompt == "a dog"
    (store.root / order.needs["section/0"].key).unlink()
    dispatcher.give_up(failure(order, code="damaged"))
    again = ask(dispatcher)
    assert (str(again.key), again.job.request.prompt, again.needs) == ("section/0", "a cat", {})
    commit(jobs, again)
    assert finish(dispatcher, jobs) == ["decode/1", "finish"]


@pytest.mark.parametrize("leased", [True, False])
def test_damaged_news_do_not_hold_a_worker(
    *, dispatcher: Dispatcher, accept: Accept, jobs: Jobs, store: FolderStore, leased: bool
) -> None:
    """The newest entry cannot be read: its worker, or who would get the video, does another, until it is restored."""
    damaged, healthy = accept(priority=1).job.id, accept().job.id
    for job_id in (damaged, healthy):
        dispatcher.nudge(job_id)
    if leased:
        commit(jobs, ask(dispatcher))
    else:
        jobs.wish(damaged, "pause", owner="local")
        jobs.wish(damaged, "resume", owner="local")
    entry = max((store.root / f"jobs/{damaged}/log").iterdir())
    whole = entry.read_bytes()
    entry.write_bytes(b"{}")
    orders = [dispatcher.ask(card()) for _ in range(2)]  # at the second, at the latest
    assert [order.job.id for order in orders if isinstance(order, Order)][-1] == healthy
    dispatcher.tick()
    dispatcher.sweep()
    entry.write_bytes(whole)
    dispatcher.sweep()
    assert ask(dispatcher, "w1").job.id == damaged


def test_a_marker_that_cannot_be_read_stops_nothing(accept: Accept, jobs: Jobs, store: FolderStore) -> None:
    """It is of an accepting that died; a new dispatcher skips it, and renders the others."""
    (store.root / "open").mkdir(parents=True)
    (store.root / "open" / ("video_" + "0" * 32)).write_bytes(b"")
    healthy = accept().job.id
    heir = Dispatcher(jobs, SETTINGS)
    heir.sweep()
    assert ask(heir).job.id == healthy


def test_after_a_freeze_the_workers_are_still_known(dispatcher: Dispatcher, clock: Clock) -> None:
    """Workers that were there before the freeze still are; after 30 s of silence they are gone."""
    dispatcher.ask(card())
    clock.now += 500
    dispatcher.overslept(498)
    dispatcher.tick()
    assert [worker.card.id for worker in dispatcher.workers()] == ["w0"]
    clock.now += 31
    assert dispatcher.workers() == []
