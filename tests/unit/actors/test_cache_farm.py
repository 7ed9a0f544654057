"""Step caches and attention from the HTTP field to the worker's engine, and what the video says of them afterwards."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from fastapi.testclient import TestClient

from actors.worker.orders import OrderRunner
from deploy.planner import EngineMedia, EnginePlanner
from farm.contract import Order, OrderKey
from farm.errors import Stopped
from farm.ingress import create_app
from farm.jobs import Jobs
from farm.settings import FarmSettings
from framepack_engine import Models, Renderer
from framepack_engine.errors import AttentionUnavailable
from lab.bench.engine import small_spec
from tests.imports import ROOT
from tests.unit.conftest import DispatcherHere, Hand

CAT = ROOT / "examples" / "cat.jpg"


@pytest.fixture
def http(jobs: Jobs, door: DispatcherHere) -> Iterator[TestClient]:
    """The HTTP API of a farm with the engine's planner."""
    app = create_app(
        settings=FarmSettings(model="tiny"), jobs=jobs, door=door, planner=EnginePlanner(), media=EngineMedia()
    )
    with TestClient(app, base_url="http://127.0.0.1:8000", client=("127.0.0.1", 50000)) as client:
        yield client


@pytest.fixture
def runner(jobs: Jobs, hand: Hand, tiny_models: Models) -> OrderRunner:
    """A worker's runner; the hand asks in its numeric class."""
    renderer = Renderer(tiny_models)
    hand.card = hand.card.model_copy(update={"numeric_class": renderer.numeric_class})
    return OrderRunner(jobs, hand.card, load=lambda *_: renderer)


def post(http: TestClient, **fields: object) -> dict[str, object]:
    """Ask for a short, small video; the answer."""
    small = {"prompt": "a cat", "seconds": 0.2, "size": "64x64", "num_inference_steps": 8, "seed": 1}
    form = small | {"latent_window_size": 1} | fields
    answer: dict[str, object] = http.post(
        "/v1/videos", data=form, files={"input_reference": ("cat.jpg", CAT.read_bytes())}
    ).json()
    return answer


@pytest.mark.parametrize(
    ("fields", "forwards"),
    [
        ({}, 16),
        ({"true_cfg_scale": 2, "negative_prompt": "dog"}, 32),
        ({"cache": "taylorseer"}, 10),
        ({"cache": "taylorseer", "cache_threshold": 1}, 16),
        ({"cache": "first_block", "cache_threshold": 10}, 4),
        ({"cache": "magcache", "cache_threshold": 10}, 8),
        ({"cache": "teacache", "cache_threshold": 10}, 4),
    ],
)
def test_a_video_says_how_many_forwards_ran(
    http: TestClient, hand: Hand, runner: OrderRunner, fields: dict[str, object], forwards: int
) -> None:
    """Two sections of 8 steps: the caches of the request are those of the engine, and their savings are told."""
    video = post(http, **fields)
    while isinstance(order := hand.dispatcher.ask(hand.card), Order):
        runner.run(order, lambda _: None)
        hand.dispatcher.nudge(order.job.id)
    done = http.get(f"/v1/videos/{video['id']}").json()
    assert (done["status"], done["forwards"]) == ("completed", forwards)
    assert done["numeric_class"].replace("-sdpa", "") == hand.card.numeric_class


def test_a_stopped_section_with_a_cache_goes_on(http: TestClient, hand: Hand, runner: OrderRunner) -> None:
    """Given back after step 5 and taken up from the store, it ends with the bits of an undisturbed one."""
    sections = []
    for stop_after in (None, 5):
        post(http, cache="taylorseer")
        while isinstance(order := hand.dispatcher.ask(hand.card), Order):

            def on_step(step: int, order: Order = order, stop_after: int | None = stop_after) -> None:
                if step == stop_after and "step" not in order.needs:
                    raise Stopped("stopped")

            try:
                entry = runner.run(order, on_step)
            except Stopped:
                hand.dispatcher.nudge(order.job.id)
                continue
            if order.key.stage == "section":
                sections.append(entry.event.artifacts["section"].sha256)
            hand.dispatcher.nudge(order.job.id)
    assert sections[:2] == sections[2:]


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"cache": "taylorseer", "cache_threshold": 2.5}, "cache_threshold"),
        ({"cache": "sea"}, "cache"),
        ({"attention": "eager"}, "attention"),
    ],
)
def test_what_means_nothing_is_refused_by_name(http: TestClient, fields: dict[str, object], field: str) -> None:
    """Nothing is stored for a cache, threshold or attention that there is not."""
    problem = post(http, **fields)
    assert (problem["status"], problem["code"]) == (422, "invalid_request")
    assert field in str(problem)


def test_an_attention_that_nobody_has_is_an_error_with_its_remedy(
    http: TestClient, hand: Hand, runner: OrderRunner
) -> None:
    """If no worker has it, one without it gets the section and names the missing package."""
    post(http, attention="flash")
    runner.run(hand.take(), lambda _: None)
    hand.dispatcher.tick()
    with pytest.raises(AttentionUnavailable, match="pip install flash-attn"):
        runner.run(hand.take(), lambda _: None)


def test_a_video_keeps_what_its_first_worker_took(
    http: TestClient, hand: Hand, jobs: Jobs, runner: OrderRunner, tiny_models: Models
) -> None:
    """Left open, attention is what the worker takes that begins; one that would take another goes on with the same."""
    post(http)
    renderer = Renderer(tiny_models)
    other = OrderRunner(jobs, hand.card.model_copy(update={"attention": "cudnn"}), load=lambda *_: renderer)
    runner.run(hand.take(), lambda _: None)
    hand.dispatcher.tick()
    order = hand.take()
    assert order.numeric_class == renderer.numeric_class_of(small_spec("i2v", 1, steps=1))  # whose attention is sdpa
    other.run(order, lambda _: None)  # by itself it would take cuDNN, which no CPU has
    alone = post(http, seed=2)
    encode = hand.take()
    while encode.job.id != alone["id"]:
        other.run(encode, lambda _: None)
        hand.dispatcher.tick()
        encode = hand.take()
    other.run(encode, lambda _: None)
    assert "-cudnn" in str(http.get(f"/v1/videos/{alone['id']}").json()["numeric_class"])


def test_a_worker_with_the_attention_goes_first(http: TestClient, hand: Hand) -> None:
    """Any worker encodes; only a worker with the video's attention gets its sections, if there is one, busy or not."""
    post(http, attention="flash")
    hand.dispatcher.tick()
    plain, flash = (
        hand.card.model_copy(update={"id": attentions[-1], "attentions": attentions})
        for attentions in (("sdpa",), ("sdpa", "flash"))
    )
    encode = hand.dispatcher.ask(plain)
    assert isinstance(encode, Order)
    assert encode.key.stage == "encode"
    assert hand.dispatcher.ask(flash) == "go"
    hand.commit(encode, conditioning=b"x")
    assert hand.dispatcher.ask(plain) == "go"
    section = hand.dispatcher.ask(flash)
    assert isinstance(section, Order)
    assert section.key == OrderKey(stage="section", section=0)
