"""Commands for the farm itself: up, join, workers, drain, conformance, keys."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from deploy.commands.connect import Json, Storage, Url, connect
from deploy.commands.feasible import check_start
from deploy.terminal.flags import settings_flags, with_flags
from deploy.terminal.screen import put_answer, put_json, say
from farm.errors import ConfigError
from farm.keys import new_key
from farm.settings import NODE_SETTINGS

Restart = Annotated[
    bool, typer.Option("--restart/--no-restart", help="start the farm again if it dies; systemd does it itself")
]
_COLUMNS = ("id", "node", "device", "state", "video", "order", "s_per_section", "plan")


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    app.command()(up)
    app.command()(join)
    for command in (workers, drain, conformance):
        app.command()(command)
    app.add_typer(keys, name="keys")


@with_flags(settings_flags(without=("url", "api_key")))
def up(
    *,
    restart: Restart = True,
    exit_with_parent: Annotated[int | None, typer.Option("--exit-with-parent", hidden=True)] = None,
    **given: Any,
) -> None:
    """Run a farm on this machine, in the foreground: print `ready URL`, stop on Ctrl-C or SIGTERM."""
    from deploy.settings import Settings

    run = runner(restart=restart)  # first: native Windows is refused before its settings are judged
    settings = Settings.from_env(**given)
    if exit_with_parent is None:  # else the parent checked it
        check_start(settings)
    raise typer.Exit(run(settings, exit_with_parent=exit_with_parent))


def _refuse_windows() -> None:
    if platform.system() == "Windows":
        raise ConfigError("a farm does not run on native Windows: use WSL2, as docs/how-to/windows.md says")


def runner(*, restart: bool) -> Callable[..., int]:
    """Return what runs a farm until it is told to stop."""
    _refuse_windows()
    if restart:
        from deploy.node.child import keep_running

        return keep_running
    from deploy.node.local import run_foreground

    return run_foreground


@with_flags(settings_flags(only=("workers", "gpus", *NODE_SETTINGS, "node_ip", "ports", "give_up_s", "cloud")))
def join(
    address: Annotated[str, typer.Argument(metavar="HOST:PORT", help="the address that `framefarm up` prints")],
    **given: Any,
) -> None:
    """Lend this machine's GPUs to another farm: print `joined …`, leave on Ctrl-C or SIGTERM."""
    _refuse_windows()
    from deploy.node.join import join_foreground
    from deploy.settings import Settings

    settings = Settings.from_env(**given)
    own_store = "storage" in given or "FARM_STORAGE" in os.environ
    try:
        ray = Settings.from_env(ray=address).ray or address
    except ConfigError as err:  # the settings themselves were read above
        raise ConfigError(f"cannot join {address!r}: need HOST:PORT, as `framefarm up` prints it") from err
    raise typer.Exit(join_foreground(ray, settings, own_store=own_store))


def workers(
    wish: Annotated[Literal["list", "pause", "resume", "drain"], typer.Argument(help="what to do")] = "list",
    worker: Annotated[str | None, typer.Argument(metavar="ID", help="a worker's id, or its slot: worker-0")] = None,
    *,
    url: Url = None,
    storage: Storage = None,
    as_json: Json = False,
) -> None:
    """List the workers and what they render; or pause, resume or drain one.

    pause frees the worker's GPU until resume; drain ends the worker after its step until resume.
    """
    if (wish == "list") != (worker is None):
        raise ConfigError(f"run `framefarm workers {wish} ID`" if worker is None else "pass pause, resume or drain")
    with connect(url=url, storage=storage) as client:
        answer = client.workers() if worker is None else client.worker_wish(worker, wish)
    put_answer(answer, _COLUMNS, answer["data"] if worker is None else [answer], as_json=as_json)


def drain(
    worker: Annotated[str, typer.Argument(metavar="WORKER", help="a worker's id, or its slot: worker-0")],
    *,
    url: Url = None,
    storage: Storage = None,
    as_json: Json = False,
) -> None:
    """Let a worker save its last finished step and end.

    Its slot stays empty until `framefarm workers resume`, or until the farm restarts.
    """
    workers("drain", worker, url=url, storage=storage, as_json=as_json)


def conformance(
    folder: Annotated[Path, typer.Argument(help="a folder with case folders, and the weights in tiny_model")],
    names: Annotated[list[str] | None, typer.Argument(metavar="NAME…", help="more cases for --only")] = None,
    *,
    only: Annotated[list[str] | None, typer.Option("--only", metavar="NAME", help="only these cases")] = None,
    as_json: Json = False,
) -> None:
    """Compare the engine with golden numbers, a line a case. Exit 0 only if all pass."""
    if names and not only:
        raise ConfigError(f"pass --only {' '.join(names)} to pick cases")
    try:
        from framepack_engine.conformance import run_conformance
    except ImportError as err:
        raise ConfigError(f"the engine cannot be loaded: {err}") from err
    failed = 0
    for case in run_conformance(folder, [*(only or []), *(names or [])] or None):
        failed += not case.passed
        _put_case(case, as_json=as_json)
    say(f"{failed} failed" if failed else "all pass", style="red" if failed else "green")
    raise typer.Exit(int(failed > 0))


def _put_case(case: Any, *, as_json: bool) -> None:
    from dataclasses import asdict

    if as_json:
        put_json(asdict(case))
        return
    latents = "-" if case.latents_diff is None else f"{case.latents_diff:.1e}"
    frames = "-" if case.frames_diff is None else f"{case.frames_diff:g}"
    calls = "calls agree" if case.calls_agree else "calls differ"
    verdict = "pass" if case.passed else "FAIL"
    print(
        f"{case.name}\tlatents {latents}\tframes {frames}\t{calls}\t{verdict}\t{case.error or ''}".rstrip(), flush=True
    )


keys = typer.Typer(help="API keys: `keys new NAME` makes one.", no_args_is_help=True)


@keys.command()
def new(
    name: Annotated[str, typer.Argument(help="the key's holder; videos made with the key belong to it")],
    *,
    as_json: Json = False,
) -> None:
    """Make a key: print it and its entry for FARM_API_KEYS. The farm keeps only its sha256, so save it now."""
    key, entry = new_key(name)
    if as_json:
        put_json({"key": key, "entry": entry})
        return
    say(f"{name} sets FARM_API_KEY to the first line; append the second to the farm's FARM_API_KEYS, after a comma")
    print(key)
    print(entry)


@keys.callback()
def callback() -> None:
    """Make API keys. The farm knows them only by their sha256."""
