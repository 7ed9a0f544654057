"""What the command line shows: data on stdout, talk and progress on stderr."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from farm.client import FarmClient

_TALLIES = {"queued": "cyan", "in_progress": "yellow", "paused": "magenta", "completed": "green", "failed": "red"}


def say(message: str, *, style: str = "") -> None:
    """A line for people."""
    from rich.console import Console

    Console(stderr=True, highlight=False).print(message, style=style, markup=False, soft_wrap=True)


def put_json(value: object) -> None:
    """Data for programs."""
    print(json.dumps(value, indent=2 if sys.stdout.isatty() else None))


def put_table(columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> None:
    """Data for people: a table on a terminal, tab-separated lines into a pipe."""
    if not sys.stdout.isatty():
        for row in rows:
            print("\t".join(_cell(row.get(column)) for column in columns))
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(*columns, box=None, header_style="bold", pad_edge=False)
    for row in rows:
        table.add_row(*(_cell(row.get(column)) for column in columns), style=_TALLIES.get(str(row.get("status"))))
    Console(highlight=False).print(table)


def _cell(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, list):
        return ",".join(map(str, value))
    return " ".join(str(value).split())


def follow(client: FarmClient, video: Mapping[str, Any], *, as_json: bool = False) -> dict[str, Any]:
    """Show a video's progress on stderr until it ends; the final video object.

    as_json: also put every event on stdout, a line each.
    """
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (
        TextColumn("{task.description:<14}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[note]}"),
    )
    console, final, waited_for = Console(stderr=True, highlight=False), dict(video), None
    with Progress(*columns, console=console, disable=not console.is_terminal) as bars:
        sections = bars.add_task("sections", total=video["sections_total"], note="")
        steps = bars.add_task("steps", total=None, note=video["status"])
        for event in client.watch(video["id"]):
            if as_json:
                print(json.dumps({"event": event.name, **event.data}), flush=True)
            if event.name == "end":
                final = dict(event.data)
            elif event.name == "status":
                bars.update(steps, note=event.data["status"])
                _plainly(console, f"{video['id']} {event.data['status']}")
            elif event.name == "section":
                bars.update(sections, completed=event.data["sections_done"])
                _plainly(console, f"section {event.data['sections_done']} of {event.data['sections_total']}")
            elif event.name == "progress":
                _show(bars, steps, event.data)
                if event.data["waiting_for"] not in (None, waited_for):
                    _plainly(console, f"{video['id']} waits for {event.data['waiting_for']}")
                waited_for = event.data["waiting_for"]
    return final


def _show(bars: Any, task: Any, progress: Mapping[str, Any]) -> None:
    eta, waits = progress["eta_s"], progress["waiting_for"]
    section = "" if progress["section"] is None else f" {progress['section'] + 1}/{progress['sections_total']}"
    bars.update(
        task,
        description=f"{progress['stage'] or 'waiting'}{section}",
        completed=progress["step"],
        total=progress["steps"] or None,
        note=f"for {waits}" if waits else "" if eta is None else f"about {eta:.0f} s left",
    )


def _plainly(console: Any, line: str) -> None:
    """Where bars cannot move (a log file), a line says what happened."""
    if not console.is_terminal:
        console.print(line, markup=False, soft_wrap=True)
