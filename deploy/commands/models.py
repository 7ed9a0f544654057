"""The command models: list them, and pull, push, verify or remove their files on this machine."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from deploy.commands.connect import Json, Storage, Url, client_at, read_settings, url_of
from deploy.planner import state_of
from deploy.terminal.screen import put_json, put_table, say
from farm.errors import ConfigError

if TYPE_CHECKING:
    from farm.settings import FarmSettings
    from farm.store import Store
    from framepack_engine.models.catalog import ModelEntry
    from framepack_engine.models.hub import Repo

Name = Annotated[str, typer.Argument(metavar="NAME", help="a model's name, or a LoRA's on the hub: owner/repo[/file]")]
At = Annotated[str, typer.Argument(metavar="STORE", help="a store of your own: s3://bucket/prefix, or a folder")]
From = Annotated[
    str | None,
    typer.Argument(metavar="STORE", help="fetch from this store, which `models push` filled; default: the hub"),
]
Fix = Annotated[bool, typer.Option("--fix", help="remove damaged files, and fetch missing ones")]
COLUMNS = ("id", "kind", "resolution", "needs_image", "here", "description")
DISPENSABLE = ("needs_image", "resolution", "kind")  #: on a narrow terminal
_LORA_FILES = ("*.safetensors", "adapter_config.json")


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    models = typer.Typer(help="List the models and their files on this machine; or pull, push, verify, remove them.")
    models.callback(invoke_without_command=True)(by_default)
    models.command("list")(list_models)
    models.command()(pull)
    models.command()(push)
    models.command()(verify)
    models.command()(rm)
    app.add_typer(models, name="models")


def by_default(context: typer.Context, *, url: Url = None, storage: Storage = None, as_json: Json = False) -> None:
    """List the models and their files on this machine; or pull, push, verify, remove them."""
    if context.invoked_subcommand is None:
        list_models(url=url, storage=storage, as_json=as_json)


def list_models(*, url: Url = None, storage: Storage = None, as_json: Json = False) -> None:
    """List the models of the running farm, else of one started here, and their files on this machine."""
    from framepack_engine.sampling.lora.files import list_loras

    settings = read_settings(url=url, storage=storage)
    at = url_of(settings)
    if at is None:
        rows = _own_rows(settings)
    else:
        with client_at(at, settings) as client:
            rows = client.models()["data"]
    entries = _entries(settings)
    rows = [{**row, "here": state_of(entries[row["id"]], settings) if row["id"] in entries else "-"} for row in rows]
    loras = list_loras(settings.lora_dir)
    if as_json:
        put_json({"object": "list", "data": rows, "loras": loras, "lora_dir": settings.lora_dir})
        return
    put_table(COLUMNS, rows, dispensable=DISPENSABLE, least=48)
    if loras:
        say(f"LoRAs in {settings.lora_dir}: {', '.join(loras)}")


def pull(name: Name, source: From = None, *, as_json: Json = False) -> None:
    """Fetch a model's files or a LoRA's; say first how much and where to. A broken download continues."""
    settings = read_settings()
    entry = _entries(settings).get(name)
    if source is not None:
        from deploy.node import model_store

        model_store.pull(_repos_of_hub(name, entry), _store_at(source), say=say, bar=_bar)
    elif entry is not None and entry.origin == "made":
        from framepack_engine.models.locate import locate

        locate(entry, cache_dir=settings.cache)
    elif entry is not None and entry.origin == "local":
        raise ConfigError(f"{name} is this machine's own, at {entry.path}: there is nothing to fetch")
    elif entry is None or entry.origin == "hub":
        _pull(_repos(name, entry))
    if as_json:
        put_json({"model": name, "complete": True})
    say(f"{name} is complete", style="green")


def push(name: Name, store: At, *, as_json: Json = False) -> None:
    """Copy a model's files or a LoRA's from this machine into a store, for `models pull NAME STORE` elsewhere."""
    from deploy.node import model_store

    entry = _entries(read_settings()).get(name)
    repos = _repos_of_hub(name, entry)
    if missing := _missing(repos, entry):
        raise ConfigError(f"{missing[0]} is missing; fetch the model first: `framefarm models pull {name}`")
    model_store.push(repos, _store_at(store), say=say, bar=_bar)
    if as_json:
        put_json({"model": name, "store": store, "complete": True})
    say(f"{name} is in {store}", style="green")


def verify(name: Name, *, fix: Fix = False, as_json: Json = False) -> None:
    """Read every file and compare it with its hash; print a line for each missing or damaged one.

    Exit 0: all files are right; 1: some are missing or damaged.
    """
    from framepack_engine.models import hub

    settings = read_settings()
    entry = _entries(settings).get(name)
    if entry is not None and entry.origin != "hub":
        raise ConfigError(f"{name} was not fetched from the hub: there are no hashes to compare its files with")
    repos = _repos(name, entry)
    faults = _faults(repos, entry)
    if fix and faults:
        for repo in repos:
            hub.remove(repo, only=[check.path for check in hub.check_files(repo) if check.state == "damaged"])
        _pull(repos)
        faults = _faults(repos, entry)
    if as_json:
        put_json({"model": name, "faults": [{"file": file, "state": state} for file, state in faults]})
    else:
        for file, state in faults:
            print(f"{file}\t{state}")
    wrong = [state for _, state in faults if state != "unknown"]
    verdict = f"{len(wrong)} files are missing or damaged; `framefarm models verify {name} --fix` fetches them again"
    say(verdict if wrong else f"{name} is complete and right", style="red" if wrong else "green")
    raise typer.Exit(int(bool(wrong)))


def rm(name: Name, *, as_json: Json = False) -> None:
    """Remove a model's files from this machine, except those that another model here needs."""
    from framepack_engine.models import hub

    settings = read_settings()
    entries = _entries(settings)
    entry = entries.get(name)
    if entry is not None and entry.origin == "local":
        raise ConfigError(f"{name} is this machine's own: its files at {entry.path} are yours to remove")
    if entry is not None and entry.origin == "shipped":
        raise ConfigError(f"{name} is part of framepack-farm and cannot be removed alone")
    kept: set[str] = set()
    if entry is not None and entry.origin == "made":
        freed = _remove_made(settings)
    else:
        kept = set() if entry is None else _needed_by_others(entry, entries, settings)
        freed = sum(hub.remove(repo) for repo in _repos(name, entry) if repo.name not in kept)
    if kept:
        say(f"kept, since another model needs it: {', '.join(sorted(kept))}")
    if as_json:
        put_json({"model": name, "freed_bytes": freed, "kept": sorted(kept)})
    say(f"{freed / 1e6:.1f} MB freed")


