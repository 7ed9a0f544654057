"""Nodes that come and go: how many workers the dispatcher wants, and which of them may go."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from farm.contract import Order
from farm.dispatch.dispatcher import Dispatcher
from farm.errors import ConfigError
from farm.jobs import Jobs, Record
from farm.settings import FarmSettings
from tests.clock import Clock
from tests.unit.farm.dispatch.test_dispatch import ask, card, commit

Accept = Callable[..., Record]
IDLE_S = 60.0


@pytest.fixture
def dispatcher(jobs: Jobs, clock: Clock) -> Dispatcher:
    """In charge of an empty store, in a cluster of up to three workers."""
    settings = FarmSettings(ray="127.0.0.1:1", autoscale=3, idle_s=IDLE_S)
    return Dispatcher(jobs, settings, clock=clock, wall=clock)


def test_each_video_that_can_go_on_wants_a_worker(dispatcher: Dispatcher, jobs: Jobs, accept: Accept) -> None:
    """Waiting or in progress, up to the limit; neither a paused one nor one that has ended."""
    ids = []
    for wanted in (1, 2, 3, 3):
        ids.append(accept().job.id)
        dispatcher.nudge(ids[-1])
        assert dispatcher.wanted_workers() == wanted
    assert ask(dispatcher).job.id == ids[0]
    assert dispatcher.wanted_workers() == 3
    for number, wish in enumerate(("pause", "cancel", "cancel"), start=1):
        jobs.wish(ids[number], wish, owner="local")  # type: ignore[arg-type]
        dispatcher.nudge(ids[number])
    assert dispatcher.wanted_workers() == 1


def test_a_worker_too_many_ends_after_a_while(dispatcher: Dispatcher, jobs: Jobs, accept: Accept, clock: Clock) -> None:
    """Those who had nothing to do for FARM_IDLE_S go, one by one, as long as there are more than are wanted."""
    dispatcher.nudge(accept().job.id)
    order = ask(dispatcher, "w0")
    for worker in ("w1", "w2"):
        assert dispatcher.ask(card(worker)) == "go"
    clock.now += IDLE_S
    assert dispatcher.ask(card("w1")) == "go"
    clock.now += 1
    assert dispatcher.ask(card("w1")) == "exit"
    assert dispatcher.ask(card("w2")) == "exit"
    commit(jobs, order, "w0")
    assert isinstance(dispatcher.ask(card("w0")), Order)


def test_the_last_one_stays_while_it_is_wanted(
    dispatcher: Dispatcher, jobs: Jobs, accept: Accept, clock: Clock
) -> None:
    """A video that it cannot do does not send it away; when nothing is wanted, it goes too."""
    assert dispatcher.ask(card("w0", stages=("finish",))) == "go"
    job = accept().job
    dispatcher.nudge(job.id)
    clock.now += 2 * IDLE_S
    assert dispatcher.ask(card("w0", stages=("finish",))) == "go"
    jobs.wish(job.id, "cancel", owner="local")
    dispatcher.nudge(job.id)
    assert dispatcher.ask(card("w0", stages=("finish",))) == "exit"


def test_without_it_everybody_stays(jobs: Jobs, clock: Clock) -> None:
    """With the setting off, no idle worker is told to go."""
    dispatcher = Dispatcher(jobs, FarmSettings(), clock=clock, wall=clock)
    assert dispatcher.wanted_workers() is None
    assert dispatcher.ask(card()) == "go"
    clock.now += 100 * IDLE_S
    assert dispatcher.ask(card()) == "go"


def test_it_needs_a_cluster_that_can_grow() -> None:
    """A farm's own Ray has no autoscaler."""
    with pytest.raises(ConfigError, match="FARM_RAY"):
        FarmSettings(autoscale=1)
