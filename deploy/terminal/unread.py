"""Words that nobody reads any more: they stop no process that has work to end."""

from __future__ import annotations

import contextlib
import errno
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO, cast

_GONE = {errno.EPIPE, errno.EIO}  #: the reader, or the terminal, does not come back


class _Unread:
    """A stream of text that takes what it cannot write as written."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """Write the text, or drop it."""
        with self._dropping():
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        """Write what is buffered, or drop it."""
        with self._dropping():
            self._stream.flush()

    def finish(self) -> None:
        """Write what is buffered, or drop it for good: else Python writes it at its end, and exits with 120."""
        try:
            self._stream.flush()
        except OSError:
            self._go_nowhere()

    @contextlib.contextmanager
    def _dropping(self) -> Iterator[None]:
        try:
            yield
        except OSError as err:
            if err.errno in _GONE:  # a full disk or pipe may have room again
                self._go_nowhere()

    def _go_nowhere(self) -> None:
        with Path(os.devnull).open("wb") as nothing:
            os.dup2(nothing.fileno(), self._stream.fileno())


@contextlib.contextmanager
def outliving_readers() -> Iterator[None]:
    """Go on where stdout or stderr cannot be written: its reader or its terminal is gone, or the disk is full."""
    streams = [_Unread(stream) if stream else None for stream in (sys.stdout, sys.stderr)]
    out, err = (cast("TextIO | None", stream) for stream in streams)
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            yield
    finally:
        for stream in filter(None, streams):
            stream.finish()
