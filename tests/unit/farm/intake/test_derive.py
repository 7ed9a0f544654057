"""Videos of every mode, from the HTTP field to the mp4: a real store, the real dispatcher and engine, no Ray."""

from __future__ import annotations

import hashlib
import io
import json
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from fastapi.testclient import TestClient
from numpy.typing import NDArray
from PIL import Image

from actors.worker.orders import OrderRunner
from actors.worker.spec import spec_of
from deploy import cli
from farm.contract import JobId, Order
from farm.jobs import Jobs, Record
from farm.ledger.states import complete, inherited, order_share
from farm.logs import facts_of
from farm.store import FolderStore
from framepack_engine import Conditioning, Models, Renderer, load_models
from framepack_engine.frames.video import encode_clip
from tests.unit.conftest import Hand

pytestmark = pytest.mark.usefixtures("one_thread")

SMALL = {"seed": "7", "size": "64x64", "latent_window_size": "1", "num_inference_steps": "1"}
FOUR = SMALL | {"seconds": "0.53"}  #: four sections of one latent frame, four pixel frames


def png(colour: str = "teal") -> bytes:
    """A small picture."""
    data = io.BytesIO()
    Image.new("RGB", (64, 64), colour).save(data, "PNG")
    return data.getvalue()


class Worker:
    """A worker in this process with both tiny models."""

    def __init__(self, hand: Hand, models: dict[str, Models]) -> None:
        """Works for the dispatcher of `hand`."""
        renderers = {name: Renderer(parts) for name, parts in models.items()}
        numeric_class = renderers["tiny"].numeric_class
        self.card = hand.card.model_copy(update={"id": "w", "numeric_class": numeric_class})
        self.dispatcher, self.jobs = hand.dispatcher, hand.jobs
        self.runner = OrderRunner(hand.jobs, self.card, load=lambda model, _: renderers[model])
        self.orders: list[str] = []

    def work(self, *, stop_before: str = "") -> None:
        """Do all orders there are; stop before one of that key."""
        while isinstance(order := self.dispatcher.ask(self.card), Order):
            if str(order.key) == stop_before:
                return
            self.orders.append(str(order.key))
            self.runner.run(order, lambda _step: None)
            self.dispatcher.nudge(order.job.id)


@pytest.fixture(scope="module")
def models(tiny_models: Models, tiny_cache: Path) -> dict[str, Models]:
    """Both tiny models."""
    return {"tiny": tiny_models, "tiny-f1": load_models("tiny-f1", cache_dir=tiny_cache)}


@pytest.fixture
def worker(hand: Hand, models: dict[str, Models]) -> Worker:
    """A worker."""
    return Worker(hand, models)


def ask(http: TestClient, path: str = "/v1/videos", /, *, files: Any = None, **fields: str) -> dict[str, Any]:
    """Ask for a video; the farm must accept it."""
    answer = http.post(path, data={"prompt": "a cat", **fields}, files=files)
    assert answer.status_code == 200, answer.text
    video: dict[str, Any] = answer.json()
    return video


def made(http: TestClient, worker: Worker, video: dict[str, Any]) -> list[NDArray[np.uint8]]:
    """Return the frames of a video after the worker has done all orders."""
    worker.work()
    state = http.get(f"/v1/videos/{video['id']}").json()
    assert state["status"] == "completed", state["error"]
    with av.open(io.BytesIO(http.get(f"/v1/videos/{video['id']}/content").content), mode="r") as container:
        return [np.asarray(frame.to_ndarray(format="rgb24"), np.uint8) for frame in container.decode(video=0)]


def record_of(jobs: Jobs, video: dict[str, Any]) -> Record:
    """Return the farm's facts about a video."""
    return jobs.get(video["id"], owner=None)


def latents(jobs: Jobs, video: dict[str, Any], section: int) -> bytes:
    """The bytes of a section's artifact."""
    artifact = jobs.artifact(record_of(jobs, video), f"section/{section}")
    assert artifact
    return jobs.store.get(artifact.key)


def refused(http: TestClient, path: str, /, *, files: Any = None, **fields: str) -> tuple[int, str | None]:
    """Return status and field of a rejection; nothing may be stored."""
    before = len(http.get("/v1/videos").json()["data"])
    answer = http.post(path, data={"prompt": "a cat", **fields}, files=files)
    assert len(http.get("/v1/videos").json()["data"]) == before
    return answer.status_code, answer.json()["error"]["param"]


