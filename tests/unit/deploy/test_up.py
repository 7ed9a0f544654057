"""Messages of `up` and `join` to people, as far as they need no Ray."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from huggingface_hub import constants

from deploy import cli
from deploy.commands import farm, page
from deploy.node import local, lock
from deploy.node.tidings import Tidings
from farm.errors import ConfigError
from farm.keys import new_key
from farm.settings import FarmSettings
from framefarm_client.address import running_at
from tests.imports import ROOT
from tests.unit.deploy.test_child import unread


@pytest.fixture
def quick_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """`up` without a Ray below it: it is told to stop as soon as it is ready."""

    @contextlib.contextmanager
    def cluster(
        _settings: FarmSettings, _bound: contextlib.ExitStack, stop: threading.Event, _tidings: Tidings
    ) -> Iterator[tuple[None, str]]:
        stop.set()
        yield None, "http://127.0.0.1:8000"

    monkeypatch.setattr(local, "_cluster", cluster)
    monkeypatch.chdir(".")  # and back at the end: it leaves this folder
    monkeypatch.setattr(local, "_drain", lambda _dispatcher: None)
    monkeypatch.setattr(local, "_unfinished", lambda _dispatcher: 2)
    monkeypatch.setattr(local, "_heed_signals", lambda _stop: None)


@pytest.mark.usefixtures("quick_up")
def test_up_says_who_may_ask(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Without keys a line on stderr, not on stdout; with keys none."""
    settings = FarmSettings(storage=str(tmp_path), port=0, workers="1", model="tiny")
    assert local.run_foreground(settings) == 0
    said = capsys.readouterr()
    assert "no API keys: only this machine may use this farm" in said.err
    assert said.err.endswith("\nstopped; 2 videos will go on at the next start\n")
    assert said.out.startswith("ready http://")
    _, entry = new_key("alice")
    keyed = FarmSettings(storage=str(tmp_path), port=0, workers="1", model="tiny", api_keys=entry)
    assert local.run_foreground(keyed) == 0
    assert "API keys" not in capsys.readouterr().err


@pytest.mark.usefixtures("quick_up")
def test_a_farm_drains_although_nobody_reads_its_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its parent is gone, or no longer reads: the lines about the end must not keep it from draining."""
    drained = list[object]()
    monkeypatch.setattr(local, "_drain", drained.append)
    for thread in ("_end_with", "follow_videos"):
        monkeypatch.setattr(local, thread, lambda *_: None)
    settings = FarmSettings(storage=str(tmp_path), port=0, workers="1", model="tiny")
    with unread():
        assert local.run_foreground(settings, exit_with_parent=os.getppid()) == 0
    assert len(drained) == 1


def test_what_was_typed_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    """`join nowhere` complains of the address, not of a setting that nobody set."""
    assert cli.main(["join", "nowhere"]) == 2
    said = capsys.readouterr().err
    assert "'nowhere'" in said
    assert "HOST:PORT" in said
    assert "FARM_RAY" not in said


@pytest.mark.parametrize("words", [["up", "--precision", "fp1"], ["join", "10.0.0.5:6379"]], ids=lambda words: words[0])
def test_native_windows_is_refused_in_one_line(words: list[str]) -> None:
    """Before a setting is judged or anything is imported that Windows does not have, with the page that helps."""
    code = (
        "import os, platform, platformdirs, sys\n"  # platformdirs asks sys.platform, which says Linux here
        "missing = ('fcntl', 'resource', 'termios', 'pwd', 'grp')\n"
        "for name in ('getuid', 'geteuid', 'getgid', 'getegid', 'fork', 'setsid', 'killpg'): delattr(os, name)\n"
        "sys.modules.update(dict.fromkeys(missing))\n"
        "from deploy.cli import main\n"
        "platform.system = lambda: 'Windows'\n"
        "sys.exit(main(sys.argv[1:]))"
    )
    done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, check=False)
    (line,) = done.stderr.splitlines()
    assert (done.returncode, done.stdout) == (2, "")
    assert "native Windows: use WSL2" in line
    assert (ROOT / line.rpartition(", as ")[2].removesuffix(" says")).is_file()


def test_who_holds_the_storage_is_named(tmp_path: Path) -> None:
    """A check is not called a farm, nor a farm a check."""
    settings = FarmSettings(storage=str(tmp_path))
    with lock.locked(settings, holder="`framefarm fsck`"):
        with pytest.raises(ConfigError, match=r"in use by `framefarm fsck` \(process \d+\)"), lock.locked(settings):
            pass
        assert running_at(settings.storage_path) is None
    with lock.locked(settings), pytest.raises(ConfigError, match="in use by a farm"), lock.locked(settings):
        pass


@pytest.mark.parametrize("failures", [1, 3])
@pytest.mark.parametrize(
    "said",
    ["The current node timed out during startup. This could ...", "Timed out waiting for file /r/gcs_server_port"],
)
def test_ray_is_started_again_on_a_busy_machine(
    failures: int, said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its own rule is 30 s. The third start that takes longer ends `up` in one line."""
    import ray

    starts = list[int]()

    def init(**_: object) -> None:
        starts.append(1)
        if len(starts) <= failures:
            raise Exception(said)  # noqa: TRY002 - as Ray does

    monkeypatch.setattr(ray, "init", init)
    monkeypatch.setattr(local, "end_descendants", lambda: None)
    if failures < 3:
        local.init_ray(_temp_dir="/tmp/r")
    else:
        with pytest.raises(ConfigError, match=r"too busy.*/tmp/r/session_latest/logs"):
            local.init_ray(_temp_dir="/tmp/r")
    assert len(starts) == min(failures + 1, 3)
    assert capsys.readouterr().err.count("it starts again") == min(failures, 2)


def test_a_farm_that_could_render_nothing_is_not_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With what is missing, and how other machines render; with a GPU, the worker fetches the files."""
    for name in ("FARM_URL", "FARM_DEVICE_GB"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    started = list[FarmSettings]()
    for module in (farm, page):
        monkeypatch.setattr(module, "runner", lambda **_: lambda own, **_: started.append(own))
    for command in ("up", "ui"):
        asked = [command, "--model", "framepack-i2v", "--storage", str(tmp_path)]
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
        assert cli.main(asked) == 2
        said = " ".join(capsys.readouterr().err.split())
        assert "framepack-i2v needs a GPU, and none was found here (pocket needs none); about " in said
        assert (
            "GB of the files of framepack-i2v are missing (`framefarm models pull framepack-i2v` fetches them)" in said
        )
        assert "--workers 0" in said
        assert cli.main([command, "--model", "tiny", "--attention", "sage", "--storage", str(tmp_path)]) == 2
        assert "attention: sage needs a GPU, and none was found here; use sdpa" in capsys.readouterr().err
        assert cli.main([*asked, "--stages", "decode,finish"]) == 2  # such a worker needs the files, too
        assert started == []
        capsys.readouterr()
        cli.main([*asked, "--workers", "0"])
        cli.main([*asked, "--ray", "10.0.0.5:6379"])
        assert capsys.readouterr().err == ""
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
        cli.main(asked)
        assert "else the worker fetches them before its first video" in " ".join(capsys.readouterr().err.split())
        assert len(started) == 3
        started.clear()
