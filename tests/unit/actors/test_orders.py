"""A worker's orders with the real engine and a real store, without Ray: from a request to the finished video."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import torch
from fastapi.testclient import TestClient
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from deploy import cli
from farm.contract import Order
from farm.errors import LeaseLost, Stopped
from farm.numeric_class import parse_class
from framepack_engine import Models, Renderer, RenderSpec, read_provenance
from framepack_engine.frames.source import metadata_of
from framepack_engine.frames.stills import border_frames
from framepack_engine.models.catalog import TINY_VERSION
from framepack_engine.models.shelf import load_models
from framepack_engine.planning.sections import final_frames, first_frames
from framepack_engine.planning.tiles import TILE_SIZES_PX
from tests.engine_worker import CAT, SMALL, Worker, made, submit
from tests.unit.conftest import Hand

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def worker(hand: Hand, tiny_models: Models) -> Worker:
    """A worker that has `tiny`."""
    return Worker(hand, Renderer(tiny_models))


@pytest.mark.parametrize("mode", ["framewise", "tiled", "whole"])
def test_each_mode_of_decoding_reaches_the_engine(http: TestClient, worker: Worker, mode: str) -> None:
    """From the HTTP field to the frames; where the request leaves the tiles open their size is in the ledger."""
    path = made(http, worker, decode=mode)
    head = worker.jobs.get(path.rpartition("/")[2], owner=None).head
    assert (head.state.decode_tile_px in TILE_SIZES_PX) == (mode == "tiled")
    assert len(http.get(f"{path}/content").content) > 1000


def test_tiles_that_were_asked_for_are_used(http: TestClient, worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tiles smaller than the picture give other frames than the automatic ones; the same size the same frames."""
    sizes = [made(http, worker, decode="tiled", decode_tile_px=px) for px in ("64", "128", "256")]
    monkeypatch.setattr(Renderer, "settled", lambda _self, spec: spec)  # as if the choice had been lost: 256
    sizes.append(made(http, worker, decode="tiled"))
    contents = [http.get(f"{path}/content?variant=thumbnail").content for path in sizes]
    assert len(set(contents)) == 3
    assert contents[2] == contents[3]
    answer = http.post("/v1/videos", data=SMALL | {"decode_tile_px": "128"}, files={"input_reference": ("c", CAT)})
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")


@pytest.mark.parametrize(("value", "code"), [(-2.0, "black_frames"), (float("nan"), "not_finite")])
def test_a_broken_decode_ends_the_video_by_its_name(
    http: TestClient, hand: Hand, tiny_cache: Path, value: float, code: str
) -> None:
    """Black or no numbers at all, three times: the video fails, says why, and no mp4 is handed out."""
    models = load_models("tiny", cache_dir=tiny_cache)
    with torch.no_grad():
        models.vae.decoder.conv_out.conv.weight.zero_()
        models.vae.decoder.conv_out.conv.bias.fill_(value)
    worker = Worker(hand, Renderer(models))
    path = submit(http, seconds="0.1")
    worker.work()
    video: dict[str, Any] = http.get(path).json()
    assert (video["status"], video["error"]["code"]) == ("failed", code)
    assert "section 0" in video["error"]["message"]
    state = worker.jobs.get(video["id"], owner=None).head.state
    assert [failure.code for failure in state.failures] == [code] * 3
    assert http.get(f"{path}/content").status_code == 409
    assert json.dumps(video)


