"""Ray's sessions on the disk."""

from __future__ import annotations

import os
import socket
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.node.sessions import remove_dead_sessions


@pytest.fixture
def folder() -> Iterator[Path]:
    """Ray's folder, with a path short enough for sockets."""
    with tempfile.TemporaryDirectory(dir="/tmp") as name:
        yield Path(name)


def start(folder: Path, number: int, *, age_s: float = 3600.0) -> tuple[Path, socket.socket]:
    """Make a session as Ray does, and its raylet's door."""
    session = folder / f"session_2026-11-28_11-01-22_{number:06}_7508"
    (session / "sockets").mkdir(parents=True)
    (session / "raylet.out").write_text("words")
    raylet = socket.socket(socket.AF_UNIX)
    raylet.bind(str(session / "sockets" / "raylet"))
    raylet.listen(1)
    for path in (*session.iterdir(), session):
        os.utime(path, (time.time() - age_s,) * 2)
    return session, raylet


def test_twenty_starts_leave_three_sessions(folder: Path) -> None:
    """Each start removes the sessions before the last three."""
    sessions = list[Path]()
    for number in range(20):
        remove_dead_sessions(folder)
        session, raylet = start(folder, number)
        raylet.close()
        sessions.append(session)
        assert len(list(folder.glob("session_2*"))) <= 4
    remove_dead_sessions(folder)
    assert set(folder.glob("session_2*")) == set(sessions[-3:])
    assert (session / "raylet.out").read_text() == "words"


def test_what_lives_or_starts_or_is_not_rays_stays(folder: Path) -> None:
    """A session whose raylet listens, one that began just now, one that a machine joins again, and other files."""
    living, raylet = start(folder, 1)
    young, dead, again = start(folder, 2, age_s=10.0), start(folder, 3), start(folder, 0)
    last = [start(folder, number) for number in (4, 5, 6)]
    for _, door in (dead, again, *last):
        door.close()
    (again[0] / "sockets" / "raylet").unlink()
    (folder / "http-1").mkdir()
    with raylet, young[1]:
        remove_dead_sessions(folder)
        assert set(folder.glob("session_2*")) == {living, young[0], again[0], *(session for session, _ in last)}
    assert (folder / "http-1").is_dir()
    remove_dead_sessions(folder / "is not there")
