"""The start of a farm on stderr: its steps and how long it takes, in a line that moves on a terminal."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from deploy.terminal.durations import duration

if TYPE_CHECKING:
    from rich.console import Console

USUAL_S = 20  #: of a start, measured on two cores


@contextlib.contextmanager
def starting(what: str, console: Console | None = None) -> Iterator[Callable[[str], None]]:
    """Say that a farm starts for as long as the context lasts; give what tells its next step."""
    from rich.console import Console

    console = console or Console(stderr=True, highlight=False)
    title = f"{what}; about {USUAL_S} s is usual"
    if not console.is_terminal or console.is_dumb_terminal:
        console.print(title, markup=False, soft_wrap=True)
        yield lambda step: console.print(f"  {step}", markup=False, soft_wrap=True)
        return
    from rich.progress import Progress, ProgressColumn, SpinnerColumn, Task, TextColumn
    from rich.text import Text

    class Clock(ProgressColumn):
        def render(self, task: Task) -> Text:
            return Text(duration(task.elapsed or 0))

    console.print(title, markup=False, soft_wrap=True)
    with Progress(
        SpinnerColumn("line"), TextColumn("{task.description}", markup=False), Clock(), console=console, transient=True
    ) as line:
        task = line.add_task("it begins", total=None)
        yield lambda step: line.update(task, description=step)
