"""Progress of videos on stderr: bars on a terminal, lines elsewhere."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping, Sequence
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

from deploy.terminal.screen import visible

if TYPE_CHECKING:
    from farm.client import Event, FarmClient


def follow(client: FarmClient, video: Mapping[str, Any], *, as_json: bool = False) -> dict[str, Any]:
    """Show a video's progress on stderr until it ends, and return the final video object.

    as_json: also print every event on stdout, a line each.
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
                _put_event(event)
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


def follow_all(
    client: FarmClient, videos: Sequence[Mapping[str, Any]], *, as_json: bool = False
) -> list[dict[str, Any]]:
    """Show a bar for each video until all have ended, and return the final video objects in order.

    as_json: also print every event on stdout, a line each; its `id` names the video.
    """
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

    news = SimpleQueue[tuple[str, "Event | Exception"]]()
    for video in videos:
        threading.Thread(target=_listen, args=(client, video["id"], news), daemon=True).start()
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[note]}"),
    )
    console, finals = Console(stderr=True, highlight=False), dict[str, dict[str, Any]]()
    with Progress(*columns, console=console, disable=not console.is_terminal) as bars:
        tasks = {video["id"]: bars.add_task(video["id"], total=100, note=video["status"]) for video in videos}
        while len(finals) < len(tasks):
            video_id, event = news.get()
            if isinstance(event, Exception):
                raise event
            if as_json:
                _put_event(event)
            if event.name == "status":
                bars.update(tasks[video_id], note=event.data["status"])
                _plainly(console, f"{video_id} {event.data['status']}")
            elif event.name == "section":
                _plainly(console, f"{video_id} section {event.data['sections_done']} of {event.data['sections_total']}")
            elif event.name == "progress":
                bars.update(tasks[video_id], completed=event.data["progress"], note=_note(event.data))
            elif event.name == "end":
                finals[video_id] = dict(event.data)
                bars.update(tasks[video_id], completed=event.data["progress"])
                bars.stop_task(tasks[video_id])
    return [finals[video["id"]] for video in videos]


def _listen(client: FarmClient, video_id: str, news: SimpleQueue[tuple[str, Event | Exception]]) -> None:
    """Put a video's events, or the error that ended them, into the queue of all."""
    try:
        for event in client.watch(video_id):
            news.put((video_id, event))
    except Exception as err:  # noqa: BLE001 - the reader of the queue raises it
        news.put((video_id, err))


def _put_event(event: Event) -> None:
    print(json.dumps({"event": event.name, **event.data}), flush=True)


def _note(progress: Mapping[str, Any]) -> str:
    """Say what a video waits for, or how long it will take."""
    eta, waits = progress["eta_s"], progress["waiting_for"]
    return visible(f"for {waits}") if waits else "" if eta is None else f"about {eta:.0f} s left"


def _show(bars: Any, task: Any, progress: Mapping[str, Any]) -> None:
    section = "" if progress["section"] is None else f" {progress['section'] + 1}/{progress['sections_total']}"
    bars.update(
        task,
        description=f"{progress['stage'] or 'waiting'}{section}",
        completed=progress["step"],
        total=progress["steps"] or None,
        note=_note(progress),
    )


def _plainly(console: Any, line: str) -> None:
    """Print a line where bars cannot move, such as a log file."""
    if not console.is_terminal:
        console.print(visible(line), markup=False, soft_wrap=True)
