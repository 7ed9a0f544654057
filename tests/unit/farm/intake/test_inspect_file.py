"""Settings from a file: each becomes a field, or is named with the reason."""

from __future__ import annotations

import contextlib
import io
import json
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image, PngImagePlugin

from deploy.planner import EngineMedia, EnginePlanner
from farm.errors import InvalidRequest, TooLarge, UnsupportedImage
from farm.ingress.views import inspection_view
from farm.intake.inspect_file import inspect_file
from farm.intake.prepare import Tools
from farm.request import VideoRequest
from farm.settings import FarmSettings
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
    """Every value is a text there; the picture itself is the start image. A request takes the found settings."""
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
    limits = http.app.state.dependencies.settings  # type: ignore[attr-defined]
    monkeypatch.setitem(limits.__dict__, "max_import_mb", 1)
    bomb = zipped({"queue.json": b'{"a": {"seed": 1}}', "zeros": bytes(2 << 20)})
    assert http.post("/v1/inspect", files={"file": ("q.zip", bomb)}).json()["code"] == "too_large"


@pytest.mark.parametrize("also", [{}, {"gone": 1}, {"loras": [{"name": "nobody has this"}], "size": "7x7"}])
def test_a_foreign_mp4_sets_no_webhook(http: TestClient, tmp_path: Path, also: dict[str, Any]) -> None:
    """Not even beside settings that are refused: a stranger's receiver would learn of the new video."""
    hook = {"webhook_url": "https://stranger.example/x", "webhook_secret": "whsec_" + "A" * 32, "keyframes": [1]}
    one = inspect(http, told_in_mp4({"prompt": "a", "seed": 1, "metadata": {"a": 1}} | hook | also, tmp_path))["data"][
        0
    ]
    assert one["fields"] == {"prompt": "a", "seed": 1}
    assert {left["name"] for left in one["left_out"]} == {*hook, "metadata", *also}


def test_an_mp4_of_a_video_that_is_here(http: TestClient, tmp_path: Path) -> None:
    """Its pictures come from the farm as files, keyframes too; once the video is deleted, it is a stranger's."""
    shades = {"input_reference": "teal", "end_image": "navy", "keyframe_0": "red"}
    files = {part: ("a.png", png(shade=shade)) for part, shade in shades.items()}
    frames = [{"at_s": 0.5, "image": "keyframe_0"}]
    data = {"prompt": "a cat", "model": "tiny", "seconds": "3", "keyframes": json.dumps(frames)}
    video = http.post("/v1/videos", data=data, files=files).json()
    facts = {"id": video["id"], "inputs": dict.fromkeys(("start", "end", "keyframe_1"), "ab" * 32)}
    mp4 = told_in_mp4(video["request"], tmp_path, **facts)
    found = inspect(http, mp4)
    one = found["data"][0]
    assert (found["video_id"], set(one["images"])) == (video["id"], set(shades))
    assert one["fields"]["keyframes"] == frames
    assert not [left for left in one["left_out"] if left["name"] in {"keyframes", "inputs.start", "inputs.end"}]
    for part, shade in shades.items():
        content = http.get(f"/v1/files/{one['images'][part]['file_id']}/content").content
        with Image.open(io.BytesIO(content)) as shown, Image.new("RGB", (1, 1), shade) as wanted:
            assert shown.getpixel((0, 0)) == wanted.getpixel((0, 0))
    assert http.post("/v1/videos?dry_run=1", json=one["fields"] | one["images"]).status_code == 200
    http.post(f"/v1/videos/{video['id']}/cancel")
    assert http.delete(f"/v1/videos/{video['id']}").status_code == 200
    found = inspect(http, mp4)
    assert (found["video_id"], found["data"][0]["images"]) == (None, {})
    assert {left["name"] for left in found["data"][0]["left_out"]} >= {"keyframes", "inputs.start", "inputs.end"}


def told_in_mp4(request: object, folder: Path, **facts: object) -> bytes:
    """An mp4 that says that this request made it."""
    encode_clip(np.zeros((1, 64, 64, 3), np.uint8), folder / "a.mp4", crf=30)
    join_clips([folder / "a.mp4"], folder / "b.mp4", metadata={"framefarm": json.dumps({"request": request, **facts})})
    return (folder / "b.mp4").read_bytes()


def test_a_queue_of_spaces_is_refused(http: TestClient) -> None:
    """Before it is unpacked: a few KB would become gigabytes. So are packings that unpack without a limit."""
    spaces = zipped({"queue.json": b'{"a": {"seed": 1}}' + b" " * (9 << 20)})
    answer = http.post("/v1/inspect", files={"file": ("q.zip", spaces)})
    assert (answer.status_code, answer.json()["code"]) == (413, "too_large")
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("queue.json", b'{"a": {"seed": 1}}')
    answer = http.post("/v1/inspect", files={"file": ("q.zip", out.getvalue())})
    assert (answer.status_code, "deflate" in answer.json()["detail"]) == (422, True)
    crowd = zipped({f"{number}": b"" for number in range(2001)})
    assert http.post("/v1/inspect", files={"file": ("q.zip", crowd)}).status_code == 413


def test_a_queue_has_at_most_50_jobs(http: TestClient) -> None:
    """The error says what to do."""
    queue = json.dumps({f"{number}": {"seed": number} for number in range(51)}).encode()
    answer = http.post("/v1/inspect", files={"file": ("q.json", queue)})
    assert (answer.status_code, "split the queue" in answer.json()["detail"]) == (422, True)


