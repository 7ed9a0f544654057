"""The bench of the pocket model tells the truth: it finds motions where they are, and a noisy model fails."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageSequence
from torch import Tensor

from framepack_engine.errors import ModelUnavailable
from lab.training.data.clips import ClipMaker
from lab.training.data.motions import MEASURED
from lab.training.evaluate import moving_sheet as moving_sheet_module
from lab.training.evaluate import report as bench_report
from lab.training.evaluate.contact_sheet import contact_sheet
from lab.training.evaluate.evaluation import Bench, panned, psnr
from lab.training.evaluate.motion_meter import measured_motion
from lab.training.evaluate.moving_sheet import moving_sheet
from lab.training.evaluate.report import Settings, f1_beside, run_bench


def frames_of(kind: str, *, number: int = 4, frames: int = 13) -> tuple[Tensor, float]:
    """A drawn clip of this motion, (T, H, W, 3) uint8, and its speed; nothing in it gets brighter than white."""
    clip = ClipMaker(seed=11, photo_share=0).clip(number, height=48, width=64, frames=frames, motion=kind)
    return ((clip.frames + 1) * 127.5).to(torch.uint8).permute(1, 2, 3, 0), clip.motion.speed


@pytest.mark.parametrize("kind", MEASURED)
def test_a_motion_is_found_with_its_speed(kind: str) -> None:
    """The meter names the motion that made a clip, and its rate is within a tenth of the true one."""
    frames, speed = frames_of(kind)
    moved = measured_motion(frames)
    assert moved.name == kind
    rates = (moved.x, moved.y, moved.growth, moved.turn, moved.gain)
    assert max(abs(rate) for rate in rates) == pytest.approx(speed, rel=0.1)


def test_what_does_not_move_is_still() -> None:
    """A still clip is named so, and one that runs backwards is the opposite motion."""
    assert measured_motion(frames_of("still")[0]).name == "still"
    assert measured_motion(frames_of("zoom_in")[0].flip(0)).name == "zoom_out"


def test_a_moving_thing_in_front_is_not_the_picture_s_motion() -> None:
    """Most of the picture counts: a square that crosses a zooming scene changes nothing."""
    frames = frames_of("zoom_in")[0].clone()
    for number, frame in enumerate(frames):
        frame[10:20, 2 + 3 * number : 12 + 3 * number] = torch.tensor([255, 0, 255], dtype=torch.uint8)
    assert measured_motion(frames).name == "zoom_in"


def test_psnr_is_the_textbook_s() -> None:
    """One step of 255 everywhere is 48.13 dB; equal pictures are 99."""
    one = torch.full((8, 8, 3), 100, dtype=torch.uint8)
    assert psnr(one, one) == 99
    assert psnr(one, one + 1) == pytest.approx(48.13, abs=0.01)


def test_a_panned_picture_moves_and_keeps_its_size() -> None:
    """The clip that the autoencoder is tried on pans over the photo, to the right."""
    picture = Image.fromarray(frames_of("still")[0][0].numpy())
    clip = panned(picture, frames=9)
    assert clip.shape == (1, 3, 9, 48, 64)
    frames = ((clip[0] + 1) * 127.5).to(torch.uint8).permute(1, 2, 3, 0)
    assert measured_motion(frames).name == "pan_right"


def test_a_bench_asks_for_what_it_was_told_to(photo: Path, tmp_path: Path) -> None:
    """Steps, window, guidance and the photo's own shape are in every video's spec."""
    bench = Bench(photos={"cat": photo}, resolution=128, out=tmp_path, steps=3, window=2, true_cfg_scale=2.5)
    spec = bench.spec("f1", bench.picture("cat"), "a cat", sections=4)
    assert (spec.num_inference_steps, spec.latent_window_size, spec.true_cfg_scale, spec.sections) == (3, 2, 2.5, 4)
    assert (spec.height, spec.width) == (96, 160)


def test_a_sheet_shows_every_video(tmp_path: Path) -> None:
    """A row for each, as many pictures as asked for, in the order of time."""
    frames = torch.stack([torch.full((32, 48, 3), level, dtype=torch.uint8) for level in (0, 100, 200)])
    contact_sheet(tmp_path / "sheet.png", [("one", frames), ("two", frames[:1])], columns=3)
    with Image.open(tmp_path / "sheet.png") as image:
        pixels = np.asarray(image)
    assert pixels.shape == (2 * (96 + 16), 3 * (144 + 2), 3)
    assert [int(pixels[60, 70 + 146 * column, 0]) for column in range(3)] == [0, 100, 200]


def test_a_moving_sheet_shows_videos_side_by_side(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every second frame, a row for each prompt, videos of any sizes; as small as asked for, at a lower quality."""
    levels = torch.arange(8, dtype=torch.uint8) * 30
    flat = levels.view(-1, 1, 1, 1).expand(-1, 32, 48, 3)
    noise = torch.randint(0, 256, (6, 64, 64, 3), generator=torch.Generator().manual_seed(0)).to(torch.uint8)
    moving_sheet(tmp_path / "one.webp", [("one", [flat, noise]), ("two", [flat])])
    with Image.open(tmp_path / "one.webp") as image:
        assert (image.info["loop"], image.size) == (0, (192 + 128 + 2 * 2, 2 * (128 + 16)))
        seen = [int(np.asarray(frame.convert("RGB"))[80, 96, 0]) for frame in ImageSequence.Iterator(image)]
        assert image.info["duration"] == 67
    assert seen == pytest.approx([0, 60, 120], abs=4)
    large = (tmp_path / "one.webp").stat().st_size
    monkeypatch.setattr(moving_sheet_module, "LARGEST_BYTES", large - 1)
    moving_sheet(tmp_path / "one.webp", [("one", [flat, noise]), ("two", [flat])])
    assert (tmp_path / "one.webp").stat().st_size < large