START = {"input_reference": ("a.png", png())}


# ---- conditioning


def test_timed_prompts_reach_their_sections(http: TestClient, worker: Worker, jobs: Jobs) -> None:
    """The engine gets `prompts` in order, with a fade; the last one acts in section 0 of an i2v video."""
    prompts = json.dumps([{"at_s": 0.4, "text": "a bird"}, {"at_s": 0.13, "text": "a dog"}])
    video = ask(http, files=START, prompts=prompts, prompt_fade_sections="1", **FOUR)
    assert len(made(http, worker, video)) == 17
    job = record_of(jobs, video).job
    spec = spec_of(job.request, job.plan)
    assert [prompt.text for prompt in spec.prompts] == ["a dog", "a bird"]
    assert [[share.number for share in spec.prompt_shares(k)] for k in range(4)] == [[2], [1], [0, 1], [0]]
    plain = ask(http, files=START, **FOUR)
    made(http, worker, plain)
    assert latents(jobs, plain, 0) != latents(jobs, video, 0)


def test_end_image_and_keyframes_reach_the_engine(http: TestClient, worker: Worker, jobs: Jobs) -> None:
    """From the parts of a form to the latents in the conditioning: the end, and a keyframe in its section."""
    files = START | {"end_image": ("b.png", png("red")), "keyframe_0": ("c.png", png("blue"))}
    video = ask(http, files=files, keyframes='[{"at_s": 0.15, "image": "keyframe_0"}]', **FOUR)
    made(http, worker, video)
    artifact = jobs.artifact(record_of(jobs, video), "conditioning")
    assert artifact
    conditioning = Conditioning.from_bytes(jobs.store.get(artifact.key))
    assert conditioning.end_latent is not None
    assert list(conditioning.keyframes) == [2]  # 0.15 s is in the second of four sections of 0.13 s


def test_a_loop_ends_with_its_start(http: TestClient, worker: Worker, jobs: Jobs) -> None:
    """`loop` uses the start image as end image; the farm rejects it with an end image, or for F1."""
    video = ask(http, files=START, loop="true", **FOUR)
    same = ask(http, files=START | {"end_image": ("a.png", png())}, **FOUR)
    assert made(http, worker, video)
    assert latents(jobs, video, 3) == latents(jobs, same, 3)
    assert refused(http, "/v1/videos", files=START | {"end_image": png()}, loop="1")[1] == "end_image"
    assert refused(http, "/v1/videos", model="tiny-f1", loop="1")[1] == "loop"


@pytest.mark.parametrize("start", ["grey", "noise"])
def test_text_alone(http: TestClient, worker: Worker, start: str) -> None:
    """An F1 model needs no image; without a size, the video is almost square."""
    video = ask(http, model="tiny-f1", start=start, **FOUR)
    frames = made(http, worker, video)
    assert len(frames) == 17
    settled = http.post("/v1/videos?dry_run=1", json={"prompt": "a", "model": "framepack-f1"}).json()
    assert settled["size"] == "608x640"


@pytest.mark.parametrize(
    ("prompts", "word"),
    [('[{"at_s": 9, "text": "b"}]', "outside"), ('[{"at_s": 1.2, "text": "b"}, {"at_s": 1.3, "text": "c"}]', "two")],
)
def test_timed_prompts_that_cannot_be(http: TestClient, prompts: str, word: str) -> None:
    """The farm rejects a keyframe behind the end and two in one section, and names the field."""
    answer = http.post("/v1/videos", data={"prompt": "a", "prompts": prompts}, files=START)
    assert (answer.status_code, answer.json()["error"]["param"]) == (422, "prompts")
    assert word in answer.json()["detail"]


# ---- remix


def test_a_remix_shares_what_is_before_its_section(http: TestClient, worker: Worker, jobs: Jobs) -> None:
    """The remix has the sections and clips before `from_section` bit for bit; workers make only the others."""
    old = ask(http, files=START, **FOUR)
    made(http, worker, old)
    new = ask(http, f"/v1/videos/{old['id']}/remix", prompt="a dog", from_section="2")
    assert (new["remixed_from_video_id"], new["sections_done"], new["seed"]) == (old["id"], 2, 7)
    assert new["request"]["prompt"] == "a dog"
    worker.orders.clear()
    frames = made(http, worker, new)
    assert worker.orders == ["encode", "section/2", "decode/2", "section/3", "decode/3", "finish"]
    assert len(frames) == 17
    assert [latents(jobs, old, k) == latents(jobs, new, k) for k in range(4)] == [True, True, False, False]
    assert http.get(f"/v1/videos/{old['id']}").json()["remixed_from_video_id"] is None


