"""Where a batch stands, on stderr: a bar for each video that runs and one for all; lines where bars cannot move."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from deploy.terminal.durations import duration
from deploy.terminal.progress import new_bars
from deploy.terminal.screen import visible
from deploy.terminal.video_ids import short
from deploy.terminal.video_rows import left_of, stage_of

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import TaskID


class BatchBoard:
    """A line for each running video, and one for the whole batch with the time left."""

    def __init__(self, console: Console, *, paths: bool, clock: Callable[[], float] = time.monotonic) -> None:
        """paths: print each written file on stdout. `clock` is monotonic."""
        self._console, self._paths, self._clock = console, paths, clock
        self._moves = console.is_terminal and not console.is_dumb_terminal
        self._bars = new_bars(console, clock)
        self._all: TaskID | None = None
        self._total = self._done = self._unsent = 0
        self._is_full = False
        self._tasks = dict[str, "TaskID"]()
        self._shares = dict[str, float]()  # of each running video, 0 to 1
        self._begun, self._base = clock(), 0.0

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bars.stop()

    def begin(self, total: int) -> None:
        """Show how many videos are to come."""
        self._total, self._begun = total, self._clock()
        if total:
            self._all = self._bars.add_task("all", total=total, stage=f"0 of {total}", left="")

    def asked(self, video: Mapping[str, Any], name: str) -> None:
        """Say that the farm took a video."""
        self._base += video["progress"] / 100  # videos of an earlier run cost no time now
        self._say(f"{name}: {short(video['id'])} {video['status']}")

    def sent(self, at_farm: int, unsent: int, why: str) -> None:
        """Show how many videos the farm has not heard of. why: it has no room; this is said when it begins."""
        self._unsent = unsent
        if why and not self._is_full:
            self.tell(f"{why}; {at_farm} at the farm, {unsent} not sent yet: they follow as there is room")
        self._is_full = bool(why)
        self._show_all()

    def tell(self, words: str, *, style: str = "") -> None:
        """Print a line above the bars."""
        self._console.print(visible(words), style=style, markup=False, soft_wrap=True)

    def show(self, progress: Mapping[str, Any]) -> None:
        """Show how far a video is."""
        video_id = progress["id"]
        if progress["stage"] is not None and video_id not in self._tasks:
            self._tasks[video_id] = self._bars.add_task(short(video_id), total=100, stage="", left="")
        if video_id in self._tasks:
            stage, left = visible(stage_of(progress)), left_of(progress)
            self._bars.update(self._tasks[video_id], completed=progress["progress"], stage=stage, left=left)
        self._shares[video_id] = progress["progress"] / 100
        self._show_all()

    def ended(self, video_id: str, source: str, file: Path, error: str) -> None:
        """Show that a video is written, or why not."""
        if (task := self._tasks.pop(video_id, None)) is not None:
            self._bars.remove_task(task)
        self._shares.pop(video_id, None)
        self._done += 1
        self._show_all()
        if error:
            self.tell(f"{source}: {error}", style="red")
        elif self._paths:
            print(file, flush=True)
        self._say(", ".join(filter(None, (self._stage(), self._left()))))

    def refused(self, source: str, why: str) -> None:
        """Show why there will be no video."""
        if self._all is not None:
            self._done += 1
            self._show_all()
        self.tell(f"{source}: {why}", style="red")

    def _show_all(self) -> None:
        if self._all is not None:
            done = self._done + sum(self._shares.values())
            self._bars.update(self._all, completed=min(done, self._total), stage=self._stage(), left=self._left())

    def _stage(self) -> str:
        """Return how many are done, and how many wait for room at the farm."""
        return f"{self._done} of {self._total}" + (f", {self._unsent} not sent yet" if self._is_full else "")

    def _left(self) -> str:
        """Return how long the whole batch still takes, by how fast it went so far."""
        done = self._done + sum(self._shares.values())
        fresh, left = done - self._base, self._total - done
        if fresh <= 0 or left <= 0:
            return ""
        return f"{duration(max((self._clock() - self._begun) / fresh * left, 1))} left"

    def _say(self, words: str) -> None:
        """Print a line where bars cannot move."""
        if not self._moves:
            self.tell(words)
