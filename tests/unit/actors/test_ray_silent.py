"""If Ray's head does not answer, callers of the farm hear so in a moment."""

from __future__ import annotations

import logging
import threading

import pytest
import ray

from actors import dispatcher, door, meter
from farm.contract import JobId
from farm.dispatch.dispatcher import Dispatcher
from farm.errors import Unavailable
from farm.jobs import Jobs
from farm.settings import FarmSettings
from tests.hands import card
from tests.patience import patient, wait_for


@pytest.fixture
def silence(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """Ray answers nothing until this is set."""
    over = threading.Event()

    def hang(*_: object, **__: object) -> list[object]:
        assert over.wait(patient(60))
        return []

    for name in ("get_actor", "nodes"):
        monkeypatch.setattr(ray, name, hang)
    for module in (door, meter):
        monkeypatch.setattr(module, "_ANSWER_S", 0.1)
    return over


async def test_the_dispatcher_that_cannot_be_looked_up_is_away(silence: threading.Event) -> None:
    """The look-up counts into the time that a call may take."""
    with pytest.raises(Unavailable, match="ask again in a moment"):
        await door.RayDoor().nudge(JobId("video_" + "0" * 32))
    silence.set()


async def test_the_page_of_numbers_says_that_ray_is_away(silence: threading.Event) -> None:
    """A scrape does not hang, either."""
    with pytest.raises(Unavailable, match="ask again in a moment"):
        await meter.RayMetrics().page()
    silence.set()


async def test_a_worker_gets_its_answer(
    jobs: Jobs, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The note for its machine's `join` fails, which is logged; it is written at the worker's next question."""
    notes = list[str]()

    def tell_node(node_id: str, word: str) -> None:
        notes.append(f"{word} {node_id}")
        if len(notes) == 1:
            raise ray.exceptions.RpcError("the tables do not answer")

    monkeypatch.setattr(dispatcher, "tell_node", tell_node)
    monkeypatch.setattr(dispatcher, "_ASK_S", 0.0)
    actor = object.__new__(dispatcher.DispatcherActor)  # without the keeper of the workers, which needs Ray
    actor._loop, actor._orders, actor._heard = None, dispatcher.Bell(), set()
    actor._dispatcher = Dispatcher(jobs, FarmSettings())
    asking = card("den-0").model_copy(update={"ray_node": "0a"})
    with caplog.at_level(logging.WARNING, logger="actors.dispatcher"):
        assert await actor.ask(asking) == "go"
        wait_for(lambda: None if actor._heard else True, seconds=5, what="that the note failed")
    assert "tell_node_failed: the tables do not answer" in caplog.text
    for _ in range(2):
        assert await actor.ask(asking) == "go"
    wait_for(lambda: True if len(notes) == 2 else None, seconds=5, what="the note")
    assert (notes, actor._heard) == (["heard 0a"] * 2, {"0a"})
