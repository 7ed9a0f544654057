"""`framefarm train` and `bench pocket`: what they make, print and refuse; a stop from outside is one that saves."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from deploy.cli import main
from deploy.commands.train import _bars
from framepack_engine.models.shelf import Models, load_models
from framepack_engine.models.tiny import ensure_tiny
from lab.training.loop import StepReport, newest_checkpoint
from lab.training.lora.clips import keep_clips
from lab.training.lora.stage import LoraNumbers, LoraStage
from lab.training.pocket_run import precision_of
from lab.training.recipe import StageNumbers
from lab.training.stages.text import TextStage
from tests.small_recipe import SMALLEST
from tests.unit.lab.training.test_training_lora import write_video

Out = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def _signals() -> Iterator[None]:
    """Handlers as they were, afterwards."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def test_sigterm_saves_and_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the middle of a step, as a spot machine's notice may come: exit 130, and the steps before it are kept."""
    seen: list[int] = []
    true_loss = TextStage.loss

    def loss(stage: TextStage, model: object, step: int, rank: int, world: int) -> object:
        seen.append(step)
        if len(seen) == 3:
            os.kill(os.getpid(), signal.SIGTERM)
        return true_loss(stage, model, step, rank, world)  # type: ignore[arg-type]

    monkeypatch.setattr(TextStage, "loss", loss)
    command = ["train", "pocket", "--stage", "text", "--size", "128", "--out", str(tmp_path)]
    assert main(command) == 130
    newest = newest_checkpoint(tmp_path / "text")
    assert newest is not None
    assert newest.name == "step-0000002"
    assert not (tmp_path / "model").exists()
    assert main([*command, "--resume", "--minutes", "0"]) == 0
    assert (tmp_path / "model/hunyuanvideo-community/HunyuanVideo/text_encoder").is_dir()
    assert main(command) == 2  # without --resume a folder in use is refused


def test_all_stages_run_in_one_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The transformer's in bfloat16 after others that are not, as on a CPU with units for it; what it leaves loads."""
    monkeypatch.setattr("lab.training.pocket_run.recipe_of", lambda _: SMALLEST)
    in_half = {"dit": "bf16"}
    monkeypatch.setattr("lab.training.pocket_run.precision_of", lambda stage, *_, **__: in_half.get(stage, "no"))
    assert main(["train", "pocket", "--steps", "1", "--out", str(tmp_path)]) == 0
    assert load_models(str(tmp_path / "model"), kind="f1").transformer is not None


@pytest.mark.long  # a stop of one process is above
def test_two_processes_stop_at_one_step(tmp_path: Path) -> None:
    """Each has a clock of its own: when the time is up for one, both end, with one checkpoint that goes on."""
    command = [
        *(sys.executable, "-W", "ignore", "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"),
        *("-m", "deploy.cli", "train", "pocket", "--stage", "text", "--size", "128", "--out", str(tmp_path)),
    ]
    run = partial(
        subprocess.run, check=True, timeout=140, env=os.environ | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    )
    run([*command, "--steps", "1"])
    run([*command, "--minutes", "0.02", "--resume"])  # on a busy machine no step more
    first = newest_checkpoint(tmp_path / "text")
    assert first is not None
    steps = int(first.name.removeprefix("step-"))
    run([*command, "--steps", str(steps + 1), "--resume"])
    assert newest_checkpoint(tmp_path / "text") == first.with_name(f"step-{steps + 1:07}")


@pytest.mark.parametrize(
    ("flags", "named"),
    [(["--stage", "unet"], "text, vae, dit"), (["--stage", "dit", "--size", "512"], "128, 256")],
)
def test_what_there_is_not_is_named(flags: list[str], named: str, tmp_path: Path, capsys: Out) -> None:
    """A stage or a size that does not exist: exit 2, and what there is."""
    assert main(["train", "pocket", "--out", str(tmp_path), *flags]) == 2
    assert named in " ".join(capsys.readouterr().err.split())