def test_a_model_of_noise_is_told_from_a_good_one(photo: Path, tiny_cache: Path, tmp_path: Path) -> None:
    """The whole bench on `tiny`, whose weights are random: it ends, writes its files, and has no praise for it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FARM_CACHE", str(tiny_cache))
        report = run_bench(
            Settings(
                model="tiny", photos={"cat": photo}, out=tmp_path, steps=1, window=1, resolution=64,
                drift_sections=2, motions=("pan_left", "darken"),
            ),
            parts=("vae", "motion", "end", "drift"),
            say=lambda _line: None,
        )  # fmt: skip
    assert report == json.loads((tmp_path / "report.json").read_text())
    assert report["summary"]["psnr_picture"] < 20
    assert report["summary"]["psnr_first"] < 20
    assert [(row["kind"], row["asked"]) for row in report["tables"]["motion"]] == [
        ("i2v", "pan_left"),
        ("i2v", "darken"),
        ("f1", "pan_left"),
        ("f1", "darken"),
    ]
    assert [(row["kind"], row["section"]) for row in report["tables"]["drift"]] == [
        ("i2v", 1),
        ("i2v", 2),
        ("f1", 1),
        ("f1", 2),
    ]
    clips = {path.name for path in tmp_path.glob("*.mp4")}
    assert clips == {
        "cat-pan_left-i2v.mp4",
        "cat-darken-i2v.mp4",
        "cat-pan_left-f1.mp4",
        "cat-darken-f1.mp4",
        "cat-end.mp4",
        "cat-drift-i2v.mp4",
        "cat-drift-f1.mp4",
    }
    summary, drift = report["summary"], report["tables"]["drift"]
    assert (summary["resolution"], summary["device"]) == (64, "cuda" if torch.cuda.is_available() else "cpu")
    assert summary["drift_f1_worst"] == min(row["psnr_to_start"] for row in drift[2:])
    with Image.open(tmp_path / "sheet.png") as image:  # autoencoder, two motions of either kind, end, two of drift
        assert image.size[1] == 8 * (96 + 16)
    with Image.open(tmp_path / "moving.webp") as image:
        assert image.size[1] == 4 * (128 + 16)


def test_without_an_f1_model_there_is_no_drift(photo: Path, tiny_cache: Path, tmp_path: Path) -> None:
    """It is said and left out, and the report is written; drift that was asked for by name fails at once."""
    said = list[str]()
    settings = Settings(
        model="tiny", photos={"cat": photo}, out=tmp_path / "out", steps=1, window=1, resolution=64, motions=("darken",)
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FARM_CACHE", str(tiny_cache))
        patch.setattr(bench_report, "f1_beside", lambda _model: str(tmp_path / "none"))
        with pytest.raises(ModelUnavailable):
            run_bench(settings, parts=("motion", "drift"), say=said.append)
        assert not settings.out.exists()
        run_bench(settings, parts=None, say=said.append)
    assert any(line.startswith("without F1 and drift: ") for line in said)
    assert set(json.loads((settings.out / "report.json").read_text())["tables"]) == {"vae", "motion", "end"}


def test_where_the_f1_model_is() -> None:
    """By name in the catalogue; a folder holds both."""
    assert f1_beside("tiny") == "tiny-f1"
    assert f1_beside("/data/run/model") == "/data/run/model"
