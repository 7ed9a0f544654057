"""Words that nobody reads any more: they stop no process that has work to end."""

from __future__ import annotations

import contextlib
import errno
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO, cast


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

    @contextlib.contextmanager
    def _dropping(self) -> Iterator[None]:
        try:
            yield
        except OSError as err:
            if err.errno != errno.ENOSPC:  # the reader is gone for good; else Python fails at its end, on the buffer
                with Path(os.devnull).open("wb") as nothing:
                    os.dup2(nothing.fileno(), self._stream.fileno())


@contextlib.contextmanager
def outliving_readers() -> Iterator[None]:
    """Go on where stdout or stderr cannot be written: its reader or its terminal is gone, or the disk is full."""
    out, err = (cast("TextIO", _Unread(stream)) if stream else None for stream in (sys.stdout, sys.stderr))
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        yield
