"""What a form must know before it asks for a video."""

from __future__ import annotations

from fastapi.testclient import TestClient

from farm.jobs import Jobs
from tests.unit.conftest import DispatcherHere, Hand
from tests.unit.farm.ingress.test_access import ALICE, bearer, door_with_keys
from tests.unit.farm.ingress.test_ingress import ask


def test_the_farm_tells_a_form_what_it_must_know(http: TestClient) -> None:
    """Who asks, the default model, limits that hold, and prompts."""
    farm = http.get("/v1/farm").json()
    assert farm["me"] == {"owner": "local", "operator": True, "signed_in_by": "machine"}
    assert farm["model"] == "tiny"
    limits = farm["limits"]
    assert (limits["upload_mb"], limits["pixels"], limits["open_videos"]) == (4, 64_000_000, {"now": 0, "most": None})
    assert {"image/jpeg", "image/png", "image/webp"} <= set(limits["image_formats"])
    assert limits["window"] == {"min": 1, "max": 33, "default": 9}
    assert limits["seconds"] == {"min": 0.1, "max": 600, "default": 5.0}
    assert farm["prompting"]["guide"]
    for sample in farm["prompting"]["samples"]:
        ask(http, prompt=sample, seconds="1")
    assert http.get("/v1/farm").json()["limits"]["open_videos"]["now"] == len(farm["prompting"]["samples"])


def test_whether_the_default_model_can_be_rendered_now(http: TestClient, hand: Hand, door: DispatcherHere) -> None:
    """In the words of a video that waits; unknown while the dispatcher is away."""
    assert http.get("/v1/farm").json()["render"] == {"can": False, "waiting_for": "a worker to start"}
    hand.dispatcher.ask(hand.card.model_copy(update={"models": ("tiny-f1",)}))
    assert http.get("/v1/farm").json()["render"] == {"can": False, "waiting_for": "a worker for tiny"}
    assert ask(http, seconds="1")["waiting_for"] == "a worker for tiny"
    hand.dispatcher.ask(hand.card.model_copy(update={"id": "half", "stages": ("encode",)}))
    assert not http.get("/v1/farm").json()["render"]["can"]
    hand.dispatcher.ask(hand.card.model_copy(update={"id": "whole"}))
    assert http.get("/v1/farm").json()["render"] == {"can": True, "waiting_for": None}
    door.answers = False
    farm = http.get("/v1/farm").json()
    assert farm["render"] == {"can": None, "waiting_for": "the dispatcher does not answer"}
    assert farm["limits"]["open_videos"]["now"] is None


def test_a_key_says_who_asks(jobs: Jobs, door: DispatcherHere) -> None:
    """Its owner, and whether it may control workers."""
    with door_with_keys(jobs, door, operators="bob") as client:
        me = client.get("/v1/farm", headers=bearer(ALICE)).json()["me"]
    assert me == {"owner": "alice", "operator": False, "signed_in_by": "key"}


def test_models_say_what_they_can_do(http: TestClient) -> None:
    """What a model supports is what a request for it may ask."""
    models = {model["id"]: model for model in http.get("/v1/models").json()["data"]}
    assert [name for name, model in models.items() if model["default"]] == ["tiny"]
    assert models["tiny-f1"]["supports"] == {
        "end_image": False,
        "keyframes": False,
        "loop": False,
        "text_only": True,
        "extend": True,
    }
    for name in ("tiny", "tiny-f1"):
        answer = http.post("/v1/videos?dry_run=1", data={"prompt": "a cat", "model": name})
        assert (answer.status_code == 200) == models[name]["supports"]["text_only"]
    assert ask(http, seconds="1")["size"] in models["tiny"]["buckets"]
    assert models["tiny"]["weights"] == {"here": True, "missing_bytes": 0}
