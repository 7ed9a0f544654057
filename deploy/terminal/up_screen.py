"""The screen of a farm that runs in the foreground: its start, a line a video, and the videos that it renders now."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO, TYPE_CHECKING, Self

from deploy.node.tidings import Kind, stopped
from deploy.terminal.screen import visible
from deploy.terminal.starting import starting

if TYPE_CHECKING:
    from rich.console import Console
    from rich.status import Status


class UpScreen:
    """A terminal shows people's lines, and a file takes the farm's log. Elsewhere both go to stderr."""

    def __init__(self, log: Path, console: Console | None = None) -> None:
        """log: the file, if the console is a terminal."""
        from rich.console import Console

        self._console = console or Console(stderr=True, highlight=False)
        self.log_path = log if self._console.is_terminal else None
        self.log: IO[bytes] | None = None  #: for the farm's stderr; None: stderr itself
        self._shown = contextlib.ExitStack()  # the line that moves
        self._step: Callable[[str], None] = self._say
        self._line: Status | None = None

    def __enter__(self) -> Self:
        if self.log_path is not None:
            self.log_path.parent.mkdir(parents=True, exist_ok=True)
            self.log = self.log_path.open("wb")
            self._say(f"log: {self.log_path}")
        return self

    def __exit__(self, *_: object) -> None:
        self._shown.close()
        if self.log is not None:
            self.log.close()

    def begin(self) -> None:
        """Show that the farm starts."""
        self._shown.close()
        self._step = self._shown.enter_context(starting("starting the farm", self._console))

    def ready(self) -> None:
        """Show no start any more."""
        self._shown.close()

    def run(self) -> None:
        """Show what is rendered from now on."""
        if self.log_path is not None and not self._console.is_dumb_terminal:
            self._line = self._shown.enter_context(self._console.status("idle", spinner="line"))

    def hear(self, kind: Kind, words: str) -> None:
        """Take in what the farm's process tells."""
        if kind == "step":
            self._step(words)
        elif kind == "say":
            self._say(words)
        elif kind == "video" and self.log_path is not None:
            self._say(f"{time.strftime('%H:%M')}  {words}")
        elif kind == "now" and self._line is not None:
            self._line.update(visible(words).replace("[", "\\["))
        elif kind == "stopped":
            self._shown.close()
            self._say(stopped(int(words)))

    def _say(self, words: str) -> None:
        self._console.print(visible(words), markup=False, soft_wrap=True)