def test_a_remix_with_nothing_changed_is_the_same_video(http: TestClient, worker: Worker, jobs: Jobs) -> None:
    """A remix with the old prompt, from section 0, 1 or 3, gives the same latents and frames."""
    files = START | {"end_image": ("b.png", png("red")), "keyframe_0": ("c.png", png("blue"))}
    old = ask(http, files=files, keyframes='[{"at_s": 0.15, "image": "keyframe_0"}]', **FOUR)
    wanted = made(http, worker, old)
    for from_section in ("0", "1", "3"):
        new = ask(http, f"/v1/videos/{old['id']}/remix", prompt="a cat", from_section=from_section)
        assert all(np.array_equal(a, b) for a, b in zip(made(http, worker, new), wanted, strict=True))
        assert latents(jobs, new, 3) == latents(jobs, old, 3)


def test_other_clips_are_made_where_they_would_differ(http: TestClient, worker: Worker) -> None:
    """With another crf, the remix shares the latents and encodes all clips again."""
    old = ask(http, files=START, **FOUR)
    made(http, worker, old)
    new = ask(http, f"/v1/videos/{old['id']}/remix", from_section="3", crf="30")
    worker.orders.clear()
    made(http, worker, new)
    assert sorted(worker.orders) == ["decode/1", "decode/2", "decode/3", "encode", "finish", "section/3"]


def test_a_remix_outlives_the_video_that_it_comes_from(http: TestClient, worker: Worker) -> None:
    """The farm copies what it shares, so the other video may be deleted before the remix is rendered."""
    old = ask(http, files=START, **FOUR)
    made(http, worker, old)
    new = ask(http, f"/v1/videos/{old['id']}/remix", from_section="2")
    assert http.delete(f"/v1/videos/{old['id']}").status_code == 200
    assert len(made(http, worker, new)) == 17


def test_a_remix_of_a_video_that_is_being_made(http: TestClient, worker: Worker) -> None:
    """A remix may share committed sections; more gives not_ready."""
    old = ask(http, files=START, **FOUR)
    worker.work(stop_before="section/2")
    path = f"/v1/videos/{old['id']}/remix"
    assert refused(http, path, from_section="3")[0] == 409
    assert ask(http, path, from_section="2")["sections_done"] == 2


def test_from_0_anything_may_change(http: TestClient, worker: Worker) -> None:
    """A full remix may change seed, size, window, length and kind of model; it drops what the model cannot use."""
    files = START | {"end_image": ("b.png", png("red")), "keyframe_0": ("c.png", png("blue"))}
    old = ask(http, files=files, keyframes='[{"at_s": 0.15, "image": "keyframe_0"}]', **FOUR)
    made(http, worker, old)
    changes = {"seed": "8", "size": "96x64", "latent_window_size": "2", "seconds": "0.53", "model": "tiny-f1"}
    new = ask(http, f"/v1/videos/{old['id']}/remix", **changes)
    assert (new["size"], new["sections_total"], new["seed"]) == ("96x64", 2, 8)
    assert len(made(http, worker, new)) == 17


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"seed": "8"}, "seed"),
        ({"size": "96x64"}, "size"),
        ({"latent_window_size": "2"}, "latent_window_size"),
        ({"model": "tiny-f1"}, "model"),
        ({"seconds": "1"}, "seconds"),
        ({"from_section": "4"}, "from_section"),
        ({"from_section": "-1"}, "from_section"),
        ({"from_section": "²"}, "from_section"),
        ({"loop": "maybe"}, "loop"),
    ],
)
def test_what_cannot_be_shared_is_named(http: TestClient, worker: Worker, changes: dict[str, str], named: str) -> None:
    """A change that affects the shared sections needs from_section=0."""
    old = ask(http, files=START, **FOUR)
    made(http, worker, old)
    assert refused(http, f"/v1/videos/{old['id']}/remix", **{"from_section": "2", **changes}) == (422, named)


