"""The loop keeps what it did: stopped anywhere and gone on with, it ends with the same bits."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from framepack_engine.errors import EngineError
from lab.training.curves import draw_curves
from lab.training.loop import Run, _in_any, newest_checkpoint, share_at, train
from lab.training.recipe import StageNumbers

NUMBERS = StageNumbers(steps=12, rate=1e-2, warmup=3, save_every=4)


class Line:
    """Fit a small network to a line, on points that are a function of the step."""

    name = "line"

    def __init__(self, *, breaks_at: int | None = None, stops_at: int | None = None) -> None:
        torch.manual_seed(0)
        self.model: nn.Module = nn.Sequential(nn.Linear(1, 8), nn.Tanh(), nn.Linear(8, 1))
        self._breaks_at, self._stops_at = breaks_at, stops_at

    def loss(self, model: nn.Module, step: int, rank: int, world: int) -> dict[str, Tensor]:
        """Mean square; not a number at `breaks_at`, an interrupt at `stops_at`."""
        if step == self._stops_at:
            raise KeyboardInterrupt
        x = torch.randn(16, 1, generator=torch.Generator().manual_seed(step * world + rank))
        loss = ((model(x) - (2 * x + 1)) ** 2).mean()
        return {"loss": loss * float("nan") if step == self._breaks_at else loss}


def bits(model: nn.Module) -> list[Tensor]:
    """All weights."""
    return [value.clone() for value in model.state_dict().values()]


def same(one: nn.Module, other: nn.Module) -> bool:
    """Whether two models have the same bits."""
    return all(torch.equal(a, b) for a, b in zip(bits(one), bits(other), strict=True))


@pytest.mark.parametrize("stop", [1, 4, 7])
def test_a_run_that_was_stopped_ends_with_the_same_bits(stop: int, tmp_path: Path) -> None:
    """Weights, their running mean and the curves, whether it ran through or was interrupted at any step."""
    whole, parts = Line(), Line()
    mean = train(whole, NUMBERS, Run(folder=tmp_path / "whole"))
    with pytest.raises(KeyboardInterrupt):
        train(Line(stops_at=stop), NUMBERS, Run(folder=tmp_path / "parts"))
    again = train(parts, NUMBERS, Run(folder=tmp_path / "parts", resume=True))
    assert same(whole.model, parts.model)
    assert same(mean, again)
    assert not same(mean, whole.model)  # else the mean would not be one
    curves = [json.loads((tmp_path / name / "line/losses.json").read_text()) for name in ("whole", "parts")]
    assert curves[0] == curves[1]


def test_a_run_goes_on_only_where_it_is_asked_to(tmp_path: Path) -> None:
    """A folder with a checkpoint is refused without --resume, and left as it was."""
    run = Run(folder=tmp_path, steps=2)
    train(Line(), NUMBERS, run)
    with pytest.raises(EngineError, match="--resume"):
        train(Line(), NUMBERS, run)
    seen: list[int] = []
    train(Line(), NUMBERS, replace(run, resume=True, steps=3, on_step=lambda report: seen.append(report.step)))
    assert seen == [3]


def test_a_loss_that_is_no_number_ends_the_run_with_a_whole_checkpoint(tmp_path: Path) -> None:
    """The weights that are kept are those before the broken step."""
    with pytest.raises(EngineError, match="step 6: the loss is nan"):
        train(Line(breaks_at=6), NUMBERS, Run(folder=tmp_path))
    newest = newest_checkpoint(tmp_path / "line")
    assert newest is not None
    assert newest.name == "step-0000006"
    stage = Line()
    train(stage, NUMBERS, Run(folder=tmp_path, resume=True, steps=8))
    assert all(bool(weight.isfinite().all()) for weight in bits(stage.model))


class Beside:
    """accelerate's, of a process whose neighbour's time is up."""

    num_processes, device = 2, "cpu"

    def reduce(self, value: Tensor, _how: str) -> Tensor:
        """The neighbour says 1."""
        return value + 1


def test_what_is_so_in_one_process_is_so_in_all() -> None:
    """Else it would wait for ever for the one that stopped."""
    assert _in_any(Beside(), here=False)


def test_time_that_is_up_ends_the_run(tmp_path: Path) -> None:
    """`minutes` of none stops before the first step, and the model is handed out all the same."""
    stage = Line()
    before = bits(stage.model)
    mean = train(stage, NUMBERS, Run(folder=tmp_path, minutes=0))
    assert all(torch.equal(a, b) for a, b in zip(before, bits(mean), strict=True))


def test_only_the_last_checkpoints_are_kept(tmp_path: Path) -> None:
    """Two of them, and nothing half written."""
    train(Line(), NUMBERS, Run(folder=tmp_path))
    assert sorted(path.name for path in (tmp_path / "line").iterdir()) == [
        "losses.json",
        "losses.png",
        "step-0000008",
        "step-0000012",
    ]


def test_the_rate_rises_and_falls() -> None:
    """From nearly nothing to the top in the warm-up, and down to a tenth at the last step."""
    numbers = replace(NUMBERS, steps=100, warmup=10)
    shares = [share_at(step, numbers) for step in range(101)]
    assert shares[0] < shares[5] < max(shares) <= 1
    assert shares[100] == pytest.approx(0.1)


def test_curves_are_drawn(tmp_path: Path) -> None:
    """One panel for each scalar that has something to show; nothing to show is no file."""
    draw_curves(tmp_path / "a.png", {"loss": [1.0, 0.5, 0.25], "psnr": [10.0, 20.0], "no": [0.0]}, every=10, title="x")
    with Image.open(tmp_path / "a.png") as picture:
        assert picture.size == (720, 400)
        assert len(picture.getcolors(1 << 20) or []) > 3
    draw_curves(tmp_path / "b.png", {"no": [0.0]}, every=10, title="x")
    assert not (tmp_path / "b.png").exists()
