"""Rule 8 of the ledger: a worker that hears nothing of the dispatcher stops by itself. Economy: the fence is rule 2."""

from __future__ import annotations

import contextlib
import sys
import threading
from collections.abc import Callable
from typing import Any

import pytest
from fastapi.testclient import TestClient
from ray.exceptions import ActorUnavailableError
from typing_extensions import override

from actors.worker.link import DispatcherLink
from actors.worker.order_loop import OrderLoop
from actors.worker.orders import OrderRunner
from actors.worker.vitals import Movement
from farm.contract import JobId, Order, WorkerCard
from farm.dispatch.dispatcher import Dispatcher
from farm.ledger import Entry
from farm.metrics import Unmetered
from farm.settings import FarmSettings
from framepack_engine import Models, Renderer
from tests.engine_worker import submit
from tests.ray_handle import RayHandle
from tests.unit.conftest import Hand

pytestmark = pytest.mark.usefixtures("one_thread")

LEASE_S = 2.0
_LONG_S = 60.0  #: nothing here takes so long unless it is broken


class Line(RayHandle):
    """Ray between a worker and the dispatcher. Once it is cut, a step takes as long as a worker's pause."""

    def __init__(self, dispatcher: Dispatcher) -> None:
        """Let calls pass at first."""
        super().__init__(dispatcher)
        self.now, self.cut_at = 1000.0, 0.0
        self.heard = threading.Event()  # a report was acknowledged
        self.step = threading.Barrier(2)

    def cut(self) -> None:
        """Let every call fail."""
        assert self.heard.wait(_LONG_S)
        self.step = threading.Barrier(2)
        self.cut_at = self.now

    def mend(self) -> None:
        """The dispatcher is back."""
        self.cut_at = 0.0
        self.step.abort()

    def sleep(self, seconds: float) -> None:
        """A pause of the worker's, before it calls again."""
        self.now += seconds
        with contextlib.suppress(threading.BrokenBarrierError):
            self.step.wait(_LONG_S)

    @override
    def answer(self, method: str, *args: object) -> Any:
        if self.cut_at:
            raise ActorUnavailableError("cut off", None)
        answer = super().answer(method, *args)
        if method == "beat":
            self.heard.set()
        return answer


class CutOff(OrderRunner):
    """The line is cut in the middle of a section, for so long, or until the section stops."""

    line: Line
    silent_s, stopped_after_s = 0.0, 0.0
    steps: list[int]

    @override
    def run(self, order: Order, on_step: Callable[[int], None]) -> Entry:
        def stepped(step: int) -> None:
            if step == 1:
                self.line.cut()
            if self.line.cut_at:
                self.line.step.wait(_LONG_S)
                if self.line.now - self.line.cut_at > self.silent_s:
                    self.line.mend()
            self.steps.append(step)
            on_step(step)

        self.line.heard.clear()
        try:
            return super().run(order, stepped)
        finally:
            self.stopped_after_s = self.line.now - self.line.cut_at
            self.line.mend()


@pytest.fixture
def card(hand: Hand, tiny_models: Models) -> WorkerCard:
    """Return the worker's report about itself."""
    return hand.card.model_copy(update={"numeric_class": Renderer(tiny_models).numeric_class})


@pytest.fixture
def runner(hand: Hand, card: WorkerCard, tiny_models: Models) -> CutOff:
    """Renders with `tiny`."""
    renderer = Renderer(tiny_models)
    runner = CutOff(hand.jobs, card, load=lambda *_: renderer)
    runner.line, runner.steps = Line(hand.dispatcher), []
    return runner


@pytest.fixture
def loop(card: WorkerCard, runner: CutOff) -> OrderLoop:
    """A worker without Ray and without the thread that asks; it ends where its process would."""
    line = runner.line
    settings = FarmSettings(lease_s=LEASE_S, heartbeat_s=0.01, orphan_s=100.0)
    link = DispatcherLink(
        card.id,
        lease_s=LEASE_S,
        orphan_s=settings.orphan_s,
        find=lambda: line,
        clock=lambda: line.now,
        sleep=line.sleep,
        leave=sys.exit,
    )
    return OrderLoop(card, settings, runner=runner, link=link, movement=Movement(), meter=Unmetered())


def events(hand: Hand, video: str) -> list[str]:
    """Return the section's entries in the ledger."""
    entries = list(hand.jobs.ledger.following(JobId(video), -1))
    return [entry.event.name for entry in entries if entry.event.key == "section/0"]


def serve(loop: OrderLoop, *, orders: int) -> None:
    """So many orders."""
    for _ in range(orders):
        assert loop.serve_one()


def test_a_worker_that_nobody_hears_gives_its_section_back(
    http: TestClient, hand: Hand, runner: CutOff, loop: OrderLoop
) -> None:
    """After the lease's time without an answer it stops at its next step and saves it; the next worker goes on."""
    runner.silent_s = 50 * LEASE_S
    video = submit(http, seconds="0.1", num_inference_steps="25").rpartition("/")[2]
    serve(loop, orders=2)  # the encode, and the section
    assert LEASE_S < runner.stopped_after_s < LEASE_S + 1.0  # on the test's own clock
    assert events(hand, video) == ["leased", "released"]
    head = hand.jobs.get(video, owner="local").head
    assert (head.state.leases, head.state.failures) == ({}, ())
    assert head.state.step == head.seq
    serve(loop, orders=3)
    assert events(hand, video) == ["leased", "released", "leased", "committed"]
    assert hand.jobs.get(video, owner="local").head.state.status == "completed"
    assert runner.steps == list(range(1, 26))  # it went on behind the saved step


def test_a_shorter_silence_is_nothing(http: TestClient, hand: Hand, runner: CutOff, loop: OrderLoop) -> None:
    """The dispatcher restarts within the lease's time: the section goes on, and is committed once."""
    runner.silent_s = LEASE_S / 2
    video = submit(http, seconds="0.1", num_inference_steps="25").rpartition("/")[2]
    serve(loop, orders=4)
    assert events(hand, video) == ["leased", "committed"]
    assert hand.jobs.get(video, owner="local").head.state.status == "completed"
