"""`framefarm ui`: what it prints, whom it lets in, and what it leaves alone. No Ray runs here."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy import cli
from deploy.node import local
from deploy.node.lock import locked, write_lock
from deploy.node.tidings import Tidings
from farm.keys import name_of, parse_keys
from farm.settings import FarmSettings

Out = pytest.CaptureFixture[str]


@pytest.fixture
def farms(monkeypatch: pytest.MonkeyPatch) -> list[FarmSettings]:
    """The farms that were started: each is told to stop as soon as it is ready."""
    begun = list[FarmSettings]()

    @contextlib.contextmanager
    def cluster(
        settings: FarmSettings, _bound: contextlib.ExitStack, stop: threading.Event, _tidings: Tidings
    ) -> Iterator[tuple[None, str]]:
        begun.append(settings)
        stop.set()
        yield None, f"http://{settings.host}:{settings.port or 7861}"

    monkeypatch.setattr(local, "_cluster", cluster)
    monkeypatch.chdir(".")  # and back at the end: it leaves this folder
    monkeypatch.setattr(local, "_drain", lambda _dispatcher: None)
    monkeypatch.setattr(local, "_unfinished", lambda _dispatcher: 0)
    monkeypatch.setattr(local, "_heed_signals", lambda _stop: None)
    return begun


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The commands that would open a browser."""
    commands = list[list[str]]()
    monkeypatch.setattr(subprocess, "Popen", lambda command, **_: commands.append(command))
    return commands


def ui(storage: Path, *flags: str) -> int:
    """Run the command with a tiny farm."""
    return cli.main(["ui", "--no-restart", "--storage", str(storage), "--model", "tiny", "--workers", "1", *flags])


def test_the_pages_address_is_all_of_stdout(
    farms: list[FarmSettings], opened: list[list[str]], tmp_path: Path, capsys: Out
) -> None:
    """On loopback it needs no key. --inbrowser opens that address, too."""
    assert ui(tmp_path, "--port", "7862") == 0
    address = "http://127.0.0.1:7862/ui/"
    assert capsys.readouterr().out == f"{address}\n"
    assert (farms[0].api_keys, opened) == ("", [])
    assert ui(tmp_path, "--port", "7862", "--inbrowser") == 0
    assert capsys.readouterr().out == f"{address}\n"
    assert opened == [[sys.executable, "-m", "webbrowser", address]]


@pytest.mark.parametrize(
    ("typed", "wanted"),
    [
        ("", ("127.0.0.1", 7860)),
        ("FARM_PORT=8123 --server 127.0.0.2", ("127.0.0.2", 8123)),
        ("FARM_HOST=127.0.0.4 --host 127.0.0.3 --port 8124", ("127.0.0.3", 8124)),
    ],
)
def test_it_listens_where_the_forks_do(
    typed: str, wanted: tuple[str, int], farms: list[FarmSettings], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At 127.0.0.1:7860, unless a flag or the environment says otherwise; flags win."""
    for variable in (word for word in typed.split() if "=" in word):
        monkeypatch.setenv(*variable.split("="))
    assert ui(tmp_path, *(word for word in typed.split() if "=" not in word)) == 0
    assert (farms[0].host, farms[0].port) == wanted


def test_open_to_the_network_it_makes_a_key(
    farms: list[FarmSettings], opened: list[list[str]], tmp_path: Path, capsys: Out
) -> None:
    """The address holds the key of this run, whose videos are those of this machine; a farm's own keys stay."""
    assert ui(tmp_path, "--server", "0.0.0.0", "--port", "0") == 0
    said = capsys.readouterr()
    address, _, key = said.out.strip().partition("#key=")
    assert said.out.count("\n") == 1
    assert address.endswith("/ui/")
    assert "0.0.0.0" not in address
    assert name_of(key, parse_keys(farms[0].api_keys)) == "local"
    assert f"FARM_API_KEY={key}" in said.err

    assert ui(tmp_path, "--server", "0.0.0.0", "--port", "0", "--api-keys", farms[0].api_keys) == 0
    assert "#" not in capsys.readouterr().out
    assert farms[1].api_keys == farms[0].api_keys

    assert ui(tmp_path, "--server", "0.0.0.0", "--port", "0", "--inbrowser") == 0
    said = capsys.readouterr()
    page, _, key = said.out.strip().partition("#key=")
    assert key  # other users of this machine see commands, so the browser's has no key
    assert opened == [[sys.executable, "-m", "webbrowser", page]]
    assert "opens without the key" in said.err


def test_a_farm_that_runs_is_only_shown(
    farms: list[FarmSettings], opened: list[list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Out
) -> None:
    """The one on this storage, or the one that FARM_URL names, however it is written."""
    with locked(FarmSettings(storage=str(tmp_path))) as lock:
        write_lock(lock, "http://127.0.0.1:18000")
        assert ui(tmp_path, "--inbrowser") == 0
        assert capsys.readouterr().out == "http://127.0.0.1:18000/ui/\n"
        write_lock(lock, "http://0.0.0.0:18000")
        assert ui(tmp_path) == 0
        assert "0.0.0.0" not in capsys.readouterr().out
    for url, shown in (
        ("farm.example", "http://farm.example/ui/"),
        ("https://farm.example/v1", "https://farm.example/ui/"),
        ("https://farm.example/videos/", "https://farm.example/videos/ui/"),
        ("http://[::1]:8000", "http://[::1]:8000/ui/"),
    ):
        monkeypatch.setenv("FARM_URL", url)
        assert ui(tmp_path) == 0
        assert capsys.readouterr().out == f"{shown}\n"
    monkeypatch.setenv("FARM_URL", "nonsense nonsense")
    assert ui(tmp_path) == 2
    assert farms == []
    assert len(opened) == 1


def test_there_is_no_tunnel(farms: list[FarmSettings], tmp_path: Path, capsys: Out) -> None:
    """--share says why, and what to do instead."""
    assert ui(tmp_path, "--share") == 2
    said = capsys.readouterr()
    assert (said.out, farms) == ("", [])
    for word in ("ssh", "TLS", "docs/how-to/page.md"):
        assert word in said.err


def test_it_takes_every_flag_of_up() -> None:
    """Both run a farm."""
    flags = {
        name: {text for param in cli.load_command(name).params for text in [*param.opts, *param.secondary_opts]}
        for name in ("up", "ui")
    }
    assert flags["up"] - flags["ui"] == {"--exit-with-parent"}
    assert {"--server", "--inbrowser", "--share"} <= flags["ui"]