def test_remixing_is_idempotent(http: TestClient, worker: Worker) -> None:
    """The same key gives the same video, another section a conflict, and another owner's or no video 404."""
    old, key = ask(http, files=START, **FOUR), {"Idempotency-Key": "k"}
    made(http, worker, old)
    path = f"/v1/videos/{old['id']}/remix"
    first, again = (http.post(path, data={"prompt": "b", "from_section": "1"}, headers=key).json() for _ in range(2))
    assert first["id"] == again["id"]
    assert http.post(path, data={"prompt": "b", "from_section": "2"}, headers=key).status_code == 409
    assert http.post("/v1/videos/video_0/remix", data={"prompt": "b"}).status_code == 404


# ---- extension


def test_a_video_goes_on_where_it_ended(http: TestClient, worker: Worker, jobs: Jobs) -> None:
    """The old frames precede the new ones bit for bit; the F1 model of the same size extends an i2v video."""
    old = ask(http, files=START, **FOUR)
    before = made(http, worker, old)
    new = ask(http, "/v1/videos/extensions", **{"video": json.dumps({"id": old["id"]}), **SMALL, "seconds": "0.27"})
    assert (new["extends_video_id"], new["model"], new["frames"], new["size"]) == (old["id"], "tiny-f1", 25, "64x64")
    http.delete(f"/v1/videos/{old['id']}")
    frames = made(http, worker, new)
    assert len(frames) == 25
    assert all(np.array_equal(a, b) for a, b in zip(frames, before, strict=False))
    artifact = jobs.artifact(record_of(jobs, new), "conditioning")
    assert artifact
    conditioning = Conditioning.from_bytes(jobs.store.get(artifact.key))
    assert conditioning.history is not None
    assert conditioning.history.shape[2] == 5  # 17 frames are 1 + 4 latent ones
    more = ask(http, "/v1/videos/extensions", **{"video[id]": new["id"], **SMALL, "seconds": "0.13"})
    assert len(made(http, worker, more)) == 29
    remix = ask(http, f"/v1/videos/{more['id']}/remix", prompt="a dog", seed="9")
    assert len(made(http, worker, remix)) == 29


def test_a_file_is_extended(http: TestClient, worker: Worker, tmp_path: Path) -> None:
    """The farm scales an uploaded mp4 to the nearest bucket."""
    encode_clip(np.zeros((30, 128, 128, 3), np.uint8) + 90, tmp_path / "a.mp4", crf=16)
    file = {"video": ("a.mp4", (tmp_path / "a.mp4").read_bytes())}
    fields = {"latent_window_size": "1", "num_inference_steps": "1", "seconds": "0.27", "resolution": "64"}
    new = ask(http, "/v1/videos/extensions", files=file, **fields)
    assert (new["model"], new["extends_video_id"], new["frames"]) == ("tiny-f1", None, 38)
    frames = made(http, worker, new)
    assert len(frames) == 38
    assert frames[0].shape == (64, 64, 3)


def test_extensions_that_cannot_be(http: TestClient, worker: Worker, tmp_path: Path) -> None:
    """The error names the field for no video, two, an unreadable or unfinished one, an i2v model, and a start image."""
    old, path = ask(http, files=START, **FOUR), "/v1/videos/extensions"
    named = {"video": json.dumps({"id": old["id"]})}
    assert refused(http, path) == (422, "video")
    assert refused(http, path, files={"video": b"no video"}) == (415, "video")
    assert refused(http, path, files={"video": png()}) == (415, "video")
    assert refused(http, path, video="old") == (422, "video")
    assert refused(http, path, **named)[0] == 409
    made(http, worker, old)
    assert refused(http, path, files={"video": b"x"}, **named) == (422, "video")
    assert refused(http, path, **named, model="tiny") == (422, "model")
    assert refused(http, path, files=START, **named) == (422, "input_reference")
    assert http.post("/v1/videos", data={"prompt": "a"}, files={"video": b"x"}).status_code == 422
    encode_clip(np.zeros((5, 64, 64, 3), np.uint8), tmp_path / "a.mp4", crf=16)
    short = ask(http, path, files={"video": (tmp_path / "a.mp4").read_bytes()}, **SMALL, seconds="0.13")
    assert short["frames"] == 9


# ---- embeddings


def stored(jobs: Jobs) -> list[str]:
    """The keys of the stored embeddings."""
    return [key for key in jobs.store.list("embeddings/") if key.endswith(".safetensors")]


