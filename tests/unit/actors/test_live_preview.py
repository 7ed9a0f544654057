"""A live look into a section: what it shows, that it changes no bit of the video, and what it costs."""

from __future__ import annotations

import io
import threading
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import pytest
import torch
from fastapi.testclient import TestClient
from PIL import Image
from torch.utils.flop_counter import FlopCounterMode
from typing_extensions import override

from actors.worker.link import DispatcherLink
from actors.worker.order_loop import OrderLoop
from actors.worker.orders import OnStep, OrderRunner
from actors.worker.vitals import Movement
from farm.contract import JobId, Order, Preview, Progress
from farm.errors import Stopped
from farm.jobs import Record
from farm.ledger import Entry
from farm.metrics import Unmetered
from farm.settings import FarmSettings
from framepack_engine import Models, Renderer
from framepack_engine.frames.preview import latent_preview
from framepack_engine.sampling.artifacts import StepState
from lab.bench.engine import small_spec
from tests.engine_worker import submit
from tests.patience import patient
from tests.ray_handle import RayHandle
from tests.unit.conftest import DispatcherHere, Hand

pytestmark = pytest.mark.usefixtures("one_thread")
STEPS = 4


class Spy(RayHandle):
    """A dispatcher that keeps the previews that it was sent."""

    def __init__(self, door: DispatcherHere) -> None:
        """Nothing was sent yet."""
        super().__init__(door.dispatcher)
        self.shown: dict[str, list[Preview]] = defaultdict(list)
        self.came = threading.Condition()

    @override
    def answer(self, method: str, *args: Any) -> Any:
        answer = super().answer(method, *args)
        if method == "beat" and isinstance(progress := args[1], Progress) and progress.preview:
            with self.came:
                self.shown[progress.job].append(progress.preview)
                self.came.notify_all()
        return answer


class Slow(OrderRunner):
    """An engine whose steps take so long that each one is reported, in a watched video."""

    spy: Spy
    watched: JobId

    @override
    def run(self, order: Order, on_step: OnStep) -> Entry:
        def stepped(step: int) -> None:
            on_step(step)
            if order.job.id == self.watched and order.key.stage == "section":
                self.spy.dispatcher.watch(frozenset({order.job.id}))
                seen = self.spy.shown[order.job.id]
                with self.spy.came:
                    assert self.spy.came.wait_for(lambda: bool(seen) and seen[-1].step == step, patient(30))

        return super().run(order, stepped)


def test_a_watched_video_has_the_bits_of_an_unwatched_one(
    http: TestClient, hand: Hand, door: DispatcherHere, tiny_models: Models
) -> None:
    """Each step of the watched one is shown as w frames side by side; sections and clip are equal bit for bit."""
    renderer = Renderer(tiny_models)
    spy, card = Spy(door), hand.card.model_copy(update={"numeric_class": renderer.numeric_class})
    runner = Slow(hand.jobs, card, load=lambda *_: renderer)
    ids = [submit(http, num_inference_steps=str(STEPS)).rpartition("/")[2] for _ in range(2)]
    runner.spy, runner.watched = spy, JobId(ids[1])
    loop = OrderLoop(
        card,
        FarmSettings(heartbeat_s=0.01),
        runner=runner,
        link=DispatcherLink(card.id, lease_s=10.0, orphan_s=60.0, find=lambda: spy),
        movement=Movement(),
        meter=Unmetered(),
    )
    while door.dispatcher.load("local").open:
        assert loop.serve_one()
        for each in ids:
            door.dispatcher.nudge(JobId(each))
    alone, watched = (hand.jobs.get(each, owner=None) for each in ids)
    assert {job_id for job_id, shown in spy.shown.items() if shown} == {watched.job.id}
    shown, plan = spy.shown[watched.job.id], watched.job.plan
    assert {each.step for each in shown} == set(range(1, STEPS + 1))
    pictures = {each.webp for each in shown}
    assert len(pictures) == STEPS * plan.sections
    for picture in pictures:
        assert Image.open(io.BytesIO(picture)).size == (plan.width // 8 * plan.latent_window_size, plan.height // 8)
    for name in (*(f"section/{n}" for n in range(plan.sections)), f"clip/{plan.sections - 1}"):
        found = [hand.jobs.artifact(each, name) for each in (alone, watched)]
        assert found[0]
        assert found[1]
        assert found[0].sha256 == found[1].sha256


def test_a_preview_costs_at_most_two_percent_of_a_step(tiny_models: Models) -> None:
    """Counted in multiplications, on the tiny model, whose steps are the cheapest there are."""
    renderer, spec, steps = Renderer(tiny_models), small_spec("i2v", 1), list[StepState]()
    conditioning = renderer.encode(spec, {"start": Image.new("RGB", (64, 64), "teal")})
    with FlopCounterMode(display=False) as section:
        renderer.section(spec, 0, conditioning, None, on_step=steps.append)
    with FlopCounterMode(display=False) as preview, torch.no_grad():
        latent_preview(steps[-1].estimate)
    assert 0 < preview.get_total_flops() <= 0.02 * section.get_total_flops() / len(steps)


def test_a_preview_that_fails_ends_no_beats(
    hand: Hand, door: DispatcherHere, accept: Callable[..., Record], caplog: pytest.LogCaptureFixture
) -> None:
    """Each try raises: the reports go on without a picture, and the log says it once."""
    made = accept().job.id
    door.dispatcher.nudge(made)
    hand.commit(hand.take(), conditioning=b"c")
    door.dispatcher.watch(frozenset({made}))
    spy, tried_thrice = Spy(door), threading.Event()

    class Blind(OrderRunner):
        """A worker that draws no picture."""

        tries = 0

        @override
        def preview(self) -> Preview | None:
            self.tries += 1
            if self.tries == 3:
                tried_thrice.set()
            raise ValueError("no picture")

        @override
        def run(self, order: Order, on_step: OnStep) -> Entry:
            assert order.key.stage == "section"
            assert tried_thrice.wait(patient(30))
            raise Stopped("enough was seen")

    def load(*_: object) -> Renderer:
        raise AssertionError("it renders nothing")

    loop = OrderLoop(
        hand.card,
        FarmSettings(heartbeat_s=0.01),
        runner=Blind(hand.jobs, hand.card, load=load),
        link=DispatcherLink(hand.card.id, lease_s=10.0, orphan_s=60.0, find=lambda: spy),
        movement=Movement(),
        meter=Unmetered(),
    )
    assert loop.serve_one()
    assert spy.called.count("beat") >= 3
    assert spy.shown == {}
    assert "give_up" not in spy.called
    assert [each.getMessage() for each in caplog.records].count("preview_failed") == 1
