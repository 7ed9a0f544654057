"""Operators let workers rest, work again and end: what these hear, what is shown, what a restart remembers."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from fastapi.testclient import TestClient

from farm.contract import Order, Progress, WorkerCard
from farm.dispatch.dispatcher import Dispatcher
from farm.errors import Conflict, NotFound
from farm.jobs import Jobs, Record
from farm.settings import FarmSettings
from tests import hands
from tests.unit.conftest import DispatcherHere

Accept = Callable[..., Record]


def card(worker: str = "worker-0.a", **facts: object) -> WorkerCard:
    """A worker that can do everything."""
    return hands.card(worker, **{"ray_node": "ray-1"} | facts)


def report(order: Order, worker: str = "worker-0.a") -> Progress:
    """Return a worker's report at a step."""
    return Progress(job=order.job.id, key=order.key, attempt=order.attempt, worker=worker, step=1, steps=25)


@pytest.fixture
def dispatcher(jobs: Jobs) -> Dispatcher:
    """In charge of an empty store."""
    return Dispatcher(jobs, FarmSettings())


def test_a_paused_worker_hears_it_at_its_next_report_and_gets_nothing(dispatcher: Dispatcher, accept: Accept) -> None:
    """It drops its order, is shown as paused once it has, and another gets the work; a resume brings it back."""
    dispatcher.nudge(accept().job.id)
    order = dispatcher.ask(card())
    assert isinstance(order, Order)
    assert dispatcher.worker_wish("worker-0.a", "pause").state == "busy"
    assert dispatcher.beat(card(), report(order)) == "pause"
    assert dispatcher.ask(card()) == "pause"
    (shown,) = dispatcher.workers()
    assert (shown.state, shown.paused, shown.job) == ("paused", "operator", None)
    assert dispatcher.worker_wish("worker-0", "resume").state == "idle"
    assert isinstance(dispatcher.ask(card()), Order)


def test_a_pause_outlives_the_dispatcher_and_the_workers_process(jobs: Jobs, accept: Accept) -> None:
    """A new dispatcher on the same store, and a new process in the same slot, still hear pause, up to a resume."""
    first = Dispatcher(jobs, FarmSettings())
    first.ask(card())
    first.worker_wish("worker-0", "pause")
    heir = Dispatcher(jobs, FarmSettings())
    assert [state.state for state in heir.workers()] == ["paused"]
    accept()
    assert heir.ask(card("worker-0.b")) == "pause"
    assert heir.may_fill("worker-0")
    heir.worker_wish("worker-0.b", "resume")
    assert Dispatcher(jobs, FarmSettings()).ask(card("worker-0.c")) != "pause"


def test_a_drained_worker_ends_and_nothing_takes_its_place(dispatcher: Dispatcher, jobs: Jobs, accept: Accept) -> None:
    """It hears exit; its end is no video's fault; the slot stays empty until a resume, also for a new dispatcher."""
    record = accept()
    dispatcher.nudge(record.job.id)
    order = dispatcher.ask(card())
    assert isinstance(order, Order)
    assert dispatcher.worker_wish("worker-0", "drain").state == "draining"
    assert dispatcher.beat(card(), report(order)) == "exit"
    dispatcher.worker_died("worker-0.a")
    assert jobs.get(record.job.id, owner=None).head.state.failures == ()
    for mind in (dispatcher, Dispatcher(jobs, FarmSettings())):
        assert [state.state for state in mind.workers()] == ["drained"]
        assert not mind.may_fill("worker-0")
    mind.worker_wish("worker-0", "resume")
    assert mind.may_fill("worker-0")
    assert mind.workers() == []


def test_a_drain_holds_as_long_as_its_nodes_ray(dispatcher: Dispatcher) -> None:
    """Once the node's Ray has restarted, the slot is filled again."""
    dispatcher.ask(card())
    dispatcher.worker_wish("worker-0", "drain")
    dispatcher.nodes({"ray-1"}, set(), set())
    assert not dispatcher.may_fill("worker-0")
    dispatcher.nodes({"ray-2"}, set(), set())
    assert dispatcher.may_fill("worker-0")


