"""Rule 8 of the ledger: a worker that hears nothing of the dispatcher stops by itself. Economy: the fence is rule 2."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from concurrent.futures import Future
from types import SimpleNamespace
from typing import Any

import pytest
from fastapi.testclient import TestClient
from ray.exceptions import ActorUnavailableError
from typing_extensions import override

import actors.worker
from actors.orders import OrderRunner
from actors.vitals import Movement, Pace
from actors.worker import RenderWorker
from farm.contract import Order
from farm.dispatch.dispatcher import Dispatcher
from farm.ledger import Entry
from farm.metrics import Unmetered
from farm.settings import FarmSettings
from framepack_engine import Models, Renderer
from tests.engine_worker import submit
from tests.unit.conftest import Hand

pytestmark = pytest.mark.usefixtures("one_thread")

LEASE_S = 2.0
_LONG_S = 60.0  #: nothing here takes so long unless it is broken


class Line:
    """Ray between a worker and the dispatcher. Once it is cut, a step takes as long as a worker's pause."""

    def __init__(self, dispatcher: Dispatcher) -> None:
        """It is whole."""
        self.dispatcher, self.now, self.cut_at = dispatcher, 1000.0, 0.0
        self.heard = threading.Event()  # a report was acknowledged
        self.step = threading.Barrier(2)

    def cut(self) -> None:
        """Nobody answers any more."""
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

    def __getattr__(self, method: str) -> SimpleNamespace:
        """A method of the dispatcher, as Ray gives it."""

        def remote(*args: object) -> SimpleNamespace:
            answer: Future[Any] = Future()
            if self.cut_at:
                answer.set_exception(ActorUnavailableError("cut off", None))
            else:
                answer.set_result(getattr(self.dispatcher, method)(*args))
                if method == "beat":
                    self.heard.set()
            return SimpleNamespace(future=lambda: answer)

        return SimpleNamespace(remote=remote)


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
def worker(hand: Hand, tiny_models: Models, monkeypatch: pytest.MonkeyPatch) -> RenderWorker:
    """A real one, with `tiny`, but without Ray and without the thread that asks; it ends where its process would."""
    renderer, line = Renderer(tiny_models), Line(hand.dispatcher)
    card = hand.card.model_copy(update={"numeric_class": renderer.numeric_class})
    runner = CutOff(hand.jobs, card, load=lambda *_: renderer)
    runner.line, runner.steps = line, []

    def leave(code: int) -> None:
        raise SystemExit(code)

    monkeypatch.setattr("ray.get_actor", lambda *_, **__: line)
    monkeypatch.setattr(actors.worker, "time", SimpleNamespace(monotonic=lambda: line.now, sleep=line.sleep))
    monkeypatch.setattr(actors.worker, "os", SimpleNamespace(_exit=leave))
    worker = object.__new__(RenderWorker)
    parts = {
        "_settings": FarmSettings(lease_s=LEASE_S, heartbeat_s=0.01, orphan_s=100.0),
        "_id": card.id,
        "_card": card,
        "_runner": runner,
        "_pace": Pace(),
        "_meter": Unmetered(),
        "_movement": Movement(),
        "_progress": None,
        "_stop": "go",
    }
    for name, part in parts.items():
        monkeypatch.setattr(worker, name, part, raising=False)
    return worker


def events(hand: Hand, video: str) -> list[str]:
    """What the ledger says of the section."""
    entries = hand.jobs.entries(video, after_seq=-1, owner="local")
    return [entry.event.name for entry in entries if entry.event.key == "section/0"]


def serve(worker: RenderWorker, *, orders: int) -> None:
    """So many orders."""
    for _ in range(orders):
        assert worker._serve_one()


def test_a_worker_that_nobody_hears_gives_its_section_back(http: TestClient, hand: Hand, worker: RenderWorker) -> None:
    """After the lease's time without an answer it stops at its next step and saves it; later somebody goes on there."""
    runner: Any = worker._runner
    runner.silent_s = 50 * LEASE_S
    video = submit(http, seconds="0.1", num_inference_steps="25").rpartition("/")[2]
    serve(worker, orders=2)  # the encode, and the section
    assert LEASE_S < runner.stopped_after_s < LEASE_S + 1.0  # on the test's own clock
    assert events(hand, video) == ["leased", "released"]
    head = hand.jobs.get(video, owner="local").head
    assert (head.state.leases, head.state.failures) == ({}, ())
    assert head.state.step == head.seq
    serve(worker, orders=3)
    assert events(hand, video) == ["leased", "released", "leased", "committed"]
    assert hand.jobs.get(video, owner="local").head.state.status == "completed"
    assert runner.steps == list(range(1, 26))  # it went on behind the saved step


def test_a_shorter_silence_is_nothing(http: TestClient, hand: Hand, worker: RenderWorker) -> None:
    """The dispatcher restarts within the lease's time: the section goes on, and is committed once."""
    runner: Any = worker._runner
    runner.silent_s = LEASE_S / 2
    video = submit(http, seconds="0.1", num_inference_steps="25").rpartition("/")[2]
    serve(worker, orders=4)
    assert events(hand, video) == ["leased", "committed"]
    assert hand.jobs.get(video, owner="local").head.state.status == "completed"
