"""train: the small model `pocket`, its way into this package, and LoRAs."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from deploy.commands.connect import Json
from deploy.commands.videos import put_path
from deploy.terminal.screen import say

if TYPE_CHECKING:
    from lab.training.loop import StepReport

_EVERY = 50  #: steps between two lines, where no bar can move


class Kind(Enum):
    """Of a transformer."""

    I2V = "i2v"
    F1 = "f1"


Out = Annotated[Path | None, typer.Option("--out", help="the run's folder; FARM_CACHE/pocket-SIZE")]
Resume = Annotated[bool, typer.Option("--resume", help="go on where the last checkpoint ends")]
Minutes = Annotated[float | None, typer.Option("--minutes", min=0, help="stop each stage after so long")]
Steps = Annotated[int | None, typer.Option("--steps", min=1, help="stop there")]


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    train = typer.Typer(no_args_is_help=True, help="Train the small model or a LoRA: train pocket, ship, lora.")
    train.command()(pocket)
    train.command()(ship)
    train.command()(lora)
    app.add_typer(train, name="train")


def pocket(
    *,
    stage: Annotated[str, typer.Option("--stage", help="text, vae, dit or all")] = "all",
    size: Annotated[str | None, typer.Option("--size", help="128 or 256; 256 with a GPU, else 128")] = None,
    out: Out = None,
    resume: Resume = False,
    minutes: Minutes = None,
    steps: Steps = None,
    threads: Annotated[int | None, typer.Option("--threads", min=1, help="of the CPU; torch's own choice")] = None,
    compiled: Annotated[
        bool, typer.Option("--compile", help="the transformer's blocks: a minute first, then faster (needs g++)")
    ] = False,
    as_json: Json = False,
) -> None:
    """Train the pocket model on pictures that are made here; print its folder."""
    from lab.training.recipe import STAGES, recipe_of

    if stage not in (*STAGES, "all"):
        raise typer.BadParameter(f"{stage!r}: there are {', '.join(STAGES)} and all", param_hint="--stage")
    import torch

    from framepack_engine.errors import EngineError
    from framepack_engine.models.tiny import cache_root
    from lab.training.loop import Run
    from lab.training.pocket import train_pocket

    _stop_saves()
    if threads is not None:
        torch.set_num_threads(threads)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        recipe = recipe_of(size or ("256" if device == "cuda" else "128"))
        folder = out or cache_root() / f"pocket-{recipe.name}"
        for name in STAGES if stage == "all" else (stage,):
            with _bar(name) as on_step:
                run = Run(
                    folder=folder,
                    device=device,
                    precision=_precision(name, device),
                    compiled=compiled,
                    resume=resume,
                    minutes=minutes,
                    steps=steps,
                    on_step=on_step,
                )
                model = train_pocket(recipe, name, run)
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
    """Copy a trained model into this package, where it is the model `pocket`; print its place there."""
    from framepack_engine.errors import EngineError
    from framepack_engine.models.catalog import FOLDER
    from lab.training.pocket import ship as into_package
    from lab.training.recipe import recipe_of

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
    kind: Annotated[Kind | None, typer.Option("--kind", help="where the model's path does not say")] = None,
    out: Annotated[Path, typer.Option("--out", help="the file")] = Path("lora.safetensors"),
    rank: Annotated[int, typer.Option("--rank", min=1, help="of the pairs")] = 16,
    alpha: Annotated[float | None, typer.Option("--alpha", help="strength is alpha / rank; the rank")] = None,
    rate: Annotated[float, typer.Option("--rate", min=0, help="learning rate")] = 1e-4,
    batch: Annotated[int, typer.Option("--batch", min=1, help="clips a step")] = 1,
    window: Annotated[int, typer.Option("--latent-window-size", min=1, help="as the videos will have it")] = 9,
    sections: Annotated[int, typer.Option("--sections", min=1, help="longer videos are cut into so many")] = 4,
    resolution: Annotated[int | None, typer.Option("--resolution", help="of the buckets, px; the model's own")] = None,
    work: Annotated[Path | None, typer.Option("--work", help="kept latents and checkpoints; OUT.work")] = None,
    seed: Annotated[int, typer.Option("--seed", help="of all draws")] = 0,
    resume: Resume = False,
    minutes: Minutes = None,
    steps: Annotated[int, typer.Option("--steps", min=1, help="in all")] = 1000,
    as_json: Json = False,
) -> None:
    """Train a LoRA on FOLDER's videos; print its file, which `loras` takes."""
    if not folder.is_dir():
        raise typer.BadParameter(f"{folder} is no folder", param_hint="FOLDER")
    import torch

    from framepack_engine.errors import EngineError
    from lab.training.loop import Run
    from lab.training.lora.stage import LoraNumbers, train_lora
    from lab.training.recipe import StageNumbers

    _stop_saves()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    numbers = LoraNumbers(
        rank=rank,
        alpha=rank if alpha is None else alpha,
        batch=batch,
        window=window,
        max_sections=sections,
        seed=seed,
        stage=StageNumbers(steps=steps, rate=rate, warmup=min(50, steps), save_every=250, average=0.95),
    )
    try:
        with _bar("lora") as on_step:
            run = Run(
                folder=work or out.with_suffix(".work"),
                device=device,
                precision="bf16" if device == "cuda" else "no",
                resume=resume,
                minutes=minutes,
                on_step=on_step,
            )
            which: Literal["i2v", "f1"] | None = None if kind is None else "i2v" if kind is Kind.I2V else "f1"
            train_lora(folder, out, numbers, run, model=model, kind=which, resolution=resolution, say=say)
    except EngineError as err:
        say(f"framefarm: {err}", style="red")
        raise typer.Exit(2) from err
    put_path(out, as_json=as_json)


def _precision(stage: str, device: str) -> Literal["bf16", "no"]:
    """bfloat16 on a GPU; on a CPU that has units for it for the transformer alone (docs/decisions/0061)."""
    import torch

    from lab.training.muon import quick_in_bfloat16

    if device == "cuda":
        return "bf16"
    return "bf16" if stage == "dit" and quick_in_bfloat16(torch.device(device)) else "no"


def _stop_saves() -> None:
    """Let SIGTERM do what Ctrl-C does, also in the background, where a shell has Ctrl-C ignored: save, and end."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)


@contextmanager
def _bar(stage: str) -> Iterator[Callable[[StepReport], None]]:
    """A progress bar on stderr; lines where bars cannot move."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description:<6}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    )
    console = Console(stderr=True, highlight=False)
    with Progress(*columns, console=console, disable=not console.is_terminal) as bars:
        task = bars.add_task(stage, total=None, note="")

        def show(report: StepReport) -> None:
            bars.update(task, completed=report.step, total=report.steps, note=f"loss {report.loss:.4g}")
            if not console.is_terminal and report.step % _EVERY == 0:
                say(f"{report.stage}: step {report.step} of {report.steps}, loss {report.loss:.4g}")

        yield show