def test_embeddings_are_shared_and_go_with_their_last_video(
    http: TestClient, worker: Worker, jobs: Jobs, caplog: pytest.LogCaptureFixture
) -> None:
    """The second video reuses prompt and picture; they stay as long as one of the videos, and then go."""
    caplog.set_level("INFO", "actors.worker.orders")
    one, two = (ask(http, files=START, **SMALL, seconds="0.13") for _ in range(2))
    made(http, worker, one)
    made(http, worker, two)
    encodes = [facts for facts in map(facts_of, caplog.records) if facts["action"] == "encode"]
    assert [(facts["embeddings_found"], facts["embeddings_made"]) for facts in encodes] == [(0, 2), (2, 0)]
    assert len(stored(jobs)) == 2
    assert latents(jobs, one, 0) == latents(jobs, two, 0)
    http.delete(f"/v1/videos/{one['id']}")
    assert len(stored(jobs)) == 2
    http.delete(f"/v1/videos/{two['id']}")
    assert jobs.store.list("embeddings/") == []


# ---- images of every kind


def saved(image: Image.Image, form: str, **options: Any) -> bytes:
    """`image` as a file."""
    data = io.BytesIO()
    image.save(data, form, **options)
    return data.getvalue()


RED, GREY16 = Image.new("RGB", (40, 60), (200, 30, 30)), Image.fromarray(np.full((60, 40), 0x8040, np.uint16))
TURNED = Image.Exif()
TURNED[0x0112] = 6


