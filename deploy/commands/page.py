"""The command that brings up the page: ui."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from typing import Annotated, Any

import typer
from httpx import URL

from deploy.commands.connect import url_of
from deploy.commands.farm import Restart, runner
from deploy.commands.feasible import check_start
from deploy.settings import Settings
from deploy.terminal.flags import settings_flags, with_flags
from deploy.terminal.screen import say
from farm.errors import ConfigError
from farm.keys import LOCAL_OWNER, new_key
from framefarm_client.address import farm_url, is_loopback

PORT = 7860  #: where the page of FramePack and its forks answers
_NO_TUNNEL = (
    "--share: there is no tunnel, because a stranger's server would then see each key, photo and video. From one "
    "machine, use `ssh -N -L 7860:127.0.0.1:7860 YOU@THIS-MACHINE`. For others, give the farm API keys and put a "
    "proxy with TLS in front of it: docs/how-to/page.md shows both"
)


def register(app: typer.Typer) -> None:
    """Add the command of this file."""
    app.command()(ui)


@with_flags(settings_flags(without=("api_key", "host", "port")))
def ui(
    *,
    server: Annotated[
        str | None,
        typer.Option("--server", "--host", help="address to listen on; 0.0.0.0: all (FARM_HOST, default 127.0.0.1)"),
    ] = None,
    port: Annotated[int | None, typer.Option(help=f"port of the page (FARM_PORT, default {PORT})")] = None,
    inbrowser: Annotated[bool, typer.Option("--inbrowser", help="also open the page in a browser")] = False,
    share: Annotated[bool, typer.Option("--share", help="not supported: prints what to do instead")] = False,
    restart: Restart = True,
    **given: Any,
) -> None:
    """Open the page: start a farm if none runs, and print the page's address alone on stdout once it is ready.

    Where a farm runs on this storage, or FARM_URL names one, only print its page's address. With --server 0.0.0.0 and
    no API keys, make a key for this run; the address then holds it. Ctrl-C stops the farm.
    """
    if share:
        raise ConfigError(_NO_TUNNEL)
    port = port if port is not None or "FARM_PORT" in os.environ else PORT
    settings = Settings.from_env(**given, host=server, port=port)
    if running := url_of(settings):
        _show(page_of(running), inbrowser=inbrowser)
        return
    check_start(settings)
    key = ""
    if not settings.api_keys and not is_loopback(settings.host):
        key, entry = new_key(LOCAL_OWNER)  # so the videos are those that this machine makes without keys
        settings = settings.replaced(api_keys=entry)
        say(f"the address holds this run's API key; commands on this machine need it, too: export FARM_API_KEY={key}")
    run = runner(restart=restart)
    raise typer.Exit(run(settings, ready=lambda url: _show(page_of(url, key), inbrowser=inbrowser)))


def page_of(url: str, key: str = "") -> str:
    """Return the address of a farm's page as a browser reaches it. key: signs the browser in."""
    farm = farm_url(url)
    host = _own_address() if farm.host in {"0.0.0.0", "::"} else farm.host  # noqa: S104 - compared, not bound
    return str(URL(farm, host=host, path=f"{farm.path.rstrip('/')}/ui/", fragment=f"key={key}" if key else None))


def _show(address: str, *, inbrowser: bool) -> None:
    print(address, flush=True)
    page, _, key = address.partition("#")
    if inbrowser and key:
        say("the browser opens without the key, which `ps` would show: sign in there, or open the address above")
    if inbrowser:  # in a process of its own: browsers write on stdout, and some take the terminal
        subprocess.Popen(
            [sys.executable, "-m", "webbrowser", page],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            start_new_session=True,
        )


def _own_address() -> str:
    """Return this machine's address in its network, or 127.0.0.1 if it has none. Send nothing."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # no machine has this address; the route there begins at ours
        except OSError:
            return "127.0.0.1"
        address: str = probe.getsockname()[0]
        return address
