"""The partial file of a download: the next call goes on with it, and of two calls at once each has its own."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from uuid import uuid4


def tag_of(part: Path) -> Path:
    """Return the file that keeps a partial file's ETag."""
    return part.with_suffix(".etag")


@contextmanager
def own_part(part: Path) -> Iterator[Path]:
    """Give `part`, with what an earlier call left in it; while another call writes it, a new file beside it.

    Windows has no lock that lets a file be moved: there, two calls at once write one file. Raises: OSError.
    """
    part.parent.mkdir(parents=True, exist_ok=True)
    with ExitStack() as held:
        if not _is_ours(part, held):
            part = part.with_name(f"{part.stem}.{uuid4().hex[:8]}.part")
            held.callback(tag_of(part).unlink, missing_ok=True)
            held.callback(part.unlink, missing_ok=True)
        try:
            yield part
        finally:
            with suppress(FileNotFoundError):
                if part.stat().st_size == 0:
                    part.unlink()


def _is_ours(part: Path, held: ExitStack) -> bool:
    """Lock `part`, which is made if it is missing; tell whether nobody else has."""
    if sys.platform == "win32":
        return True
    import fcntl

    while True:
        file = held.enter_context(part.open("ab"))
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError:  # a file system without locks
            return True
        with suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(file.fileno()), part.stat()):
                return True  # else the other call has just moved it to its place