def test_a_queue_keeps_the_pictures_that_there_is_room_for(http: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """The others, and those that are damaged or too large, are named; each job keeps its settings."""
    limits = http.app.state.dependencies.settings  # type: ignore[attr-defined]
    monkeypatch.setitem(limits.__dict__, "max_pixels", 64 * 48)
    monkeypatch.setitem(limits.__dict__, "max_upload_mb", 1)
    files = {"queue.json": json.dumps({f"{number}": {"seed": number} for number in range(8)}).encode()}
    files |= {f"queue_images/{number}_input.png": png() for number in range(8)}
    files["queue_images/1_input.png"] = png()[:90]
    files["queue_images/2_input.png"] = png() + bytes(2 << 20)
    found = inspect(http, zipped(files))["data"]
    assert [one["fields"] for one in found] == [{"seed": number} for number in range(8)]
    assert [number for number, one in enumerate(found) if one["images"]] == [
        0,
        3,
        4,
    ]  # what is damaged was decoded, too
    missing = {number: left["why"] for number, one in enumerate(found) for left in one["left_out"]}
    assert set(missing) == {1, 2, 5, 6, 7}
    assert "start or end image" in missing[7]


WORDS = st.text(st.characters(), max_size=8)  # half surrogate pairs too
ANY = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | WORDS
    | st.just(10**700)
    | st.just("[1s-9" + "9" * 400 + "s: x]"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=3),
    max_leaves=6,
)
NAMES = st.sampled_from(sorted({*STUDIO, *VideoRequest.model_fields, "params", "webhook_url"})) | WORDS
TOLD = st.dictionaries(NAMES, ANY, max_size=6)
SEEDED: dict[str, Any] = {"prompt": "a cat", "seed": "17"}  #: settings that each program can have written
TOOLS = Tools(FarmSettings(model="tiny"), EnginePlanner(), EngineMedia())


def survives(data: bytes) -> bool:
    """Whether the file is read, and the answer can be sent; else it is refused with one of three errors."""
    with contextlib.suppress(InvalidRequest, TooLarge, UnsupportedImage):
        found = inspect_file(data, TOOLS)
        ids = {picture.data: "file-1" for one in found.found for picture in one.images.values()}
        json.dumps(inspection_view(found, ids), ensure_ascii=False, allow_nan=False).encode()
        return True
    return False


@given(TOLD, st.booleans())
@example(STUDIO, False)
@example(STUDIO, True)
def test_any_json_is_read_or_refused(told: dict[str, Any], nested: bool) -> None:
    """As one video, as a queue, as a zip. FramePack-Studio's own is read."""
    data = json.dumps({"a": told} if nested else told).encode()
    was_read, was_unpacked = survives(data), survives(zipped({"queue.json": data}))
    assert told != STUDIO or (was_read and was_unpacked)


@given(st.dictionaries(NAMES, WORDS, max_size=4), st.sampled_from(["model_type", "parameters"]))
@example(SEEDED, "model_type")
@example(SEEDED, "parameters")
def test_any_texts_of_a_png_are_read_or_refused(texts: dict[str, str], origin: str) -> None:
    """In either program's names. A good one is read."""
    fit = {name: text for name, text in texts.items() if name.isascii() and name.isalnum()}
    plain = {name: text.encode("latin-1", "replace").decode("latin-1") for name, text in fit.items()}
    assert survives(png({origin: "Original", **plain})) or texts != SEEDED


@pytest.fixture(scope="module")
def wholes(tmp_path_factory: pytest.TempPathFactory) -> list[bytes]:
    """A queue, a picture, an mp4 and a JSON file."""
    queue = {"queue.json": json.dumps({"a": STUDIO}).encode(), "queue_images/a_input.png": png()}
    mp4 = told_in_mp4({"prompt": "a"}, tmp_path_factory.mktemp("mp4"))
    return [zipped(queue), png(STUDIO), mp4, json.dumps(STUDIO).encode()]


def test_whole_files_are_read(wholes: list[bytes]) -> None:
    """So the tests of damage begin with files that the farm understands."""
    assert all(map(survives, wholes))


@given(st.integers(0, 3), st.floats(0, 1), st.floats(0, 0.999), st.integers(0, 255))
def test_any_damage_is_survived(wholes: list[bytes], which: int, cut: float, at: float, byte: int) -> None:
    """A file that breaks off, with another byte somewhere."""
    data = bytearray(wholes[which])
    data[int(at * len(data))] = byte
    survives(bytes(data))
    survives(bytes(data[: int(cut * len(data))]))


@settings(max_examples=20)
@given(TOLD)
@example(SEEDED)
def test_any_facts_of_an_mp4_are_read_or_refused(told: dict[str, Any]) -> None:
    """Users choose these, too. Good ones are read."""
    with tempfile.TemporaryDirectory() as folder:
        assert survives(told_in_mp4(told, Path(folder))) or told != SEEDED


def test_deep_json_is_refused() -> None:
    """Deeper than Python reads, it is refused; below that it is read or refused, whichever part gives up first."""
    for depth in (50, 400, 900, 100_000):
        lists = b'{"model_type": ' + b"[" * depth + b"]" * depth + b"}"
        objects = b'{"model_type": "F1", "x": ' + b'{"a": ' * depth + b"1" + b"}" * depth + b"}"
        for data in (lists, objects):
            was_read = survives(data)
            assert not was_read or depth < 1000
