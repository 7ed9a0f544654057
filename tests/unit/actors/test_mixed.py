"""allow_mixed and preserve_gb: who may share a video, what is written down of it, and what is left to others."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from actors.worker.device import describe_device
from deploy import cli
from farm.contract import Order
from farm.jobs import Jobs
from farm.jobs.demand import fits, need_for
from farm.request import VideoRequest
from farm.settings import FarmSettings
from framepack_engine import Models, Renderer
from tests.engine_worker import Worker
from tests.unit.conftest import Hand
from tests.unit.farm.ingress.test_ingress import FILES, ask


def other_hand(hand: Hand, numeric_class: str) -> Hand:
    """A second worker by hand, of another numeric class."""
    other = Hand(hand.jobs, hand.dispatcher)
    other.card = hand.card.model_copy(update={"id": "other", "numeric_class": numeric_class})
    return other


def test_a_video_keeps_its_class_unless_it_may_mix(http: TestClient, hand: Hand) -> None:
    """A worker of another class gets its sections only with allow_mixed; then each entry and the video say so."""
    other = other_hand(hand, "by-foot")
    pinned = ask(http, seconds="1", seed="1")
    hand.commit(hand.take(), conditioning=b"c")
    assert other.dispatcher.ask(other.card) == "go"
    assert "numeric class by-hand" in wait_reason(http, hand, pinned)
    http.post(f"/v1/videos/{pinned['id']}/cancel")
    mixed = ask(http, seconds="3", allow_mixed="true")
    hand.commit(hand.take(), conditioning=b"c")
    order = other.take()
    assert (str(order.key), order.numeric_class, order.numeric_classes) == ("section/0", None, ("by-hand",))
    other.commit(order, section=b"s")
    entries = list(hand.jobs.ledger.following(mixed["id"], -1))
    commits = {entry.event.key: entry.event.numeric_class for entry in entries if entry.event.name == "committed"}
    assert commits == {"encode": "by-hand", "section/0": "by-foot"}
    assert http.get(f"/v1/videos/{mixed['id']}").json()["numeric_classes"] == ["by-hand", "by-foot"]


def wait_reason(http: TestClient, hand: Hand, video: dict[str, Any]) -> str:
    """Why the video waits, once its worker is gone."""
    hand.dispatcher.worker_died(hand.card.id)
    reason: str = http.get(f"/v1/videos/{video['id']}").json()["waiting_for"]
    hand.card = hand.card.model_copy(update={"id": "hand-again"})
    return reason


def test_a_remix_of_mixed_sections_must_be_mixed_itself(http: TestClient, hand: Hand) -> None:
    """It inherits the wish and the classes; taking the wish back while sharing sections is refused by name."""
    other = other_hand(hand, "by-foot")
    video = ask(http, seconds="3", allow_mixed="true")
    hand.commit(hand.take(), conditioning=b"c")
    other.commit(other.take(), section=b"s0", preview=b"p")
    http.post(f"/v1/videos/{video['id']}/cancel")
    path = f"/v1/videos/{video['id']}/remix"
    remix = http.post(path, json={"prompt": "a dog", "from_section": 1}).json()
    assert remix["numeric_classes"] == ["by-hand", "by-foot"]
    refused = http.post(path, json={"prompt": "a dog", "from_section": 1, "allow_mixed": False})
    assert (refused.status_code, refused.json()["error"]["param"]) == (422, "allow_mixed")


def test_the_mp4_says_that_it_is_mixed(
    http: TestClient, hand: Hand, tiny_models: Models, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two engines of different classes make one video; `framefarm show FILE` names both."""

    class Elsewhere(Renderer):
        """The same arithmetic under another name: what matters here is what is written down."""

        def numeric_class_of(self, spec: Any) -> str:
            return "cuda-elsewhere-bfloat16-sdpa"

    first, second = Worker(hand, Renderer(tiny_models)), Worker(hand, Elsewhere(tiny_models))
    second.card = second.card.model_copy(update={"id": "elsewhere", "numeric_class": "cuda-elsewhere-bfloat16"})
    fields = {"prompt": "a cat", "seconds": "0.1", "num_inference_steps": "1", "allow_mixed": "true", "seed": "1"}
    video = http.post("/v1/videos", data={**fields, "latent_window_size": "2"}, files=FILES).json()
    turn = 0
    while isinstance(order := hand.dispatcher.ask((worker := (first, second)[turn % 2]).card), Order):
        worker.runner.run(order, lambda _: None)
        hand.dispatcher.nudge(order.job.id)
        turn += 1
    state = http.get(f"/v1/videos/{video['id']}").json()
    assert (state["status"], len(state["numeric_classes"])) == ("completed", 2)
    file = tmp_path / "mixed.mp4"
    file.write_bytes(http.get(f"/v1/videos/{video['id']}/content").content)
    assert cli.main(["show", str(file), "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert (facts["numeric_class"], facts["numeric_classes"]) == ("mixed", state["numeric_classes"])


def test_room_is_left_to_others(hand: Hand) -> None:
    """A worker takes a video whose preserve_gb leaves it enough; its own holds where the video has none."""
    card = hand.card.model_copy(update={"vram_gib": 16.0, "needs_gib": {"tiny": 9.0}, "preserve_gb": 8.0})

    def can(preserve_gb: float | None, card: Any = card) -> bool:
        request = VideoRequest(prompt="a", model="tiny", preserve_gb=preserve_gb)
        return fits(card, need_for(request, "section", None))

    assert [can(gb) for gb in (None, 0.0, 7.0, 7.5, 16.0)] == [False, True, True, False, False]
    assert not can(16.0, card.model_copy(update={"needs_gib": {}}))
    assert can(1000.0, hand.card)  # a CPU's memory is the machine's


def test_the_renderer_is_made_for_what_the_video_leaves(
    http: TestClient, hand: Hand, jobs: Jobs, tiny_models: Models
) -> None:
    """preserve_gb goes from the request through the order to the engine; another value is another placement."""
    worker, asked = Worker(hand, Renderer(tiny_models)), list[tuple[str, float | None]]()

    def load(model: str, preserve_gb: float | None) -> Renderer:
        asked.append((model, preserve_gb))
        return Renderer(tiny_models)

    worker.runner = type(worker.runner)(jobs, worker.card, load=load)
    small = {"prompt": "a cat", "seconds": "0.1", "num_inference_steps": "1", "latent_window_size": "1"}
    for more in ({"preserve_gb": "4"}, {"preserve_gb": "4"}, dict[str, str]()):
        assert http.post("/v1/videos", data=small | more, files=FILES).status_code == 200
        worker.work()
    assert asked == [("tiny", 4.0), ("tiny", None)]


def test_a_dry_run_knows_the_memory_and_the_time_of_each_worker(http: TestClient, hand: Hand) -> None:
    """Time is the measured pace times this video's work: half the steps take half as long; who lacks room has none."""
    paced = {"s_per_standard_section": 100.0, "plan": "hoisted", "vram_gib": 24.0, "needs_gib": {"tiny": 18.0}}
    hand.card = hand.card.model_copy(update=paced)
    hand.dispatcher.ask(hand.card)

    def estimate(**fields: str) -> dict[str, Any]:
        answer = http.post("/v1/videos?dry_run=1", data={"prompt": "a", **fields}, files=FILES).json()
        worker: dict[str, Any] = answer["workers"][0]
        return worker

    whole, half = estimate(size="640x608"), estimate(size="640x608", num_inference_steps="13")
    assert (whole["plan"], whole["fits"], whole["preserve_gb"]) == ("hoisted", True, 0.0)
    assert whole["seconds"] == pytest.approx(100 * (4 + 6 / 9) * 1.0, rel=0.15)
    assert half["seconds"] == pytest.approx(whole["seconds"] * 13 / 25, rel=0.01)
    assert estimate(preserve_gb="8") == {
        "id": "hand",
        "plan": "hoisted",
        "preserve_gb": 8.0,
        "fits": False,
        "seconds": None,
    }


def test_the_farms_own_share_is_on_a_gpu_workers_card_only() -> None:
    """FARM_PRESERVE_GB speaks of GPU memory."""
    card = describe_device("w", node="n", settings=FarmSettings(preserve_gb=3.0, cpu_threads=1))
    assert card.preserve_gb == (0.0 if card.vram_gib is None else 3.0)


def test_a_video_of_an_earlier_version_goes_on(http: TestClient, hand: Hand, tiny_models: Models) -> None:
    """Its class names no maker and no software: a worker that agrees with the rest goes on, and nothing is mixed."""
    renderer = Renderer(tiny_models)

    class Earlier(Renderer):
        """A renderer that names its class as earlier versions did."""

        def numeric_class_of(self, spec: Any) -> str:
            return renderer.numeric_class_of(spec).partition("@")[0]

    before, now = Worker(hand, Earlier(tiny_models)), Worker(hand, renderer)
    now.card = now.card.model_copy(update={"id": "now", "numeric_class": renderer.numeric_class})
    fields = {"prompt": "a cat", "seconds": "0.1", "num_inference_steps": "1", "seed": "1", "latent_window_size": "2"}
    video = http.post("/v1/videos", data=fields, files=FILES).json()
    before.runner.run(hand.take(), lambda _: None)
    hand.dispatcher.nudge(video["id"])
    while isinstance(order := hand.dispatcher.ask(now.card), Order):
        now.runner.run(order, lambda _: None)
        hand.dispatcher.nudge(order.job.id)
    state = http.get(f"/v1/videos/{video['id']}").json()
    assert (state["status"], state["numeric_classes"]) == ("completed", [state["numeric_class"]])
    assert "@" not in state["numeric_class"]