def test_a_video_tells_how_it_was_made(
    http: TestClient, worker: Worker, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`framefarm show FILE` reads spec, seed, model, class and versions from the mp4, and asks no farm."""
    path = made(http, worker, preset="talking", metadata='{"secret": "mine"}', name="my cat")
    file = tmp_path / "cat.mp4"
    file.write_bytes(http.get(f"{path}/content").content)
    assert b"secret" not in file.read_bytes()
    assert cli.main(["show", str(file), "--json", "--url", "http://127.0.0.1:9"]) == 0
    facts = json.loads(capsys.readouterr().out)
    video = http.get(path).json()
    assert (facts["id"], facts["spec"]["seed"], facts["spec"]["prompt"]) == (video["id"], 7, "a cat")
    assert (facts["spec"]["guidance_scale"], facts["request"]["preset"]) == (8.0, "talking")
    assert facts["model"] == {"name": "tiny", "origin": "made", "revisions": {"tiny": TINY_VERSION}}
    assert parse_class(facts["numeric_class"]).threads == 1
    assert {"framepack-farm", "torch", "diffusers", "transformers", "av", "python"} <= facts["versions"].keys()
    assert facts["inputs"]["start"] == worker.jobs.get(video["id"], owner=None).job.inputs["start"].sha256
    assert metadata_of(file)["title"] == "my cat"
    assert cli.main(["show", str(file)]) == 0
    assert "spec.seed" in capsys.readouterr().out


def test_no_metadata_leaves_no_trace(
    http: TestClient, worker: Worker, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Neither prompt nor seed nor the farm's name is in such a file; the frames are the same."""
    paths = [made(http, worker, no_metadata=value) for value in ("true", "false")]
    files = [tmp_path / "without.mp4", tmp_path / "with.mp4"]
    for path, file in zip(paths, files, strict=True):
        file.write_bytes(http.get(f"{path}/content").content)
    bare = files[0].read_bytes()
    assert not [word for word in (b"a cat", b"framefarm", b"seed") if word in bare]
    assert b"a cat" in files[1].read_bytes()
    assert bare[bare.index(b"mdat") :] == files[1].read_bytes()[files[1].read_bytes().index(b"mdat") :]
    assert cli.main(["show", str(files[0])]) == 2
    assert "--no-metadata" in capsys.readouterr().err
    (tmp_path / "text.mp4").write_text("no video")
    assert cli.main(["show", str(tmp_path / "text.mp4")]) == 2


def test_the_library_writes_it_too(tiny_models: Models, photo: Path, tmp_path: Path) -> None:
    """A render without a farm carries the same facts, and leaves them out when told so."""
    spec = RenderSpec(
        kind="i2v", sections=1, height=32, width=48, seed=5, prompt="x", latent_window_size=1, num_inference_steps=1
    )
    images = {"start": Image.open(photo)}
    out = Renderer(tiny_models).render(spec, images, tmp_path / "a.mp4")
    facts = read_provenance(out)
    assert (facts["spec"]["seed"], facts["model"]["name"]) == (5, "tiny")
    out = Renderer(tiny_models).render(spec, images, tmp_path / "b.mp4", metadata=False)
    assert read_provenance(out) == {}


@pytest.mark.parametrize("model", ["tiny", "tiny-f1"])
def test_frames_are_kept_as_they_were_decoded(
    http: TestClient, hand: Hand, tiny_cache: Path, model: str, tmp_path: Path
) -> None:
    """One zip in time order: all frames, or the start image and the last of each section; the mp4 is their copy."""
    worker = Worker(hand, Renderer(load_models(model, cache_dir=tiny_cache)))
    fields = {"model": model, "seconds": "0.4", "latent_window_size": "1", "crf": "0"}  # 3 sections of 4 frames
    everything = made(http, worker, save_frames="all", **fields)
    frames = zipfile.ZipFile(io.BytesIO(http.get(f"{everything}/content?variant=frames").content))
    assert frames.namelist() == [f"{number:06}.png" for number in range(13)]
    borders = made(http, worker, save_frames="borders", **fields)
    few = zipfile.ZipFile(io.BytesIO(http.get(f"{borders}/content?variant=frames").content))
    assert few.namelist() == ["000000.png", "000004.png", "000008.png", "000012.png"]
    assert all(few.read(name) == frames.read(name) for name in few.namelist())
    (tmp_path / "out.mp4").write_bytes(http.get(f"{everything}/content").content)
    with av.open(str(tmp_path / "out.mp4")) as video:
        for frame, name in zip(video.decode(video=0), frames.namelist(), strict=True):
            kept = np.asarray(Image.open(io.BytesIO(frames.read(name))).convert("L"), dtype=float)
            assert np.abs(frame.to_image().convert("L") - kept).mean() < 3


def test_frames_that_are_not_kept_or_not_made(http: TestClient, worker: Worker) -> None:
    """Never kept is the request's fault, not made yet asks for patience; both before a byte is sent."""
    without = http.get(f"{submit(http)}/content?variant=frames")
    assert (without.status_code, without.json()["code"]) == (422, "invalid_request")
    path = submit(http, save_frames="all")
    early = http.get(f"{path}/content?variant=frames")
    assert (early.status_code, early.json()["code"]) == (409, "not_ready")


@given(st.sampled_from(["i2v", "f1"]), st.integers(1, 40), st.integers(1, 33))
def test_each_section_has_its_border(kind: Any, sections: int, window: int) -> None:
    """In any clip, the start image and every section's last frame are kept once each."""
    counts = final_frames(kind, sections, window)
    begins, total, found, covered = first_frames(kind, counts), sum(counts), list[int](), list[int]()
    for index, count in enumerate(counts):
        first = begins[index]
        covered += range(first, first + count)
        found += border_frames(first, count, total=total, window=window)
    assert sorted(covered) == list(range(total))
    assert sorted(found) == [4 * window * k for k in range(sections + 1)]


def stopped_in_section_0(worker: Worker, *, on_step: Callable[[int], None]) -> Order:
    """Let the worker encode and begin section 0, in which `on_step` stops it; the order that was stopped."""
    encode = worker.dispatcher.ask(worker.card)
    assert isinstance(encode, Order)
    worker.runner.run(encode, lambda _step: None)
    worker.dispatcher.nudge(encode.job.id)
    order = worker.dispatcher.ask(worker.card)
    assert isinstance(order, Order)
    assert str(order.key) == "section/0"
    with pytest.raises(Stopped):
        worker.runner.run(order, on_step)
    return order


def stop(step: int) -> None:
    """Stop at that step, as the dispatcher's "stop" does."""
    raise Stopped(f"stopped after step {step}")


def test_two_videos_stopped_at_the_same_attempt_are_both_given_back(http: TestClient, worker: Worker) -> None:
    """Attempts count within a video: the second video's lease ends as well, and each keeps its own step."""
    saved = []
    for seed in ("1", "2"):
        job_id = submit(http, seed=seed).rpartition("/")[2]
        order = stopped_in_section_0(worker, on_step=stop)
        assert order.job.id == job_id
        record = worker.jobs.get(job_id, owner=None)
        assert record.head.state.leases == {}
        step = worker.jobs.artifact(record, "step")
        assert step
        saved.append(worker.jobs.store.get(step.key))
        http.post(f"/v1/videos/{job_id}/pause")
    assert saved[0] != saved[1]


def test_a_stop_while_the_model_is_loaded_saves_no_other_videos_step(
    http: TestClient, hand: Hand, tiny_models: Models, worker: Worker
) -> None:
    """Before its first step an order has nothing to save, also after another video's section."""
    first = submit(http).rpartition("/")[2]
    stopped_in_section_0(worker, on_step=stop)
    http.post(f"/v1/videos/{first}/pause")
    second = submit(http, seed="8", preserve_gb="1").rpartition("/")[2]  # the worker must load the model again for it
    other = Worker(hand, Renderer(tiny_models), name="other")
    encode = other.dispatcher.ask(other.card)
    assert isinstance(encode, Order)
    assert encode.job.id == second
    other.runner.run(encode, lambda _step: None)
    other.dispatcher.nudge(encode.job.id)
    order = worker.dispatcher.ask(worker.card)
    assert isinstance(order, Order)
    worker.on_load = lambda: worker.runner.give_back(order)
    with pytest.raises(LeaseLost):
        worker.runner.run(order, lambda _step: None)
    record = worker.jobs.get(second, owner=None)
    assert record.head.state.leases == {}
    assert worker.jobs.artifact(record, "step") is None
