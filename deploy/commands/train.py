"""train: the small model `pocket`, its copy in this package, and LoRAs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from deploy.commands.connect import Json
from deploy.commands.videos import put_path
from deploy.terminal.flags import with_flags
from deploy.terminal.option_flags import option_flags
from deploy.terminal.screen import say
from lab.options import taken
from lab.training.lora.run import LoraOptions, train_folder
from lab.training.pocket_run import PocketOptions, train_stages

if TYPE_CHECKING:
    from lab.training.loop import StepReport

_EVERY = 50  #: steps between two lines, where no bar can move


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    train = typer.Typer(no_args_is_help=True, help="Train the small model or a LoRA: train pocket, ship, lora.")
    train.command()(pocket)
    train.command()(ship)
    train.command()(lora)
    app.add_typer(train, name="train")


@with_flags(option_flags(PocketOptions))
def pocket(*, as_json: Json = False, **given: Any) -> None:
    """Train the pocket model on pictures that this command draws; print its folder."""
    from lab.training.loop import save_on_signals

    save_on_signals()
    with _bars() as on_step:
        model = train_stages(taken(PocketOptions, given), on_step)
    put_path(model, as_json=as_json)


def ship(
    model: Annotated[Path, typer.Argument(help="the folder that `train pocket` printed")],
    *,
    size: Annotated[str, typer.Option("--size", help="of its recipe: 128 or 256")] = "128",
    as_json: Json = False,
) -> None:
    """Copy a trained model into this package as the model `pocket`; print its folder."""
    from framepack_engine.models.catalog import FOLDER
    from lab.training.recipe import recipe_of
    from lab.training.ship import ship as into_package

    about = into_package(model, recipe_of(size), into=FOLDER)
    say(f"pocket, {about.resolution} px, revision {about.revision[:12]}: commit it, or build a wheel")
    put_path(FOLDER, as_json=as_json)


@with_flags(option_flags(LoraOptions))
def lora(
    folder: Annotated[Path, typer.Argument(help="videos, each with a .txt of the same name beside it")],
    *,
    as_json: Json = False,
    **given: Any,
) -> None:
    """Train a LoRA on the videos of FOLDER; print its file, which the field `loras` takes."""
    if not folder.is_dir():
        raise typer.BadParameter(f"{folder} is not a folder", param_hint="FOLDER")
    from lab.training.loop import save_on_signals

    save_on_signals()
    with _bars() as on_step:
        path = train_folder(folder, taken(LoraOptions, given), on_step, say=say)
    put_path(path, as_json=as_json)


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
