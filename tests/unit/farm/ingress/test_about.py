"""The facts that a form needs before it asks for a video."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient
from PIL import Image
from safetensors.numpy import save_file

from deploy.planner import EngineMedia, EnginePlanner
from farm.client import FarmClient
from farm.ingress import create_app
from farm.intake.own_presets import read_presets, save_preset
from farm.jobs import Jobs
from farm.settings import FarmSettings
from tests.unit.conftest import DispatcherHere, Hand
from tests.unit.farm.ingress.test_access import ALICE, BOB, bearer, door_with_keys
from tests.unit.farm.ingress.test_ingress import ask


def test_the_farm_tells_a_form_what_it_must_know(http: TestClient) -> None:
    """The farm tells who asks, the default model, limits that hold, and prompts."""
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
    """A request may ask for exactly the features that its model supports."""
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


def test_presets_are_kept_for_their_owner(jobs: Jobs, door: DispatcherHere) -> None:
    """Saved, replaced, deleted; another owner and the built-in ones are not touched."""
    with door_with_keys(jobs, door) as client:
        alice: Any = {"headers": bearer(ALICE)}
        bob: Any = {"headers": bearer(BOB)}
        built_in = client.get("/v1/presets", **alice).json()
        assert {"dance", "hands", "compat-dance"} <= {preset["name"] for preset in built_in["data"]}
        assert (built_in["start"], {preset["built_in"] for preset in built_in["data"]}) == (None, {True})
        fields = {"num_inference_steps": 30, "prompt": "it dances", "preset": "dance", "loras": []}
        saved = client.put("/v1/presets/mine%20%C3%A9", json={"fields": fields, "start": True}, **alice).json()
        assert (saved["name"], saved["fields"], saved["start"]) == ("mine é", fields, True)
        listed = client.get("/v1/presets", **alice).json()
        assert (listed["start"], listed["data"][-1]) == ("mine é", saved)
        client.put("/v1/presets/other", json={"fields": {"crf": 20}, "start": True}, **alice)
        client.put("/v1/presets/other", json={"fields": {"crf": 21}}, **alice)
        after = client.get("/v1/presets", **alice).json()
        assert (after["start"], after["data"][-1]["fields"]) == (None, {"crf": 21})
        assert client.get("/v1/presets", **bob).json() == built_in
        assert client.delete("/v1/presets/other", **bob).status_code == 404
        assert client.delete("/v1/presets/other", **alice).json()["deleted"]
        assert client.delete("/v1/presets/other", **alice).status_code == 404
        assert len(jobs.store.list("presets/alice/")) == 1


def test_a_built_in_preset_says_what_it_fills(http: TestClient) -> None:
    """Its fields are those of a request that names it."""
    presets = {preset["name"]: preset for preset in http.get("/v1/presets").json()["data"]}
    for name in ("dance", "talking", "compat-talking"):
        request = ask(http, preset=name, seconds="1", prompt=presets[name]["prompt"])["request"]
        assert {field: request[field] for field in presets[name]["fields"]} == presets[name]["fields"]
    assert presets["dance"]["by_size"] == ["flow_shift"]


@pytest.mark.parametrize(
    ("name", "body", "field"),
    [
        ("a", {"fields": {"num_inference_steps": 101}}, "num_inference_steps"),
        ("a", {"fields": {"colour": "red"}}, "colour"),
        ("a", {"fields": {"model": "gpt"}}, "model"),
        ("a", {"fields": {"size": "100x100"}}, "size"),
        ("a", {"fields": {"loras": [{"name": "nobody"}]}}, "loras"),
        ("a", {"fields": {"webhook_url": "https://example.org/"}}, "webhook_url"),
        ("a", {"fields": {"cache_threshold": 1}}, "cache_threshold"),
        ("a", {"fields": {}}, "fields"),
        ("a", {"fields": [1]}, "fields"),
        ("a", {"crf": 3}, "fields"),
        ("x" * 61, {"fields": {"crf": 3}}, "name"),
        ("%20a", {"fields": {"crf": 3}}, "name"),
        ("%00", {"fields": {"crf": 3}}, "name"),
    ],
)
def test_a_preset_is_checked_like_a_request(http: TestClient, name: str, body: object, field: str) -> None:
    """The answer names the field; nothing is saved."""
    answer = http.put(f"/v1/presets/{name}", json=body)
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, field)
    assert http.get("/v1/presets").json()["data"][-1]["built_in"]


def test_built_in_presets_stay(http: TestClient) -> None:
    """Their names are taken."""
    assert http.put("/v1/presets/dance", json={"fields": {"crf": 3}}).status_code == 409
    assert http.delete("/v1/presets/dance").status_code == 409


def test_presets_saved_at_once_are_all_kept(jobs: Jobs, http: TestClient) -> None:
    """Each change is applied to what the other processes saved in between."""
    tools = http.app.state.dependencies.tools  # type: ignore[attr-defined]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: save_preset(jobs.store, "local", f"p{n}", {"fields": {"seed": n}}, tools), range(24)))
    assert read_presets(jobs.store, "local").presets == {f"p{n}": {"seed": n} for n in range(24)}


@pytest.fixture
def styled(jobs: Jobs, door: DispatcherHere, tmp_path: Path) -> Iterator[TestClient]:
    """A farm with three LoRAs in its folder: one with sidecars, one for another model, one that is damaged."""
    folder = tmp_path / "loras"
    (folder / "people").mkdir(parents=True)
    key = "lora_unet_transformer_blocks_0_attn_to_q"
    pair = {f"{key}.lora_down.weight": np.ones((2, 32), "f4"), f"{key}.lora_up.weight": np.ones((32, 2), "f4")}
    told = {"ss_tag_frequency": json.dumps({"10_ann": {"ann smile": 12, "garden": 3}}), "ss_base_model_version": "hv"}
    save_file(pair, folder / "people" / "ann.v2.safetensors", metadata=told)
    (folder / "people" / "ann.v2.txt").write_text("Use it at 0.8.\n")
    Image.new("RGB", (1024, 512), "navy").save(folder / "people" / "ann.v2.png")
    big = {f"{key}.lora_A.weight": np.ones((2, 3072), "f4"), f"{key}.lora_B.weight": np.ones((3072, 2), "f4")}
    save_file(big, folder / "big.safetensors", metadata={"modelspec.trigger_phrase": "zoom, blur"})
    (folder / "rotten.safetensors").write_bytes(b"\xff" * 20)
    app = create_app(
        settings=FarmSettings(model="tiny", lora_dir=str(folder)),
        jobs=jobs,
        door=door,
        planner=EnginePlanner(lora_dir=str(folder)),
        media=EngineMedia(),
    )
    with TestClient(app, base_url="http://127.0.0.1:8000", client=("127.0.0.1", 50000)) as client:
        yield client


def test_loras_show_what_people_must_know(styled: TestClient) -> None:
    """From the file and from what lies beside it; the digest once something used it."""
    big, ann, rotten = styled.get("/v1/loras").json()["data"]
    assert (ann["name"], ann["trigger_words"], ann["base_model"], ann["note"]) == (
        "people/ann.v2",
        ["ann smile"],
        "hv",
        "Use it at 0.8.",
    )
    assert (ann["models"], ann["fault"], ann["sha256"]) == (["tiny", "tiny-f1"], None, None)
    assert (big["trigger_words"], big["models"][:2]) == (["zoom", "blur"], ["framepack-i2v", "framepack-f1"])
    assert (big["preview"], big["note"]) == (None, None)
    assert rotten["fault"]
    pinned = ask(styled, seconds="1", loras='[{"name": "people/ann.v2"}]')["request"]["loras"][0]["sha256"]
    assert styled.get("/v1/loras").json()["data"][1]["sha256"] == pinned


def test_a_loras_picture_is_served(styled: TestClient) -> None:
    """As WebP of at most 512 px, kept under its ETag; nothing outside the folder is reached."""
    etag = styled.get("/v1/loras").json()["data"][1]["preview"]["etag"]
    answer = styled.get("/v1/loras/people/ann.v2/preview", params={"v": etag})
    assert (answer.headers["etag"], answer.headers["content-type"]) == (f'"{etag}"', "image/webp")
    assert "immutable" in answer.headers["cache-control"]
    assert Image.open(io.BytesIO(answer.content)).size == (512, 256)
    Path(styled.app.state.dependencies.settings.lora_dir, "big.png").write_bytes(b"no picture")  # type: ignore[attr-defined]
    for name in (
        "big",
        "nobody",
        "..%2Floras%2Fpeople%2Fann.v2",
        "%2Fetc%2Fpasswd",
        "people",
        "n" * 300,
        "é" * 140,
        "a/b/" + "n" * 300,
    ):
        assert styled.get(f"/v1/loras/{name}/preview").status_code == 404


def test_the_client_speaks_of_presets(farm_url: str) -> None:
    """`farm.client` has a method for each call."""
    with FarmClient(farm_url) as client:
        client.save_preset("my own", {"crf": 20}, start=True)
        assert client.presets()["start"] == "my own"
        client.delete_preset("my own")
        assert (client.presets()["start"], client.loras()["data"]) == (None, [])
        assert client.farm()["model"] == "tiny"
