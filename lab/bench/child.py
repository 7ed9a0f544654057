"""A process that tells its parent what it measures, a line of JSON at a time, and that dies with it."""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

_DEATH_S = 30.0  #: between the end of a process' pipe and its own


class Child:
    """The parent's end. The process, and all that it started, is killed when the context ends."""

    def __init__(self, command: Sequence[str], errors: Path) -> None:
        """errors: file that what it prints is added to."""
        self._command, self._errors = command, errors
        self._lines: queue.Queue[str] = queue.Queue()  # an empty line is the end

    def __enter__(self) -> Self:
        with self._errors.open("a") as errors:
            self._process = subprocess.Popen(
                self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True, process_group=0
            )
        self._reader = threading.Thread(target=self._read, args=(self._process.stdout,), daemon=True)
        self._reader.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, err: BaseException | None, at: TracebackType | None) -> None:
        with suppress(ProcessLookupError):  # the group is gone already
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._reader.join()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()

    def line(self, timeout_s: float) -> dict[str, Any] | None:
        """Return the next line; None when the process has ended, or after the timeout."""
        try:
            text = self._lines.get(timeout=min(max(0.0, timeout_s), threading.TIMEOUT_MAX))
        except queue.Empty:
            return None
        if not text:
            self._lines.put("")
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(_DEATH_S)
            return None
        found: dict[str, Any] = json.loads(text)
        return found

    def blame(self, limit_s: float) -> str:
        """Say why there was no line."""
        status = self._process.poll()
        if status is None:
            return f"ended: it took longer than {limit_s:g} s"
        return f"the process ended with {signal.Signals(-status).name if status < 0 else f'exit status {status}'}"

    def _read(self, pipe: IO[str]) -> None:
        for line in pipe:
            if not line.endswith("\n"):  # killed in the middle of it
                break
            self._lines.put(line)
        self._lines.put("")


def to_parent() -> Callable[[Mapping[str, Any]], None]:
    """Make what writes a line to the parent; from now on stdout goes to stderr, and this process dies with its parent.

    The parent holds the other end of stdin, which closes when the parent ends, however it ends.
    """
    pipe = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)

    def die_with_parent() -> None:
        sys.stdin.buffer.read()
        os._exit(1)

    threading.Thread(target=die_with_parent, daemon=True).start()

    def tell(line: Mapping[str, Any]) -> None:
        pipe.write(json.dumps(line) + "\n")
        pipe.flush()

    return tell
