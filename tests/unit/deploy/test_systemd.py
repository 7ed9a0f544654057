"""The units of deploy/systemd: systemd knows every key, and the farm every word of theirs."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
from configparser import RawConfigParser
from pathlib import Path

import pytest

from deploy.cli import load_command, main
from deploy.commands import service
from deploy.node.service_manager import SOCKET
from farm.settings import FarmSettings
from tests.imports import ROOT

UNITS = sorted((ROOT / "deploy" / "systemd").glob("*.service"))
ANALYZE = shutil.which("systemd-analyze")
MOST_EXPOSED = 5.0  #: of 10


def unit(path: Path) -> RawConfigParser:
    """The file by its sections and keys, which come in small letters; of a key that appears twice, the last."""
    parsed = RawConfigParser(delimiters="=", comment_prefixes="#", inline_comment_prefixes=None, strict=False)
    parsed.read(path)
    return parsed


@pytest.fixture
def here(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """The unit as it would be on this machine: a user and a program that there are."""
    path: Path = request.param
    text = re.sub(r"(?m)^ExecStart=\S+", f"ExecStart={sys.executable}", path.read_text())
    copy = tmp_path / path.name
    copy.write_text(text.replace("User=framefarm", "User=root"))
    return copy


@pytest.mark.skipif(ANALYZE is None, reason="no systemd here")
@pytest.mark.parametrize("here", UNITS, ids=lambda path: path.stem, indirect=True)
def test_systemd_knows_every_key(here: Path) -> None:
    """`verify` ends with 0 even so: it must say nothing. A misspelt key shows that it would."""
    assert ANALYZE

    def said() -> str:
        done = subprocess.run([ANALYZE, "verify", str(here)], capture_output=True, text=True, check=False)
        return done.stdout + done.stderr

    assert said() == ""
    here.write_text(here.read_text().replace("[Service]", "[Service]\nRestartSecs=5"))
    assert "RestartSecs" in said()


@pytest.mark.skipif(ANALYZE is None, reason="no systemd here")
@pytest.mark.parametrize("here", UNITS, ids=lambda path: path.stem, indirect=True)
def test_a_unit_may_do_little(here: Path) -> None:
    """As systemd counts it."""
    said = subprocess.run(
        [str(ANALYZE), "security", "--offline=true", str(here)], capture_output=True, text=True, check=True
    ).stdout
    (exposure,) = re.findall(r"exposure level for \S+: ([\d.]+)", said)
    assert float(exposure) <= MOST_EXPOSED


@pytest.mark.parametrize("place", ["file", "abstract"])
@pytest.mark.parametrize("command", [("up", "--no-restart"), ("join", "10.0.0.5:6379")], ids=lambda words: words[0])
def test_a_wrong_setting_is_told_to_systemd(command: tuple[str, ...], place: str, tmp_path: Path) -> None:
    """On the socket that systemd names, so that `systemctl status` shows it after the process has ended."""
    name = f"@{tmp_path}" if place == "abstract" else f"{tmp_path}/notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(name.replace("@", "\0"))
        systemd.setblocking(False)
        ended = subprocess.run(
            [sys.executable, "-m", "deploy.cli", *command],
            env=os.environ | {SOCKET: name, "FARM_LEASE_S": "soon"},
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
        told = systemd.recv(4096).decode()
        assert ended.returncode == 2
        assert told.startswith("STATUS=FARM_LEASE_S='soon': need a number")
        assert " ".join(ended.stderr.split()) == f"framefarm: {told.removeprefix('STATUS=')}"
        with pytest.raises(BlockingIOError):
            systemd.recv(4096)


@pytest.mark.parametrize("path", UNITS, ids=lambda path: path.stem)
def test_the_farm_knows_what_a_unit_says(path: Path) -> None:
    """The command, its flags and its settings."""
    service = unit(path)["Service"]
    program, command, *words = service["ExecStart"].split()
    assert program.endswith("/framefarm")
    known = {flag for param in load_command(command).params for flag in (*param.opts, *param.secondary_opts)}
    assert {word for word in words if word.startswith("--")} <= known
    given = " ".join(re.findall(r"(?m)^Environment=(.*)", path.read_text()))
    settings = dict(pair.split("=", 1) for pair in given.split())
    FarmSettings.from_env({name: value.replace("%t", "/run") for name, value in settings.items()})


@pytest.mark.parametrize("words", [[], ["--join", "10.0.0.5:6379"]], ids=["up", "join"])
@pytest.mark.parametrize("scope", ["system", "user"])
def test_install_writes_a_unit_for_this_installation(
    scope: str, words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Also a user's own; settings that are there stay, and a unit that somebody changed."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.setattr(service, "ETC", tmp_path)
    flags = ["--user"] if scope == "user" else []
    assert main(["service", "install", *flags, *words]) == 0
    said = capsys.readouterr()
    path, settings = map(Path, said.out.splitlines())
    name = "framefarm-join" if words else "framefarm"
    assert path == tmp_path / "systemd" / scope / f"{name}.service"
    assert f"enable --now {name}" in said.err
    assert settings.stat().st_mode & 0o777 == 0o600
    assert "#FARM_MODEL=" in settings.read_text()
    program = Path(sys.executable).with_name("framefarm")
    command = "join 10.0.0.5:6379" if words else "up --no-restart"
    assert unit(path)["Service"]["ExecStart"] == f"{program} {command}"
    assert ("User=" in path.read_text()) == (scope == "system")
    if ANALYZE:
        path.write_text(path.read_text().replace("User=framefarm", "User=root"))
        done = subprocess.run([ANALYZE, f"--{scope}", "verify", path], capture_output=True, text=True, check=False)
        assert done.stdout + done.stderr == ""
    settings.write_text("FARM_MODEL=tiny\n")
    written = path.read_text() + "# mine\n"
    path.write_text(written)
    capsys.readouterr()
    assert main(["service", "install", *flags, *words]) == 2
    assert f"{path} is there and differs: --force replaces it" in capsys.readouterr().err
    assert path.read_text() == written
    assert main(["service", "install", "--force", *flags, *words]) == 0
    assert "# mine" not in path.read_text()
    assert settings.read_text() == "FARM_MODEL=tiny\n"


@pytest.mark.parametrize("address", ["", "nowhere"])
def test_install_refuses_an_address_that_no_farm_can_have(address: str, capsys: pytest.CaptureFixture[str]) -> None:
    """An empty one, too, such as an empty variable of a script."""
    assert main(["service", "install", "--join", address]) == 2
    assert f"--join {address!r}: need HOST:PORT" in capsys.readouterr().err


def test_a_farm_that_is_away_never_stops_the_unit() -> None:
    """`join` waits FARM_GIVE_UP_S at each start, so that fewer starts than the limit fit into its interval."""
    text = (ROOT / "deploy" / "systemd" / "framefarm-join.service").read_text()
    waits, pause, burst, minutes = (
        int(re.findall(rf"(?m)^{name}(\d+)", text)[0])
        for name in ("Environment=FARM_GIVE_UP_S=", "RestartSec=", "StartLimitBurst=", "StartLimitIntervalSec=")
    )
    assert burst * (waits + pause) > minutes * 60
    assert burst * pause < minutes * 60  # a wrong setting does reach it
