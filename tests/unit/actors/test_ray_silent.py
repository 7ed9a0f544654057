"""If Ray's head does not answer, callers of the farm hear so in a moment."""

from __future__ import annotations

import threading

import pytest
import ray

from actors import door, meter
from farm.contract import JobId
from farm.errors import Unavailable
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
