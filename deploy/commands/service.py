"""Commands for systemd: service install."""

from __future__ import annotations

import os
import pwd
import re
import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from deploy.commands.connect import Json
from deploy.terminal.example_env import FILE as EXAMPLE
from deploy.terminal.screen import put_json, say
from farm.errors import ConfigError
from farm.settings import FarmSettings

UNITS = Path(__file__).parents[1] / "systemd"
ETC = Path("/etc")
_USER = "framefarm"  #: runs a service of the machine
#: lines that only a service of the machine has; a user's own has that user's folders
_OF_THE_MACHINE = re.compile(r"(User|Wants|After|Environment|StateDirectory|CacheDirectory)=(?!FARM_)")


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    app.add_typer(service, name="service")


service = typer.Typer(help="Let systemd run the farm: `service install` writes its unit.", no_args_is_help=True)


@service.callback()
def callback() -> None:
    """Let systemd run the farm, or lend this machine to one."""


@service.command()
def install(
    *,
    join: Annotated[
        str | None, typer.Option("--join", metavar="HOST:PORT", help="lend this machine to the farm there")
    ] = None,
    user: Annotated[bool, typer.Option("--user", help="a service of your own, which needs no root")] = False,
    force: Annotated[bool, typer.Option("--force", help="replace a unit that differs")] = False,
    as_json: Json = False,
) -> None:
    """Write a unit of systemd that runs `framefarm up`, or `join`, and a farm.env for its settings; print their paths.

    A farm.env that is there stays as it is.
    """
    name = "framefarm" if join is None else "framefarm-join"
    if join is not None:
        _check_address(join)
    base = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") if user else ETC
    unit = base / "systemd" / ("user" if user else "system") / f"{name}.service"
    settings = base / "framefarm" / "farm.env"
    text = unit_text(name, f"join {join}" if join else "up --no-restart", user=user)
    if unit.exists() and not force and unit.read_text(encoding="utf-8") != text:
        raise ConfigError(
            f"{unit} is there and differs: --force replaces it; changes of yours belong into `systemctl edit {name}`"
        )
    for path in (unit, settings):
        path.parent.mkdir(parents=True, exist_ok=True)
    unit.write_text(text, encoding="utf-8")
    if not settings.exists():
        settings.touch(mode=0o600)  # it will have secrets
        settings.write_text(EXAMPLE.read_text(encoding="utf-8"), encoding="utf-8")
    if as_json:
        put_json({"unit": str(unit), "settings": str(settings)})
    else:
        print(unit, settings, sep="\n")
    if not user and (closed := [folder for folder in _program().parents if not folder.stat().st_mode & 0o001]):
        say(f"the user {_USER} cannot enter {closed[-1]}: install the package below /opt, or pass --user")
    say("\n".join(["write the settings into the second file, then:", *_next(name, user=user)]))


def _check_address(join: str) -> None:
    """Raises: ConfigError, unless a farm can have that address."""
    try:
        settings = FarmSettings.from_env({"FARM_RAY": join})
    except ConfigError:
        settings = None
    if settings is None or settings.ray is None:
        raise ConfigError(f"--join {join!r}: need HOST:PORT, as `framefarm up` prints it")


def _program() -> Path:
    """Return the command that the unit starts. Raises: ConfigError."""
    program = Path(sys.executable).with_name("framefarm")
    if not program.exists():
        raise ConfigError(f"{program} is missing: install the package, as README.md says")
    return program


def unit_text(name: str, words: str, *, user: bool) -> str:
    """Return the unit for this installation. words: what `framefarm` is told to do."""
    text = (UNITS / f"{name}.service").read_text(encoding="utf-8")
    text = text[text.index("[Unit]") :]  # what stands before says how to edit it
    start = f"ExecStart={shlex.quote(str(_program())).replace('%', '%%')} {words}"
    text = re.sub(r"(?m)^ExecStart=.*", lambda _: start, text)
    if not user:
        return text
    # what follows changes its view of the file system, which only root may do
    able = text[: text.index("NoNewPrivileges")].replace("/etc/framefarm", "%E/framefarm")
    lines = [line for line in able.splitlines() if not _OF_THE_MACHINE.match(line)]
    lines.insert(lines.index("[Service]") + 1, "Environment=FARM_RAY_DIR=%t/framefarm")
    return "\n".join([*lines, "NoNewPrivileges=yes", "UMask=0027", "", "[Install]", "WantedBy=default.target", ""])


def _next(name: str, *, user: bool) -> list[str]:
    """Return the commands that start it."""
    if user:
        starts = [f"systemctl --user {words}" for words in ("daemon-reload", f"enable --now {name}")]
        return [*starts, "loginctl enable-linger    # else it ends when you log out"]
    try:
        pwd.getpwnam(_USER)
        made = []
    except KeyError:
        made = [f"useradd --system --home-dir /var/lib/{_USER} {_USER}"]
    return [*made, "systemctl daemon-reload", f"systemctl enable --now {name}"]
