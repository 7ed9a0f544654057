"""A video whose sections kill the worker that makes them, as the kernel's memory killer would: with SIGKILL."""

from __future__ import annotations

import contextlib
import os
import re
import threading
from collections.abc import Callable
from pathlib import Path

_BEGINS = re.compile(
    r"\(RenderWorker pid=(?P<pid>\d+)(?:, ip=(?P<address>[\d.]+))?\).*"
    r"action=begin job_id=(?P<video>video_\w+) .*stage=section\b"
)
_LOOK_S = 0.05


class Poison:
    """Reads the farm's log, and kills each worker that begins a section of one of these videos."""

    def __init__(self, log: Path, kill: Callable[[int, str | None], None]) -> None:
        """Starts behind what the log says already. kill: gets a worker's process number, and its machine's address."""
        self._log, self._kill, self._videos = log, kill, set[str]()
        self.deaths = 0
        self._over = threading.Event()
        self._watcher = threading.Thread(target=self._watch, name="poison")
        self._watcher.start()

    def add(self, video_id: str) -> None:
        """From now on this video is poison."""
        self._videos.add(video_id)

    def stop(self) -> None:
        """Kill no more."""
        self._over.set()
        self._watcher.join()

    def _watch(self) -> None:
        with self._log.open(errors="replace") as log:
            log.seek(0, os.SEEK_END)
            while not self._over.wait(_LOOK_S):
                for line in log:
                    found = _BEGINS.search(line)
                    if found and found["video"] in self._videos:
                        with contextlib.suppress(ProcessLookupError):
                            self._kill(int(found["pid"]), found["address"])
                            self.deaths += 1
