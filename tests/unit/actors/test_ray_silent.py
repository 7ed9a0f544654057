"""If Ray's head does not answer, callers of the farm hear so in a moment."""

from __future__ import annotations

import threading

import pytest
import ray

from actors import dispatcher, door, meter
from actors.cluster import FarmNode
from actors.reach import Ports
from farm.bells import Bells
from farm.contract import JobId
from farm.dispatch.dispatcher import Dispatcher
from farm.errors import Unavailable
from farm.jobs import Jobs
from farm.settings import FarmSettings
from tests.hands import card
from tests.patience import patient


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


@pytest.fixture
def notes(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The farm's words to machines that join; Ray's tables do not answer at the first try."""
    tried = list[str]()

    def tell_node(node_id: str, word: str) -> None:
        tried.append(f"{word} {node_id}")
        if len(tried) == 1:
            raise ray.exceptions.RpcError("the tables do not answer")

    monkeypatch.setattr(dispatcher, "tell_node", tell_node)
    for pause in ("_AGAIN_S", "_ASK_S"):
        monkeypatch.setattr(dispatcher, pause, 0.0)
    return tried


def told(thread: str, notes: list[str]) -> None:
    """The note was tried twice, and the thread that told it has ended: there is no third."""
    for each in threading.enumerate():
        if each.name == thread:
            each.join(patient(5))
    assert notes == ["heard 0a"] * 2


def actor_on(jobs: Jobs, settings: FarmSettings) -> dispatcher.DispatcherActor:
    """The dispatcher's actor without the keeper of the workers, which needs Ray."""
    actor = object.__new__(dispatcher.DispatcherActor)
    actor._settings, actor._dispatcher = settings, Dispatcher(jobs, settings)
    actor._loop, actor._bells, actor._heard = None, Bells(), set()
    return actor


async def test_a_worker_gets_its_answer(jobs: Jobs, notes: list[str], caplog: pytest.LogCaptureFixture) -> None:
    """The note for its machine's `join` fails, which is logged, and is tried again."""
    actor = actor_on(jobs, FarmSettings())
    asking = card("den-0").model_copy(update={"ray_node": "0a"})
    for _ in range(3):
        assert await actor.ask(asking) == "go"
    told("heard", notes)
    assert "tell_node_failed: the tables do not answer" in caplog.text


def test_a_new_machine_is_told_although_the_tables_were_away(jobs: Jobs, notes: list[str]) -> None:
    """A farm that resizes its cluster tells it as soon as it is reached, without a worker."""
    node = FarmNode("0a", "den", 1, 0, draining=False, ports=Ports("127.0.0.1", ()))
    actor_on(jobs, FarmSettings(autoscale=1, ray="127.0.0.1:1"))._greet(node)
    told("reach", notes)
