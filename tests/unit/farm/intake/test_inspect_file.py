"""Settings from a file: each becomes a field, or is named with the reason."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient
from PIL import Image, PngImagePlugin

from framepack_engine.frames.video import encode_clip, join_clips

STUDIO: dict[str, Any] = {
    "app_version": "0.5",
    "prompt": "[0s-2s: It sits.] [2s-4s: It runs.]",
    "negative_prompt": "blur",
    "seed": 17,
    "steps": 30,
    "cfg": 1.5,
    "gs": 9.0,
    "rs": 0.5,
    "total_second_length": 6,
    "latent_window_size": 9,
    "resolutionW": 640,
    "resolutionH": 640,
    "model_type": "Original with Endframe",
    "latent_type": "Black",
    "blend_sections": 4,
    "use_teacache": True,
    "teacache_num_steps": 25,
    "teacache_rel_l1_thresh": 0.2,
    "use_magcache": False,
    "magcache_threshold": 0.1,
    "end_frame_strength": 0.5,
    "timestamp": 1.0,
    "loras": {"nobody has this": 0.7},
}
FIELDS = {
    "negative_prompt": "blur",
    "seed": 17,
    "num_inference_steps": 30,
    "true_cfg_scale": 1.5,
    "guidance_scale": 9.0,
    "guidance_rescale": 0.5,
    "seconds": 6.0,
    "latent_window_size": 9,
    "resolution": 640,
    "model": "framepack-i2v",
    "cache": "teacache",
    "cache_threshold": 0.2,
    "prompt_fade_sections": 4,
}
LEFT = {"latent_type", "teacache_num_steps", "magcache_threshold", "end_frame_strength", "loras"}


def png(texts: dict[str, object] | None = None, *, shade: str = "teal") -> bytes:
    """A picture with texts, as Pillow writes them."""
    info, out = PngImagePlugin.PngInfo(), io.BytesIO()
    for name, text in (texts or {}).items():
        info.add_text(name, str(text))
    Image.new("RGB", (64, 48), shade).save(out, "PNG", pnginfo=info)
    return out.getvalue()


def zipped(files: dict[str, bytes]) -> bytes:
    """A zip file."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return out.getvalue()


def inspect(http: TestClient, data: bytes) -> Any:
    """The answer for a file that holds settings."""
    answer = http.post("/v1/inspect", files={"file": ("any", data)})
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_studios_json(http: TestClient) -> None:
    """Names are translated, stamps become timed prompts, and nothing vanishes without a word."""
    found = inspect(http, json.dumps(STUDIO).encode())
    assert found["from"] == "FramePack-Studio, JSON"
    (one,) = found["data"]
    fields = dict(one["fields"])
    assert fields.pop("prompt") == "It sits."
    assert [prompt["text"] for prompt in fields.pop("prompts")] == ["It runs."]
    assert fields == FIELDS
    assert {left["name"] for left in one["left_out"]} == LEFT
    assert all(left["why"] for left in one["left_out"])


def test_studios_png(http: TestClient) -> None:
    """Every value is a text there; the picture itself is the start image. What was found can be asked for."""
    texts = {name: value for name, value in STUDIO.items() if name != "loras"} | {"x_param": None}
    one = inspect(http, png(texts))["data"][0]
    assert {name: one["fields"][name] for name in FIELDS} == FIELDS
    assert {left["name"] for left in one["left_out"]} == LEFT - {"loras"}
    body = one["fields"] | one["images"] | {"model": "tiny"}
    assert http.post("/v1/videos?dry_run=1", json=body).status_code == 200


def test_studios_queue(http: TestClient) -> None:
    """A zip of queue.json and pictures holds several videos."""
    jobs = {"a1": STUDIO, "b2": {"params": {"prompt_text": "b", "seed": 2, "model_type": "F1"}, "status": "pending"}}
    files = {"queue.json": json.dumps(jobs).encode(), "queue_images/a1_input.png": png()}
    found = inspect(http, zipped(files | {"queue_images/a1_end_frame.png": png(shade="navy")}))
    assert found["from"] == "FramePack-Studio, queue"
    first, second = found["data"]
    assert set(first["images"]) == {"input_reference", "end_image"}
    assert second["fields"] == {"prompt": "b", "seed": 2, "model": "framepack-f1"}
    assert second["images"] == {}
    assert len(inspect(http, files["queue.json"])["data"]) == 2


def test_eichis_png(http: TestClient) -> None:
    """`parameters` is the prompt, then lines with names."""
    text = "The cat yawns.\nSeed: 31337\nSection Prompt: it sleeps\nSection Number: 2"
    one = inspect(http, png({"parameters": text}))["data"][0]
    assert one["fields"] == {"prompt": "The cat yawns.", "seed": 31337}
    assert {left["name"]: left["value"] for left in one["left_out"]} == {
        "section_prompt": "it sleeps",
        "section_number": "2",
    }
    assert set(one["images"]) == {"input_reference"}


def test_our_own_mp4(http: TestClient, tmp_path: Path) -> None:
    """It says how it was made; its pictures are named, since it does not hold them."""
    encode_clip(np.zeros((4, 64, 64, 3), np.uint8), tmp_path / "a.mp4", crf=30)
    request = {"prompt": "a cat", "model": "tiny", "seed": 3, "size": "64x64", "num_inference_steps": 7, "gone": 1}
    facts = {"request": request, "inputs": {"start": "ab" * 32}}
    join_clips([tmp_path / "a.mp4"], tmp_path / "b.mp4", metadata={"framefarm": json.dumps(facts)})
    found = inspect(http, (tmp_path / "b.mp4").read_bytes())
    one = found["data"][0]
    assert (found["from"], one["fields"]) == ("framepack-farm", {k: v for k, v in request.items() if k != "gone"})
    assert {left["name"] for left in one["left_out"]} == {"inputs.start", "gone"}
    assert http.post("/v1/inspect", files={"file": ("a", (tmp_path / "a.mp4").read_bytes())}).status_code == 422


def test_what_this_farm_refuses_is_left_out(http: TestClient) -> None:
    """With the reason that a request would get."""
    told = {"prompt": "a", "model_type": "XY Plot", "steps": 500, "seed": -1, "guesswork": [1]}
    one = inspect(http, json.dumps(told).encode())["data"][0]
    assert one["fields"] == {"prompt": "a"}
    assert {left["name"] for left in one["left_out"]} == {"model_type", "num_inference_steps", "seed", "guesswork"}


@pytest.mark.parametrize(
    "data",
    [
        b"\x80\x04\x95pickle",
        b"",
        b"{",
        b"[1]",
        b"{}",
        png(),
        zipped({"a.txt": b"x"}),
        zipped({"queue.json": b"{}"}),
        zipped({"queue.json": b'{"a": {"seed": 1}}', "../../etc/x": b"x"}),
        zipped({"queue.json": b'{"a": {"seed": 1}}'})[:-30],
    ],
)
def test_a_file_without_settings_is_refused(http: TestClient, data: bytes) -> None:
    """422 that names the part and says why."""
    answer = http.post("/v1/inspect", files={"file": ("any", data)})
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "file")


def test_a_zip_that_unpacks_to_too_much_is_refused(http: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """By its directory, before anything is unpacked."""
    settings = http.app.state.dependencies.settings  # type: ignore[attr-defined]
    monkeypatch.setitem(settings.__dict__, "max_import_mb", 1)
    bomb = zipped({"queue.json": b'{"a": {"seed": 1}}', "zeros": bytes(2 << 20)})
    assert http.post("/v1/inspect", files={"file": ("q.zip", bomb)}).json()["code"] == "too_large"
