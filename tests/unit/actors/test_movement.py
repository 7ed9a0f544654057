"""A worker tells movement from standing still."""

from __future__ import annotations

import threading
from collections.abc import Callable

from typing_extensions import override

from actors.worker.link import DispatcherLink
from actors.worker.order_loop import OrderLoop
from actors.worker.orders import OnStep, OrderRunner
from actors.worker.vitals import Movement, _io_bytes
from farm.contract import Order
from farm.errors import Stopped
from farm.jobs import Record
from farm.ledger import Entry
from farm.metrics import Unmetered
from farm.settings import FarmSettings
from framepack_engine import Renderer
from tests.patience import patient
from tests.ray_handle import RayHandle
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
    hand: Hand, door: DispatcherHere, accept: Callable[..., Record]
) -> None:
    """The engine hangs while the reports go on: the dispatcher is told `stuck`, it counts, and the process ends."""
    job_id = accept().job.id
    door.dispatcher.nudge(job_id)
    handle, ended = RayHandle(door.dispatcher), threading.Event()

    class Hangs(OrderRunner):
        """An engine that never comes back, until its process ends."""

        @override
        def run(self, order: Order, on_step: OnStep) -> Entry:
            assert ended.wait(patient(60))
            raise Stopped("the process is gone")

    def load(*_: object) -> Renderer:
        raise AssertionError("it renders nothing")

    def leave(code: int) -> None:
        handle.called.append(f"exit {code}")
        ended.set()

    loop = OrderLoop(
        hand.card,
        FarmSettings(stuck_s=0.3, heartbeat_s=0.02),
        runner=Hangs(hand.jobs, hand.card, load=load),
        link=DispatcherLink(hand.card.id, lease_s=10.0, orphan_s=60.0, find=lambda: handle),
        movement=Movement(),
        meter=Unmetered(),
        leave=leave,
    )
    loop.serve_one()
    assert "beat" in handle.called
    assert [each for each in handle.called if each != "beat"][:3] == ["ask", "give_up", "exit 1"]
    (failed,) = hand.jobs.get(job_id, owner=None).head.state.failures
    assert (failed.key, failed.code, failed.worker) == ("encode", "stuck", hand.card.id)
