"""Progress of videos on stderr: a bar for each on a terminal, lines elsewhere."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, Self

from deploy.terminal.durations import duration
from deploy.terminal.screen import visible
from deploy.terminal.video_ids import shorts
from deploy.terminal.video_rows import stage_of, status_of

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress, TaskID

    from farm.client import Event, FarmClient


def follow(client: FarmClient, video: Mapping[str, Any], *, as_json: bool = False) -> dict[str, Any]:
    """Show a video's progress on stderr until it ends, and return the final video object.

    as_json: also print every event on stdout, a line each.
    """
    return follow_all(client, [video], as_json=as_json)[0]


def follow_all(
    client: FarmClient, videos: Sequence[Mapping[str, Any]], *, as_json: bool = False
) -> list[dict[str, Any]]:
    """Show a bar for each video until all have ended, and return the final video objects in order.

    as_json: also print every event on stdout, a line each; its `id` names the video.
    """
    from rich.console import Console

    news = SimpleQueue[tuple[str, "Event | Exception"]]()
    for video in videos:
        threading.Thread(target=_listen, args=(client, video["id"], news), daemon=True).start()
    finals = dict[str, dict[str, Any]]()
    with Board(Console(stderr=True, highlight=False), videos) as board:
        while len(finals) < len(videos):
            video_id, event = news.get()
            if isinstance(event, Exception):
                raise event
            if as_json:
                print(json.dumps({"event": event.name, **event.data}), flush=True)
            if event.name == "end":
                finals[video_id] = dict(event.data)
            board.show(video_id, event.name, event.data)
    return [finals[video["id"]] for video in videos]


def _listen(client: FarmClient, video_id: str, news: SimpleQueue[tuple[str, Event | Exception]]) -> None:
    """Put a video's events, or the error that ended them, into the queue of all."""
    try:
        for event in client.watch(video_id):
            news.put((video_id, event))
    except Exception as err:  # noqa: BLE001 - the reader of the queue raises it
        news.put((video_id, err))


class Countdown:
    """The time that a video still takes. It falls between two estimates, and during work that reports no steps."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """`clock` is monotonic."""
        self._clock = clock
        self._ends_at: float | None = None
        self._during: tuple[Any, ...] = ()

    def tell(self, progress: Mapping[str, Any]) -> None:
        """Take in an estimate. In work without steps only the first one counts: each later one would be longer."""
        during = (progress["stage"], progress["section"])
        if progress["eta_s"] is None:
            self._ends_at = None
        elif progress["steps"] or during != self._during or self._ends_at is None:
            self._ends_at = self._clock() + progress["eta_s"]
        self._during = during

    @property
    def words(self) -> str:
        """`17 s left`, or "" if nobody knows."""
        return "" if self._ends_at is None else f"{duration(max(self._ends_at - self._clock(), 1))} left"


class Board:
    """Where the videos of a command stand: a line each that changes on a terminal, else a line for each change."""

    def __init__(
        self, console: Console, videos: Sequence[Mapping[str, Any]], clock: Callable[[], float] = time.monotonic
    ) -> None:
        """`clock` is monotonic."""
        self._console, self._videos = console, videos
        self._moves = console.is_terminal and not console.is_dumb_terminal
        self._short = shorts(video["id"] for video in videos)
        self._left = {video["id"]: Countdown(clock) for video in videos}
        self._told = dict[str, str]()  # the last line of each video, so that none comes twice
        self._tasks = dict[str, "TaskID"]()
        self._bars = new_bars(console, clock)

    def __enter__(self) -> Self:
        for video in self._videos:
            self._tasks[video["id"]] = self._bars.add_task(
                self._short[video["id"]], total=100, completed=video["progress"], stage=status_of(video), left=""
            )
        self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bars.stop()

    def show(self, video_id: str, name: str, data: Mapping[str, Any]) -> None:
        """Show an event of a video's stream."""
        task, left = self._tasks[video_id], self._left[video_id]
        if name == "progress":
            left.tell(data)
            stage = visible(stage_of(data))
            self._bars.update(task, completed=data["progress"], stage=stage, left=left)
            self._plainly(video_id, stage_of({**data, "steps": 0}), f", {data['progress']} %, {left.words}")
        elif name == "section":
            self._plainly(video_id, f"section {data['sections_done']} of {data['sections_total']} is done")
        elif name in {"status", "end"}:
            self._bars.update(task, stage=status_of(data))
            self._plainly(video_id, status_of(data))
        if name == "end":
            self._bars.update(task, completed=data["progress"], left="")
            self._bars.stop_task(task)

    def _plainly(self, video_id: str, news: str, more: str = "") -> None:
        """Print a line where bars cannot move: into a file, or on a dumb terminal."""
        if not self._moves and self._told.get(video_id) != news:
            self._told[video_id] = news
            line = visible(f"{self._short[video_id]} {news}{more}").rstrip(" ,")
            self._console.print(line, markup=False, soft_wrap=True)


def new_bars(console: Console, clock: Callable[[], float]) -> Progress:
    """Return bars with a line each: a name, what is done now, how far it is, and one clock.

    A task has the fields `stage` and `left`. Where bars cannot move, they show nothing.
    """
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn
    from rich.table import Column

    return Progress(
        TextColumn("{task.description}", table_column=Column(no_wrap=True), markup=False),
        TextColumn("{task.fields[stage]}", table_column=Column(no_wrap=True, overflow="ellipsis"), markup=False),
        BarColumn(bar_width=None, table_column=Column(ratio=1, min_width=4)),
        TaskProgressColumn(),
        _clock_column(),
        console=console,
        disable=not console.is_terminal or console.is_dumb_terminal,
        expand=True,
        get_time=clock,
    )


def _clock_column() -> Any:
    """Return a column of how long a video took so far, and how long it still takes."""
    from rich.progress import ProgressColumn, Task
    from rich.table import Column
    from rich.text import Text

    class Clock(ProgressColumn):
        def render(self, task: Task) -> Text:
            left = task.fields["left"]
            words = [duration(task.elapsed or 0), left.words if isinstance(left, Countdown) else left]
            return Text(", ".join(filter(None, words)))

    return Clock(table_column=Column(no_wrap=True))
