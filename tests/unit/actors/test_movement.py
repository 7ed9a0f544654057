"""What is movement, and what is standing still."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import Any

import pytest

from actors.vitals import Movement, _io_bytes
from actors.worker import RenderWorker
from farm.errors import Stopped
from farm.jobs import Record
from farm.settings import FarmSettings
from tests.patience import patient
from tests.unit.conftest import DispatcherHere, Hand


class World:
    """A clock and a disk that the test moves."""

    now, bytes = 100.0, 0


def test_steps_are_movement_and_time_alone_is_not() -> None:
    """The time since the last one is told."""
    world = World()
    movement = Movement(clock=lambda: world.now, io_bytes=lambda: world.bytes)
    world.now += 50
    world.bytes += 1 << 30
    assert movement.still_s() == 50
    movement.moved()
    assert movement.still_s() == 0


def test_while_a_model_is_loaded_bytes_are_movement_too() -> None:
    """A download of hours goes on as long as bytes come; one that hangs, or a log line now and then, does not."""
    world = World()
    movement = Movement(clock=lambda: world.now, io_bytes=lambda: world.bytes)
    with movement.loading():
        for _ in range(100):
            world.now, world.bytes = world.now + 60, world.bytes + (2 << 20)
            assert movement.still_s() == 0
        world.now, world.bytes = world.now + 60, world.bytes + 100
        assert movement.still_s() == 60
    assert movement.still_s() == 0
    world.now, world.bytes = world.now + 60, world.bytes + (2 << 20)
    assert movement.still_s() == 60


def test_this_process_has_read_something() -> None:
    """The kernel's count never falls."""
    before = _io_bytes()
    assert _io_bytes() >= before >= 0


def test_an_order_that_does_not_move_ends_the_process(
    hand: Hand, door: DispatcherHere, accept: Callable[..., Record], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The engine hangs while the reports go on: the dispatcher is told `stuck`, it counts, and the process ends."""
    door.dispatcher.nudge(accept().job.id)
    order = hand.take()
    told: list[str] = []
    ended = threading.Event()

    class Hangs:
        """An engine that never comes back, until its process ends."""

        model = "tiny"

        @staticmethod
        def run(*_: object) -> None:
            """Stand still."""
            assert ended.wait(patient(60))
            raise Stopped("the process is gone")

    def call(method: str, *args: Any, **_: object) -> Any:
        told.append(method)
        return getattr(door.dispatcher, method)(*args)

    def leave(code: int) -> None:
        told.append(f"exit {code}")
        ended.set()

    worker = object.__new__(RenderWorker)  # without Ray and without the thread that asks
    parts = {
        "_settings": FarmSettings(stuck_s=0.3, heartbeat_s=0.02),
        "_id": hand.card.id,
        "_card": hand.card,
        "_runner": Hangs(),
        "_movement": Movement(),
        "_call": call,
        "_is_asleep": lambda: False,
    }
    for name, part in parts.items():
        monkeypatch.setattr(worker, name, part, raising=False)
    monkeypatch.setattr(os, "_exit", leave)
    worker._do(order)
    assert "beat" in told
    assert [each for each in told if each != "beat"][:2] == ["give_up", "exit 1"]
    (failed,) = hand.jobs.get(order.job.id, owner=None).head.state.failures
    assert (failed.key, failed.code, failed.worker) == ("encode", "stuck", hand.card.id)
