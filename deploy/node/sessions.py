"""Ray's sessions in its folder (FARM_RAY_DIR): each start makes one, with 8 to 19 MB of logs and sockets."""

from __future__ import annotations

import contextlib
import shutil
import socket
import time
from pathlib import Path

_YOUNG_S = 120.0  #: a session that is older and has no raylet gets none: Ray gives up a start after 30 s
_KEPT = 3  #: sessions, the newest; several farms may share the folder
_ANSWER_S = 1.0


def remove_dead_sessions(folder: Path) -> None:
    """Remove the sessions of starts that have ended, but for the last ones, whose logs say why they ended."""
    for session in sorted(folder.glob("session_2*"))[:-_KEPT]:  # their names are times
        with contextlib.suppress(OSError):  # another start removed it just now
            # a machine that joins again changes a folder in it
            changed = max(path.lstat().st_mtime for path in (session, *session.iterdir()))
            is_young = time.time() - changed < _YOUNG_S
            if not is_young and not _lives(session):
                shutil.rmtree(session, ignore_errors=True)


def _lives(session: Path) -> bool:
    """Whether a raylet listens there; several nodes of one farm share a session."""
    return any(_listens(path) for path in session.glob("sockets/raylet*"))


def _listens(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as knock:
        knock.settimeout(_ANSWER_S)
        try:
            knock.connect(str(path))
        except (ConnectionRefusedError, FileNotFoundError):
            return False
        except OSError:  # it is busy, or another user's
            return True
        return True
