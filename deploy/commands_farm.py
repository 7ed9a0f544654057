"""up, workers, conformance: the farm itself."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any

import typer

from deploy.connect import Json, Storage, Url, connect
from deploy.flags import settings_flags, with_flags
from deploy.screen import put_json, put_table, say
from farm.errors import ConfigError
from farm.settings import NODE_SETTINGS


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    app.command()(up)
    app.command()(join)
    for command in (workers, conformance):
        app.command()(command)


@with_flags(settings_flags(without=("url", "api_key")))
def up(
    *,
    exit_with_parent: Annotated[int | None, typer.Option("--exit-with-parent", hidden=True)] = None,
    **given: Any,
) -> None:
    """A farm on this machine, in the foreground: prints `ready URL`, stops on Ctrl-C or SIGTERM."""
    from deploy.local import run_foreground
    from farm.settings import FarmSettings

    raise typer.Exit(run_foreground(FarmSettings.from_env(**given), exit_with_parent=exit_with_parent))


@with_flags(settings_flags(only=("workers", "gpus", *NODE_SETTINGS, "node_ip")))
def join(
    address: Annotated[str, typer.Argument(metavar="HOST:PORT", help="the farm's Ray, as `framefarm up` names it")],
    **given: Any,
) -> None:
    """Lend this machine's GPUs to a farm that runs elsewhere: prints `joined …`, leaves on Ctrl-C or SIGTERM."""
    from deploy.join import join_foreground
    from farm.settings import FarmSettings

    settings = FarmSettings.from_env(**given)
    own_store = "storage" in given or "FARM_STORAGE" in os.environ
    raise typer.Exit(join_foreground(FarmSettings.from_env(ray=address).ray or address, settings, own_store=own_store))


def workers(*, url: Url = None, storage: Storage = None, as_json: Json = False) -> None:
    """Who renders, and what."""
    with connect(url=url, storage=storage) as client:
        answer = client.workers()
    if as_json:
        put_json(answer)
    else:
        put_table(("id", "node", "device", "state", "video", "order", "s_per_section", "plan"), answer["data"])


def conformance(
    folder: Annotated[Path, typer.Argument(help="case folders, and the weights in tiny_model")],
    names: Annotated[list[str] | None, typer.Argument(metavar="[NAME…]", help="more cases for --only")] = None,
    *,
    only: Annotated[list[str] | None, typer.Option("--only", metavar="NAME", help="only these cases")] = None,
    as_json: Json = False,
) -> None:
    """Compare the engine with golden numbers, a line a case. Exit 0 only where all pass."""
    if names and not only:
        raise ConfigError(f"say --only {' '.join(names)} to pick cases")
    try:
        from framepack_engine.conformance import run_conformance
        from framepack_engine.errors import EngineError
    except ImportError as err:
        raise ConfigError(f"the engine cannot be loaded: {err}") from err
    failed = 0
    try:
        for case in run_conformance(folder, [*(only or []), *(names or [])] or None):
            failed += not case.passed
            _put_case(case, as_json=as_json)
    except EngineError as err:
        raise ConfigError(str(err)) from err
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
