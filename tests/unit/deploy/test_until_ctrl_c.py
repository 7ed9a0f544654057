"""Commands that go on until Ctrl-C, from outside: on a pipe, on a terminal, and with a farm that goes away."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

import pytest
from fastapi.testclient import TestClient

from deploy import cli
from deploy.terminal.video_ids import short
from farm.jobs import Jobs, Record
from tests.unit.conftest import serving

Accept = Callable[..., Record]
Process = subprocess.Popen[bytes]


@contextlib.contextmanager
def running(*argv: str, stdout: int = subprocess.PIPE) -> Iterator[Process]:
    """A command; a shell's background jobs would ignore SIGINT."""
    heed = "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler); from deploy.cli import main; "
    command = [sys.executable, "-c", f"{heed}sys.exit(main())", *argv]
    env = {**os.environ, "PYTHONPATH": str(Path(cli.__file__).parents[1]), "COLUMNS": "200", "TERM": "xterm"}
    with subprocess.Popen(command, env=env, stdout=stdout, stderr=subprocess.PIPE) as process:
        try:
            yield process
        finally:
            process.kill()


def line_of(stream: IO[bytes] | None) -> str:
    """The next line."""
    assert stream is not None
    return stream.readline().decode().rstrip("\n")


def interrupted(process: Process) -> tuple[int, str]:
    """Its exit status after a Ctrl-C, and what it still said."""
    process.send_signal(signal.SIGINT)
    words = process.communicate()[1].decode()
    return process.returncode, words


def test_a_line_for_each_change(farm_url: str, accept: Accept, jobs: Jobs) -> None:
    """Videos that come, change or leave the list get a line each; Ctrl-C ends the command without a trace."""
    first = accept(name="one").job.id
    with running("list", "--watch") as process:
        assert line_of(process.stdout).split("\t")[:2] == [first, "queued"]
        second = accept(prompt="two\nlines").job.id
        assert line_of(process.stdout) == f"{second}\tqueued\t0\t-\t-\t\ttwo lines"
        jobs.wish(first, "cancel", owner="local")
        assert line_of(process.stdout).split("\t")[:2] == [first, "cancelled"]
        jobs.delete(first, owner="local")
        assert line_of(process.stdout).split("\t")[:2] == [first, "gone"]
        assert interrupted(process) == (130, "")


def test_json_is_a_video_a_line(farm_url: str, accept: Accept, jobs: Jobs) -> None:
    """Only those that were asked for: one that is queued no more has left the list."""
    video = accept().job.id
    with running("list", "--watch", "--json", "--status", "queued") as process:
        assert json.loads(line_of(process.stdout))["request"]["prompt"] == "a cat"
        jobs.wish(video, "pause", owner="local")
        assert json.loads(line_of(process.stdout)) == {"id": video, "object": "video.gone", "status": "gone"}


def test_a_farm_that_is_away_is_waited_for(
    http: TestClient, accept: Accept, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """It says so, goes on when the farm is back, and tells nothing twice. Where none is to begin with it exits 2."""
    first = accept().job.id
    with contextlib.ExitStack() as farm:
        port = farm.enter_context(serving(http))
        monkeypatch.setenv("FARM_URL", f"http://127.0.0.1:{port}")
        with running("list", "--watch") as process:
            assert line_of(process.stdout).startswith(first)
            farm.close()
            assert "waiting for it" in line_of(process.stderr)
            second = accept().job.id
            with serving(http, port):
                assert line_of(process.stderr) == "the farm answers again"
                assert line_of(process.stdout).startswith(second)
    monkeypatch.delenv("FARM_URL")
    assert cli.main(["list", "--watch", "--storage", str(tmp_path)]) == 2


def test_a_terminal_shows_a_table_that_changes(farm_url: str, accept: Accept, jobs: Jobs) -> None:
    """With a head, in its place; Ctrl-C leaves the last one there."""
    video = accept().job.id
    ours, its = pty.openpty()
    with running("list", "--watch", stdout=its) as process:
        os.close(its)
        shown = b""
        while b"queued" not in shown:
            shown += os.read(ours, 65536)
        jobs.wish(video, "pause", owner="local")
        while b"paused" not in shown:
            shown += os.read(ours, 65536)
        assert interrupted(process) == (130, "")
    os.close(ours)
    assert all(word in shown for word in (b"PROMPT", short(video).encode(), b"\x1b[1A"))  # the cursor goes up again


def test_ctrl_c_leaves_several_videos_alone(farm_url: str, accept: Accept, jobs: Jobs) -> None:
    """`watch` of several ends at once and without a trace of its threads; the videos go on."""
    ids = [accept().job.id for _ in range(3)]
    with running("watch", *ids) as process:
        assert sorted(line_of(process.stderr) for _ in ids) == sorted(f"{short(id_)} queued" for id_ in ids)
        assert interrupted(process) == (130, "")
    assert {jobs.get(id_, owner=None).head.state.status for id_ in ids} == {"queued"}