def _entries(settings: FarmSettings) -> Mapping[str, ModelEntry]:
    from deploy.planner import own_models

    return own_models(settings.models)


def _own_rows(settings: FarmSettings) -> list[dict[str, Any]]:
    """Return what a farm started here would answer."""
    return [
        {
            "id": entry.name,
            "kind": entry.kind,
            "resolution": entry.resolution,
            "needs_image": entry.needs_image,
            "description": entry.honest,
        }
        for entry in _entries(settings).values()
    ]


def _repos(name: str, entry: ModelEntry | None) -> list[Repo]:
    """Return a model's repositories, or a LoRA's (its one file, or all files)."""
    from framepack_engine.models.hub import Repo, repos_of

    if entry is not None:
        return repos_of(entry.parts.values())
    owner, _, rest = name.partition("/")
    repo, _, file = rest.partition("/")
    if not (owner and repo):
        raise ConfigError(
            f"there is no model {name!r} (`framefarm models` lists them), and a LoRA's name is owner/repo"
        )
    return [Repo(f"{owner}/{repo}", "main", (file,) if file else _LORA_FILES)]


def _repos_of_hub(name: str, entry: ModelEntry | None) -> list[Repo]:
    """Return the repositories. Raises: ConfigError if the model's files are not the hub's."""
    if entry is not None and entry.origin != "hub":
        raise ConfigError(f"{name} is not one of the hub's models, so it needs no store")
    return _repos(name, entry)


def _store_at(place: str) -> Store:
    """Open a store by its name. Raises: ConfigError."""
    from farm.store import open_store

    return open_store(read_settings(storage=place))


def _pull(repos: list[Repo]) -> None:
    from framepack_engine.models import hub

    if hub.is_offline():
        raise ConfigError("HF_HUB_OFFLINE forbids downloads; unset it to pull")
    hub.pull(repos, say=say, bar=_bar)


def _faults(repos: list[Repo], entry: ModelEntry | None) -> list[tuple[str, str]]:
    """Return every file that is missing, damaged or without a hash."""
    from framepack_engine.models import hub

    checks = [check for repo in repos for check in hub.check_files(repo) if check.state != "ok"]
    damaged = {str(check.path): check.state for check in checks}
    return sorted({**{str(path): "missing" for path in _missing(repos, entry)}, **damaged}.items())


def _missing(repos: list[Repo], entry: ModelEntry | None) -> list[Path]:
    from framepack_engine.models import hub
    from framepack_engine.models.locate import hub_folders, missing_files

    if entry is None:
        return [hub.snapshot(repo.name, repo.revision) for repo in repos if not hub.files_of(repo)]
    parts = hub_folders(entry.parts)
    return [path for part, folder in parts.items() for path in missing_files(part, folder)]


def _needed_by_others(entry: ModelEntry, entries: Mapping[str, ModelEntry], settings: FarmSettings) -> set[str]:
    """Return the repositories of `entry` that another complete model on this machine uses, too."""
    apart = {"made", "shipped"}  # these have files of their own
    others = [other for other in entries.values() if other.name != entry.name and other.origin not in apart]
    used = {
        part.repo
        for other in others
        if other.origin == "local" or state_of(other, settings) == "complete"
        for name, part in other.parts.items()
        if other.origin == "hub" or name != "transformer"
    }
    return used & {part.repo for part in entry.parts.values()}


def _remove_made(settings: FarmSettings) -> int:
    import shutil

    freed = 0
    for folder in Path(settings.cache).glob("tiny-v*"):
        freed += sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
        shutil.rmtree(folder)
    return freed


@contextmanager
def _bar(total: int) -> Iterator[Callable[[int], None]]:
    """Show a progress bar on stderr; in a log file, print a line for every tenth."""
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TimeRemainingColumn, TransferSpeedColumn

    console = Console(file=sys.stderr, highlight=False)
    columns = (BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    done, told = 0, 0
    with Progress(*columns, console=console, disable=not console.is_terminal) as bars:
        task = bars.add_task("", total=total)

        def on_bytes(size: int) -> None:
            nonlocal done, told
            done += size
            bars.update(task, advance=size)
            if not console.is_terminal and total and 10 * done // total > told:
                told = 10 * done // total
                say(f"{told * 10} % of {total / 1e9:.1f} GB")

        yield on_bytes