@pytest.fixture
def tiny(tiny_cache: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the tiny models, which lies where commands look for it."""
    monkeypatch.setenv("FARM_CACHE", str(tiny_cache))
    monkeypatch.setenv("COLUMNS", "200")
    return ensure_tiny(tiny_cache)


@pytest.fixture
def clips(tmp_path: Path) -> Path:
    """Two videos of one section and one size, in other words."""
    (tmp_path / "clips").mkdir()
    for number, words in enumerate(("Pan left.", "Pan left, slowly, in my style, over a whole long sentence.")):
        write_video(tmp_path / f"clips/{number}.mp4", frames=9, seed=number)
        (tmp_path / f"clips/{number}.txt").write_text(words)
    return tmp_path / "clips"


def train_lora(clips: Path, out: Path, *flags: str) -> int:
    """One step of `train lora` on two clips at a time; the exit code."""
    small = ["--steps", "1", "--batch", "2", "--rank", "2", "--latent-window-size", "2", "--resolution", "64"]
    return main(["train", "lora", str(clips), "--out", str(out), *small, *flags])


def test_a_lora_is_of_the_model_and_kind_that_were_named(clips: Path, tmp_path: Path, tiny: Path, capsys: Out) -> None:
    """By name, or a folder that holds both kinds and --kind: the same file for the same model, else another."""
    made = dict[str, bytes]()
    for name, flags in {
        "named": ["--model", "tiny-f1"],
        "f1": ["--model", str(tiny), "--kind", "f1"],
        "i2v": ["--model", str(tiny), "--kind", "i2v", "--json"],
    }.items():
        out = tmp_path / f"{name}.safetensors"
        assert train_lora(clips, out, *flags) == 0
        said = capsys.readouterr().out
        assert (json.loads(said)["path"] if "--json" in flags else said.strip()) == str(out)
        made[name] = out.read_bytes()
    assert made["named"] == made["f1"] != made["i2v"]


@pytest.mark.parametrize(
    ("flags", "named"),
    [
        (["--model", "."], "say which kind, i2v or f1"),
        (["--model", "tiny", "--kind", "f1"], "tiny is of kind i2v, not f1"),
        (["--model", "no-such-model"], "neither a folder nor a model"),
    ],
)
def test_a_lora_of_no_model_is_refused(flags: list[str], named: str, clips: Path, tiny: Path, capsys: Out) -> None:
    """Before anything is encoded: exit 2, and what is missing."""
    with contextlib.chdir(tiny):
        assert train_lora(clips, clips.parent / "out.safetensors", *flags) == 2
    assert named in " ".join(capsys.readouterr().err.split())
    assert [path.name for path in clips.parent.iterdir()] == ["clips"]


def test_a_step_of_two_clips_asks_the_model_once(clips: Path, tiny_models: Models, tmp_path: Path) -> None:
    """Also where their prompts differ in length; every pair hears of it."""
    kept = keep_clips(clips, tmp_path / "kept", tiny_models, resolution=64, window=2, max_sections=1)
    numbers = LoraNumbers(rank=2, batch=2, window=2, stage=StageNumbers(steps=1, rate=1e-3, warmup=1, save_every=1))
    stage = LoraStage(tiny_models.transformer, kept, numbers, kind="i2v", device="cpu")
    asked = list[dict[str, Any]]()

    class Seen(nn.Module):
        def forward(self, **inputs: Any) -> Any:
            asked.append(inputs)
            return stage.pairs(**inputs)

    for step in range(4):
        loss = stage.loss(Seen(), step, 0, 1)["loss"]
        assert torch.isfinite(loss)
        loss.backward()
    assert [inputs["hidden_states"].shape[0] for inputs in asked] == [2] * 4
    assert any(len(set(inputs["encoder_attention_mask"].sum(1).tolist())) == 2 for inputs in asked)
    ups = [value.grad for name, value in stage.pairs.named_parameters() if "lora_B" in name]
    assert all(grad is not None and bool(grad.any()) for grad in ups)


@pytest.mark.usefixtures("tiny")
@pytest.mark.parametrize("as_json", [False, True])
def test_the_bench_prints_its_tables(as_json: bool, photo: Path, tmp_path: Path, capsys: Out) -> None:
    """The parts that were asked for, a row for each photo, then the summary: what report.json says, too."""
    (tmp_path / "photos").mkdir()
    for name in ("one", "two"):
        shutil.copy(photo, tmp_path / f"photos/{name}.jpg")
    flags = ["--photos", str(tmp_path / "photos"), "--out", str(tmp_path / "out"), "--only", "vae", "--only", "end"]
    small = ["--model", "tiny", "--steps", "1", "--latent-window-size", "1", "--resolution", "64"]
    assert main(["bench", "pocket", *flags, *small, *(["--json"] if as_json else [])]) == 0
    out = capsys.readouterr().out
    report = json.loads((tmp_path / "out/report.json").read_text())
    assert report["tables"].keys() == {"vae", "end"}
    assert (report["summary"]["model"], report["summary"]["steps"]) == ("tiny", 1)
    if as_json:
        assert json.loads(out) == report
    else:
        rows = [*report["tables"]["vae"], *report["tables"]["end"], report["summary"]]
        shown = [[f"{cell:g}" if isinstance(cell, float) else str(cell) for cell in row.values()] for row in rows]
        assert [line.split("\t") for line in out.splitlines()] == shown
        assert [row["photo"] for row in rows[:-1]] == ["one", "two", "one", "two"]


@pytest.mark.parametrize(
    ("flags", "named"), [(["--photos", "."], "has no .jpg"), (["--only", "taste"], "vae, motion, end, drift")]
)
def test_a_bench_of_nothing_is_refused(
    flags: list[str], named: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Out
) -> None:
    """No photo, or a part that is none: exit 2, the flag is named, nothing is written."""
    monkeypatch.chdir(tmp_path)
    assert main(["bench", "pocket", *flags]) == 2
    said = " ".join(capsys.readouterr().err.split())
    assert flags[0] in said
    assert named in said
    assert not list(tmp_path.iterdir())


def test_a_terminal_has_a_bar(monkeypatch: pytest.MonkeyPatch, capsys: Out) -> None:
    """With the step, all steps and the loss; stdout stays empty."""
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "120")
    with _bars() as show:
        show(StepReport("vae", 50, 400, 0.123456))
    out, err = capsys.readouterr()
    assert out == ""
    assert "vae" in err
    assert "50/400" in err
    assert "loss 0.1235" in err
    assert "vae: step" not in err


def test_where_no_bar_can_move_there_are_lines(capsys: Out) -> None:
    """One for every fifty steps, and nothing else."""
    with _bars() as show:
        for step in range(1, 121):
            show(StepReport("vae", step, 120, 1 / step))
    assert capsys.readouterr() == ("", "vae: step 50 of 120, loss 0.02\nvae: step 100 of 120, loss 0.01\n")


@pytest.mark.parametrize(
    ("able", "compiled", "precision"),
    [
        ({"amx_bf16": True}, False, "bf16"),
        ({"avx512_bf16": True}, True, "bf16"),
        ({"avx512_bf16": True}, False, "no"),
        ({}, True, "no"),
    ],
)
def test_bfloat16_is_taken_where_it_was_measured(
    able: dict[str, bool], compiled: bool, precision: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a CPU for the transformer alone: with AMX, or with AVX512-BF16 and compiled blocks."""
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: able)
    assert precision_of("dit", "cpu", compiled=compiled) == precision
    assert precision_of("vae", "cpu", compiled=compiled) == "no"
    assert precision_of("vae", "cuda", compiled=compiled) == "bf16"
