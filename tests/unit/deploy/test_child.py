"""A farm that dies is started again; one that keeps dying is given up."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from deploy.node import child
from deploy.node.child import STORAGE_MARK, end_orphans, keep_running
from deploy.node.lock import locked
from deploy.terminal.unread import outliving_readers
from farm.settings import FarmSettings
from tests.imports import ROOT
from tests.patience import patient

_REAL_POPEN = subprocess.Popen
#: a farm that talks more than a pipe holds before it has drained
WORDY = """
import pathlib, signal, sys
def drain(*_):
    for n in range(2000):
        print("say the workers give their sections back, word", n, flush=True)
    pathlib.Path(sys.argv[1]).touch()
    sys.exit()
signal.signal(signal.SIGTERM, drain)
print("say it begins", flush=True)
print("ready http://127.0.0.1:18765", flush=True)
signal.pause()
"""
READY_THEN_DEAD = "import os; print('ready http://127.0.0.1:18765', flush=True); os._exit(1)"


@pytest.fixture
def starts(monkeypatch: pytest.MonkeyPatch) -> list[FarmSettings]:
    """The farms that were started: each says that it is ready, and dies."""
    begun = list[FarmSettings]()

    class Mortal(child.FarmChild):
        def __init__(self, settings: FarmSettings, **how: Any) -> None:
            begun.append(settings)
            super().__init__(settings, **how)

    real, dies = subprocess.Popen, [sys.executable, "-c", READY_THEN_DEAD]
    monkeypatch.setattr(subprocess, "Popen", lambda _command, **how: real(dies, **how))
    monkeypatch.setattr(child, "FarmChild", Mortal)
    monkeypatch.setattr(child, "_PAUSES_S", (0.0,) * 5)
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    return begun


def test_a_farm_that_keeps_dying_is_given_up(
    starts: list[FarmSettings], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is started again five times, at the same address; `ready` is printed once; the exit code is 1."""
    assert keep_running(FarmSettings(storage=str(tmp_path), port=0)) == 1
    said = capsys.readouterr()
    assert [settings.port for settings in starts] == [0, *[18765] * 5]
    assert said.out == "ready http://127.0.0.1:18765\n"
    assert said.err.count("the farm is back at http://127.0.0.1:18765") == 5
    assert "died 6 times within 10 minutes; giving up" in said.err


def test_what_a_dead_farm_left_is_ended(tmp_path: Path) -> None:
    """Only processes that carry this storage's mark."""
    sleep = [sys.executable, "-c", "import time; time.sleep(600)"]
    with (
        subprocess.Popen(sleep, env=os.environ | {STORAGE_MARK: str(tmp_path / "a")}) as left,
        subprocess.Popen(sleep, env=os.environ | {STORAGE_MARK: str(tmp_path / "ab")}) as other,
    ):
        end_orphans(tmp_path / "a")
        assert left.wait(patient(10)) == -9
        assert other.poll() is None
        other.kill()


def test_a_second_farm_on_a_storage_leaves_the_first_one_alone(
    starts: list[FarmSettings], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first farm holds the lock, so `up` ends none of its processes when its own farm cannot start."""
    monkeypatch.setattr(child, "DYING_S", 0.0)
    settings = FarmSettings(storage=str(tmp_path), port=0)
    sleep = [sys.executable, "-c", "import time; time.sleep(600)"]
    first = _REAL_POPEN(sleep, env=os.environ | {STORAGE_MARK: str(tmp_path)})
    with first, locked(settings):
        assert keep_running(settings) == 1
        assert first.poll() is None
        first.kill()
    assert len(starts) == 6


def test_a_farm_that_a_signal_kills_before_it_is_ready_ends_with_1(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Python would turn the negative code of `Popen` into another number."""
    dies = [sys.executable, "-c", "import os; os.kill(os.getpid(), 9)"]
    monkeypatch.setattr(subprocess, "Popen", lambda _command, **how: _REAL_POPEN(dies, **how))
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    assert keep_running(FarmSettings(storage=str(tmp_path), port=0)) == 1


@pytest.mark.parametrize("is_alone", [True, False])
def test_a_farm_whose_words_nobody_reads_is_drained(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, *, is_alone: bool
) -> None:
    """`framefarm up | head -1` ends the readers of stdout and stderr; the farm's own words still have one."""
    drained = tmp_path / "drained"
    words = [sys.executable, "-c", WORDY, str(drained)]
    handlers = dict[int, Any]()
    monkeypatch.setattr(subprocess, "Popen", lambda _command, **how: _REAL_POPEN(words, **how))
    monkeypatch.setattr(signal, "signal", handlers.__setitem__)

    def ready(_url: str) -> None:
        handlers[signal.SIGINT](signal.SIGINT, None)

    parent = None if is_alone else os.getppid()
    settings = FarmSettings(storage=str(tmp_path / "s"), port=0)
    with unread():
        assert keep_running(settings, ready=ready, exit_with_parent=parent) == 0
    assert drained.exists()


@contextlib.contextmanager
def unread() -> Iterator[None]:
    """Nobody reads stdout and stderr: they are a pipe without a reader."""
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as pipe, contextlib.redirect_stdout(pipe), contextlib.redirect_stderr(pipe):
        yield


def say(word: str) -> None:
    """Print a line at once."""
    sys.stdout.write(f"{word}\n")
    sys.stdout.flush()


def test_a_full_pipe_silences_a_process_only_while_it_is_full() -> None:
    """A reader is slow, and the pipe does not wait for it: what does not fit is dropped, and later words are read."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    with os.fdopen(writer, "w") as pipe, os.fdopen(reader, "rb", buffering=0) as words:
        with contextlib.redirect_stdout(pipe), outliving_readers():
            for _ in range(200):
                say("x" * 1000)
            assert words.read(1 << 20)
            say("now")
        assert words.read(1 << 20).endswith(b"now\n")


SPEAK = """
import sys
from deploy.terminal.unread import outliving_readers
with outliving_readers():
    print("x" * 1000, flush=sys.argv[1] == "flush")
sys.exit(3)
"""


@pytest.mark.parametrize("when", ["flush", "later"])
def test_a_full_disk_does_not_change_the_exit_code(when: str) -> None:
    """Python would end with 120, and a rented machine would not switch itself off."""
    env = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    with Path("/dev/full").open("w") as full:
        command = [sys.executable, "-c", SPEAK, when]
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, env=env, cwd=ROOT, check=False)
    assert (done.returncode, done.stderr) == (3, b"")


def test_a_relative_path_of_the_token_holds_in_the_farms_folder(
    starts: list[FarmSettings], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The farm's process runs in the packages' folder, not in the user's."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", "token")
    child.FarmChild(FarmSettings(storage=str(tmp_path), port=0)).stop()
    assert os.environ["RAY_AUTH_TOKEN_PATH"] == str(tmp_path / "token")
    assert len(starts) == 1
