"""`framefarm train`: what it refuses, and that a stop from outside is one that saves."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.cli import main
from framepack_engine.training.loop import newest_checkpoint
from framepack_engine.training.text import TextStage


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


@pytest.mark.parametrize(
    ("flags", "named"), [(["--stage", "unet"], "text, vae, dit"), (["--stage", "dit", "--size", "512"], "128, 256")]
)
def test_what_there_is_not_is_named(
    flags: list[str], named: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A stage or a size that does not exist: exit 2, and what there is."""
    assert main(["train", "pocket", "--out", str(tmp_path), *flags]) == 2
    assert named in " ".join(capsys.readouterr().err.split())
