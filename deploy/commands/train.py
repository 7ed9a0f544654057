"""train: the small model `pocket`, its copy in this package, and LoRAs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from deploy.commands.connect import Json
from deploy.commands.videos import put_path
from deploy.terminal.flags import with_flags
from deploy.terminal.option_flags import option_flags
from deploy.terminal.screen import say
from lab.options import taken
from lab.training.pocket_run import PocketOptions, train_stages

if TYPE_CHECKING:
    from lab.training.loop import Run, StepReport
    from lab.training.lora.stage import LoraNumbers

_EVERY = 50  #: steps between two lines, where no bar can move


class Kind(Enum):
    """Of a transformer."""

    I2V = "i2v"
    F1 = "f1"


Resume = Annotated[bool, typer.Option("--resume", help="continue from the last checkpoint")]
Minutes = Annotated[float | None, typer.Option("--minutes", min=0, help="stop after this time")]


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    train = typer.Typer(no_args_is_help=True, help="Train the small model or a LoRA: train pocket, ship, lora.")
    train.command()(pocket)
    train.command()(ship)
    train.command()(lora)
    app.add_typer(train, name="train")


@with_flags(option_flags(PocketOptions))
def pocket(*, as_json: Json = False, **given: Any) -> None:
    """Train the pocket model on pictures that are made here; print its folder."""
    from framepack_engine.errors import EngineError
    from lab.training.loop import save_on_signals

    save_on_signals()
    try:
        with _bars() as on_step:
            model = train_stages(taken(PocketOptions, given), on_step)
    except EngineError as err:
        say(f"framefarm: {err}", style="red")
        raise typer.Exit(2) from err
    put_path(model, as_json=as_json)


def ship(
    model: Annotated[Path, typer.Argument(help="the folder that `train pocket` printed")],
    *,
    size: Annotated[str, typer.Option("--size", help="of its recipe: 128 or 256")] = "128",
    as_json: Json = False,
) -> None:
    """Copy a trained model into this package as the model `pocket`; print its folder."""
    from framepack_engine.errors import EngineError
    from framepack_engine.models.catalog import FOLDER
    from lab.training.recipe import recipe_of
    from lab.training.ship import ship as into_package

    try:
        about = into_package(model, recipe_of(size), into=FOLDER)
    except EngineError as err:
        say(f"framefarm: {err}", style="red")
        raise typer.Exit(2) from err
    say(f"pocket, {about.resolution} px, revision {about.revision[:12]}: commit it, or build a wheel")
    put_path(FOLDER, as_json=as_json)


def lora(
    folder: Annotated[Path, typer.Argument(help="videos, each with a .txt of the same name beside it")],
    *,
    model: Annotated[str, typer.Option("--model", help="a model's name, or its folder or file")] = "framepack-i2v",
    kind: Annotated[Kind | None, typer.Option("--kind", help="i2v or f1, if the model's path does not say")] = None,
    out: Annotated[Path, typer.Option("--out", help="the LoRA's file")] = Path("lora.safetensors"),
    rank: Annotated[int, typer.Option("--rank", min=1, help="rank of the LoRA's matrices")] = 16,
    alpha: Annotated[
        float | None, typer.Option("--alpha", help="the strength is alpha / rank (default: the rank)")
    ] = None,
    rate: Annotated[float, typer.Option("--rate", min=0, help="learning rate")] = 1e-4,
    batch: Annotated[int, typer.Option("--batch", min=1, help="clips a step")] = 1,
    window: Annotated[
        int, typer.Option("--latent-window-size", min=1, help="latent frames of a section, as in later requests")
    ] = 9,
    sections: Annotated[
        int, typer.Option("--sections", min=1, help="cut longer videos into clips of this many sections")
    ] = 4,
    resolution: Annotated[
        int | None, typer.Option("--resolution", help="of the size buckets, px (default: the model's own)")
    ] = None,
    work: Annotated[
        Path | None, typer.Option("--work", help="folder for latents and checkpoints (default: OUT.work)")
    ] = None,
    seed: Annotated[int, typer.Option("--seed", help="seed of all random numbers")] = 0,
    resume: Resume = False,
    minutes: Minutes = None,
    steps: Annotated[int, typer.Option("--steps", min=1, help="number of steps")] = 1000,
    as_json: Json = False,
) -> None:
    """Train a LoRA on the videos of FOLDER; print its file, which the field `loras` takes."""
    if not folder.is_dir():
        raise typer.BadParameter(f"{folder} is not a folder", param_hint="FOLDER")
    import torch

    from lab.training.loop import Run
    from lab.training.lora.stage import LoraNumbers
    from lab.training.recipe import StageNumbers

    numbers = LoraNumbers(
        rank=rank,
        alpha=rank if alpha is None else alpha,
        batch=batch,
        window=window,
        max_sections=sections,
        seed=seed,
        stage=StageNumbers(steps=steps, rate=rate, warmup=min(50, steps), save_every=250, average=0.95),
    )
    device = "cuda" if torch.cuda.is_available() else "cpu"
    run = Run(
        folder=work or out.with_suffix(".work"),
        device=device,
        precision="bf16" if device == "cuda" else "no",
        resume=resume,
        minutes=minutes,
    )
    _train_lora(folder, out, numbers, run, model=model, kind=kind, resolution=resolution)
    put_path(out, as_json=as_json)


def _train_lora(
    folder: Path, out: Path, numbers: LoraNumbers, run: Run, *, model: str, kind: Kind | None, resolution: int | None
) -> None:
    from framepack_engine.errors import EngineError
    from lab.training.loop import save_on_signals
    from lab.training.lora.stage import train_lora

    save_on_signals()
    which: Literal["i2v", "f1"] | None = None if kind is None else "i2v" if kind is Kind.I2V else "f1"
    try:
        with _bars() as on_step:
            run = replace(run, on_step=on_step)
            train_lora(folder, out, numbers, run, model=model, kind=which, resolution=resolution, say=say)
    except EngineError as err:
        say(f"framefarm: {err}", style="red")
        raise typer.Exit(2) from err


@contextmanager
def _bars() -> Iterator[Callable[[StepReport], None]]:
    """Show a progress bar for each stage on stderr; where bars cannot move, a line every 50 steps."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description:<6}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    )
    console, tasks = Console(stderr=True, highlight=False), dict[str, Any]()
    with Progress(*columns, console=console, disable=not console.is_terminal) as bars:

        def show(report: StepReport) -> None:
            if report.stage not in tasks:
                tasks[report.stage] = bars.add_task(report.stage, note="")
            note = f"loss {report.loss:.4g}"
            bars.update(tasks[report.stage], completed=report.step, total=report.steps, note=note)
            if not console.is_terminal and report.step % _EVERY == 0:
                say(f"{report.stage}: step {report.step} of {report.steps}, {note}")

        yield show
