"""Messages of a farm's process to the process that started it, a line each on its stdout: the kind, then the words.

ready URL: it takes requests. step WORDS: what the start is at. say WORDS: a line for people. video WORDS: a video has
ended. now WORDS: what is rendered. stopped NUMBER: it ended as it was told to, with so many unfinished videos.
"""

from __future__ import annotations

import sys
from typing import IO, Literal, get_args

Kind = Literal["ready", "step", "say", "video", "now", "stopped"]
KINDS = frozenset(get_args(Kind))


class Tidings:
    """Tells the parent process, or, where nobody listens, says on stderr what people must know."""

    def __init__(self, pipe: IO[str] | None) -> None:
        """pipe: to the parent; None: there is none that reads these lines."""
        self._pipe = pipe

    def tell(self, kind: Kind, words: str) -> None:
        """Tell it, in one line."""
        words = " ".join(words.split())
        if self._pipe is not None:
            print(f"{kind} {words}", file=self._pipe, flush=True)
        elif kind == "say":
            print(words, file=sys.stderr, flush=True)
        elif kind == "stopped":
            print(stopped(int(words)), file=sys.stderr, flush=True)


ALONE = Tidings(None)


def stopped(unfinished: int) -> str:
    """Return the last line of a farm that was told to stop."""
    if not unfinished:
        return "stopped"
    return f"stopped; {unfinished} {'videos' if unfinished > 1 else 'video'} will go on at the next start"