def test_workers_of_a_node_that_goes_hear_exit(dispatcher: Dispatcher, jobs: Jobs, accept: Accept) -> None:
    """Those of other nodes go on; the death that follows counts against no video."""
    record = accept()
    dispatcher.nudge(record.job.id)
    order = dispatcher.ask(card())
    assert isinstance(order, Order)
    dispatcher.nodes({"ray-1", "ray-2"}, {"worker-0"}, set())
    assert dispatcher.beat(card(), report(order)) == "exit"
    dispatcher.worker_died("worker-0.a", alone=True)
    assert jobs.get(record.job.id, owner=None).head.state.failures == ()
    assert isinstance(dispatcher.ask(card("other-0.a", ray_node="ray-2")), Order)


def test_workers_of_a_node_that_may_go_finish_what_they_do(dispatcher: Dispatcher, jobs: Jobs, accept: Accept) -> None:
    """They begin nothing then. A death in between counts as ever; when the node stays after all, they go on."""
    record = accept()
    dispatcher.nudge(record.job.id)
    order = dispatcher.ask(card())
    assert isinstance(order, Order)
    dispatcher.nodes({"ray-1", "ray-2"}, set(), {"worker-0"})
    assert dispatcher.beat(card(), report(order)) == "go"
    assert [state.state for state in dispatcher.workers()] == ["draining"]
    assert dispatcher.ask(card()) == "exit"
    dispatcher.worker_died("worker-0.a", alone=True)
    assert len(jobs.get(record.job.id, owner=None).head.state.failures) == 1
    assert isinstance(dispatcher.ask(card("other-0.a", ray_node="ray-2")), Order)
    dispatcher.nodes({"ray-1", "ray-2"}, set(), set())
    assert dispatcher.ask(card("worker-0.b")) == "go"


def test_a_node_that_dies_takes_no_video_with_it(dispatcher: Dispatcher, jobs: Jobs, accept: Accept) -> None:
    """A worker that died with its node costs no failure and loses its lease at once; one that died alone costs one."""
    record = accept()
    dispatcher.nudge(record.job.id)
    for worker, alone, failures in (("worker-0.a", False, 0), ("worker-0.b", True, 1)):
        assert isinstance(dispatcher.ask(card(worker)), Order)
        dispatcher.worker_died(worker, alone=alone)
        state = jobs.get(record.job.id, owner=None).head.state
        assert (state.leases, len(state.failures)) == ({}, failures)


def test_outside_of_its_hours_a_worker_rests(dispatcher: Dispatcher, accept: Accept) -> None:
    """It says so itself; there is nothing that an operator could resume, and the video says whom it waits for."""
    record = accept()
    dispatcher.nudge(record.job.id)
    assert dispatcher.ask(card(asleep=True, hours="22:00-07:00")) == "pause"
    (shown,) = dispatcher.workers()
    assert (shown.state, shown.paused) == ("paused", "hours")
    with pytest.raises(Conflict, match="22:00-07:00"):
        dispatcher.worker_wish("worker-0", "resume")
    live = dispatcher.live(record.job.id)
    assert live
    assert "worker-0" in str(live.waiting_for)
    assert isinstance(dispatcher.ask(card()), Order)


def test_wishes_that_cannot_be(dispatcher: Dispatcher) -> None:
    """No such worker; not paused; paused already; drained already."""
    with pytest.raises(NotFound, match="worker-7"):
        dispatcher.worker_wish("worker-7", "pause")
    dispatcher.ask(card())
    for done, refused in (("", "resume"), ("pause", "pause"), ("drain", "pause"), ("", "drain")):
        if done:
            dispatcher.worker_wish("worker-0", done)  # type: ignore[arg-type]
        with pytest.raises(Conflict):
            dispatcher.worker_wish("worker-0", refused)  # type: ignore[arg-type]


def test_over_http(http: TestClient, door: DispatcherHere) -> None:
    """POST /v1/workers/{id}/pause|resume|drain answers with the worker; an unknown one is 404, a wrong state 409."""
    door.dispatcher.ask(card())
    paused = http.post("/v1/workers/worker-0/pause")
    assert (paused.status_code, paused.json()["state"], paused.json()["paused"]) == (200, "paused", "operator")
    assert http.post("/v1/workers/worker-0/pause").status_code == 409
    assert http.post("/v1/workers/worker-0.a/resume").json()["state"] == "idle"
    assert http.post("/v1/workers/worker-0/drain").json()["state"] == "draining"
    assert http.post("/v1/workers/nobody/drain").status_code == 404
    assert http.get("/v1/workers").json()["data"][0]["vram_class"] is None