@pytest.mark.parametrize(
    ("data", "size", "colour"),
    [
        (saved(RED.rotate(90, expand=True), "JPEG", exif=TURNED, quality=95), (40, 60), (200, 30, 30)),
        (saved(RED.convert("CMYK"), "JPEG", quality=95), (40, 60), (200, 30, 30)),
        (saved(Image.new("RGBA", (40, 60), (0, 0, 0, 0)), "PNG"), (40, 60), (255, 255, 255)),
        (saved(Image.new("LA", (40, 60), (9, 0)), "PNG"), (40, 60), (255, 255, 255)),
        (saved(GREY16, "PNG"), (40, 60), (128, 128, 128)),
        (saved(RED.quantize(4), "PNG"), (40, 60), (200, 30, 30)),
        (saved(RED, "GIF", save_all=True, append_images=[Image.new("RGB", (40, 60))]), (40, 60), (200, 30, 30)),
        (saved(RED, "WEBP", save_all=True, append_images=[Image.new("RGB", (40, 60))], quality=95), (40, 60), None),
        (saved(RED, "PNG", save_all=True, append_images=[Image.new("RGB", (40, 60))]), (40, 60), (200, 30, 30)),
        (saved(RED.convert("1"), "PNG"), (40, 60), None),
        (saved(RED, "BMP"), (40, 60), (200, 30, 30)),
    ],
    ids=["exif", "cmyk", "alpha", "grey-alpha", "16-bit", "palette", "gif", "webp", "apng", "1-bit", "bmp"],
)
def test_every_kind_of_image_becomes_upright_rgb(
    http: TestClient, jobs: Jobs, data: bytes, size: tuple[int, int], colour: tuple[int, int, int] | None
) -> None:
    """The farm stores one upright 8-bit RGB picture: turned, over white, from 16 bits, the first of an animation."""
    video = ask(http, files={"input_reference": ("a", data)})
    stored_image = Image.open(io.BytesIO(jobs.store.get(record_of(jobs, video).job.inputs["start"].key)))
    assert (stored_image.mode, stored_image.size, stored_image.format) == ("RGB", size, "PNG")
    if colour:
        shown: Any = stored_image.getpixel((20, 30))
        assert max(abs(a - b) for a, b in zip(shown, colour, strict=True)) < 12


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (saved(RED, "TIFF"), "TIFF"),
        (saved(Image.new("F", (40, 60)), "TIFF"), "TIFF"),
        (bytes(4) + b"ftypheic" + bytes(50), "HEIC"),
        (b"8BPS" + bytes(50), "Photoshop"),
        (b"%PDF-1.7", "PDF"),
        (b'<?xml version="1.0"?>\n<svg xmlns="x"/>', "SVG"),
        (bytes(4) + b"ftypisom" + bytes(50), "mp4"),
        (saved(RED, "ICO"), "icon"),
        (saved(RED, "PPM"), "not a readable image"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_formats_that_are_not_taken_are_named(http: TestClient, data: bytes, name: str) -> None:
    """The answer is 415, and the message names the found format and the accepted ones."""
    answer = http.post("/v1/videos", data={"prompt": "a"}, files={"input_reference": ("a", data)})
    assert (answer.status_code, answer.json()["code"]) == (415, "unsupported_image")
    assert name in answer.json()["detail"]
    assert "JPEG, PNG" in answer.json()["detail"]


def test_a_shared_section_that_is_damaged_is_not_taken(http: TestClient, worker: Worker, store: FolderStore) -> None:
    """The farm checks the sha256 while it copies, and accepts nothing."""
    old = ask(http, files=START, **FOUR)
    made(http, worker, old)
    artifact = worker.jobs.artifact(worker.jobs.get(JobId(old["id"]), owner=None), "section/0")
    assert artifact
    path = next(path for path in store.root.rglob("*") if path.name == Path(artifact.key).name)
    path.chmod(0o644)
    path.write_bytes(b"x" * artifact.bytes)
    assert hashlib.sha256(path.read_bytes()).hexdigest() != artifact.sha256
    assert http.post(f"/v1/videos/{old['id']}/remix", data={"prompt": "b", "from_section": "1"}).status_code == 409


# ---- the command line


def test_remix_and_extend_from_the_command_line(
    http: TestClient, worker: Worker, farm_url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Both commands print only the new video's id; every field is a flag, and they upload files."""
    assert farm_url
    old = ask(http, files=START, **FOUR)
    made(http, worker, old)
    assert cli.main(["remix", old["id"], "--prompt", "a dog", "--from-section", "2", "--crf", "20"]) == 0
    remix = http.get(f"/v1/videos/{capsys.readouterr().out.strip()}").json()
    assert (remix["remixed_from_video_id"], remix["sections_done"], remix["request"]["crf"]) == (old["id"], 2, 20)
    small = ["--seed", "7", "--latent-window-size", "1", "--num-inference-steps", "1", "--seconds", "0.13"]
    assert cli.main(["extend", old["id"], "--prompt", "on", *small]) == 0
    longer = http.get(f"/v1/videos/{capsys.readouterr().out.strip()}").json()
    assert (longer["extends_video_id"], longer["frames"]) == (old["id"], 21)
    encode_clip(np.zeros((5, 64, 64, 3), np.uint8), tmp_path / "a.mp4", crf=16)
    assert cli.main(["extend", str(tmp_path / "a.mp4"), "--prompt", "on", "--size", "64x64", *small, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["frames"] == 9
    assert cli.main(["extend", f"video_{0:032}", "--prompt", "on"]) == 2
    prompts = json.dumps([{"at_s": 0.2, "text": "a dog"}])
    assert cli.main(["submit", "--model", "tiny-f1", "--prompt", "a", "--prompts", prompts, *small]) == 2
    assert "prompts" in capsys.readouterr().err
    assert cli.main(["submit", "--model", "tiny-f1", "--prompt", "a", "--start", "noise", *small]) == 0


def test_openapi_describes_them(http: TestClient) -> None:
    """OpenAPI describes the files and fields of remix and extension."""
    paths = http.get("/openapi.json").json()["paths"]
    body = paths["/v1/videos/{video_id}/remix"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert {"prompt", "from_section", "input_reference"} <= set(body["properties"])
    form = paths["/v1/videos/extensions"]["post"]["requestBody"]["content"]["multipart/form-data"]["schema"]
    assert form["properties"]["video"]["format"] == "binary"


def test_a_remix_is_not_estimated_by_what_it_shares(http: TestClient, worker: Worker, jobs: Jobs) -> None:
    """The estimate counts only work that is left; shared sections cost nothing."""
    old = ask(http, files=START, **FOUR)
    made(http, worker, old)
    new = ask(http, f"/v1/videos/{old['id']}/remix", from_section="2")
    worker.work(stop_before="decode/2")
    state = record_of(jobs, new).head.state
    plan = record_of(jobs, new).job.plan
    live = worker.dispatcher.live(JobId(new["id"]))
    assert live
    assert live.eta_s is not None
    share = complete(plan, state)
    assert 0 < inherited(plan, state) < share < 1
    left = 1 - share - order_share(plan, "decode/2")  # the decode that runs may be nearly over
    assert live.eta_s >= state.gpu_seconds * left / (share - inherited(plan, state))
