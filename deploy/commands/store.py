"""The commands export and import (move a video to another farm) and fsck (check a store without a farm)."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from deploy.commands.connect import Json, Storage, Url, connect, read_settings
from deploy.commands.videos import put_id, put_path
from deploy.terminal.screen import put_json, put_table, say
from deploy.terminal.target import Force, target_of
from deploy.terminal.video_ids import whole_id
from farm.errors import ConfigError

if TYPE_CHECKING:
    from farm.jobs.fsck import Checker, Finding
    from farm.settings import FarmSettings
    from farm.store import Store


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    app.command()(export)
    app.command("import")(import_video)
    app.command()(fsck)


def export(
    video_id: Annotated[str, typer.Argument(metavar="ID", help="a video in any state")],
    *,
    out: Annotated[str | None, typer.Option("-o", "--out", metavar="FILE.tar|FOLDER", help="default: ID.tar")] = None,
    force: Force = False,
    url: Url = None,
    storage: Storage = None,
    as_json: Json = False,
) -> None:
    """Write a video with all of its objects to a file or a new folder and print its path.

    A video that still renders is written as it is now.
    """
    if out is not None and Path(out).is_dir():
        raise ConfigError(f"{out} exists; name a new folder, or a file that ends in .tar")
    target_of(out, name=f"{Path(video_id).name}.tar", force=force, any_suffix=True)  # refuse it before a farm is asked
    with connect(url=url, storage=storage) as client:
        found = whole_id(client, video_id)
        target = target_of(out, name=f"{found}.tar", force=force, any_suffix=True)
        put_path(client.export(found, target), as_json=as_json)


def import_video(
    source: Annotated[Path, typer.Argument(metavar="FILE|FOLDER", help="an archive of `framefarm export`")],
    *,
    new_id: Annotated[bool, typer.Option("--new-id", help="give the video a new id")] = False,
    url: Url = None,
    storage: Storage = None,
    as_json: Json = False,
) -> None:
    """Take in an exported video and print its id. It belongs to your key; an unfinished one continues."""
    if not source.exists():
        raise ConfigError(f"{source} does not exist")
    with connect(url=url, storage=storage) as client:
        video = client.import_archive(source, new_id=new_id)
    put_id(video, as_json=as_json)


def fsck(
    *,
    storage: Storage = None,
    delete_dangling: Annotated[
        bool, typer.Option("--delete-dangling", help="erase objects older than a day that nothing refers to")
    ] = False,
    repair: Annotated[
        bool, typer.Option("--repair", help="have the farm make damaged or missing objects again, with the same bits")
    ] = False,
    stopped: Annotated[bool, typer.Option("--stopped", help="no farm uses this store: do not wait for a day")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="a line of JSON for each finding")] = False,
) -> None:
    """Check a store: every sha256 that ledgers name, every link, and dangling objects. Exit 1 if it finds a fault.

    Each finding names the object, its video and the cure. Objects of kind `leftover` are no fault: a killed worker left
    them, and the farm erases them when their video ends; or they are damaged, and nothing needs them.

    With --repair, a farm on this store makes lost objects again. It cannot replace inputs, requests and ledgers.

    It only reads, unless you pass --repair or --delete-dangling, and a farm may use the store meanwhile. In a folder
    that no farm uses, objects younger than a day count as dangling, too. A bucket may be in use elsewhere: pass
    --stopped if not.
    """
    from farm.jobs.fsck import Checker, have_made_again, video_count
    from farm.store import open_store

    settings = read_settings(storage=storage)
    if not settings.storage.startswith("s3://") and not settings.storage_path.is_dir():
        raise ConfigError(f"{settings.storage} holds no store; pass its folder or bucket with --storage")
    with _grace_s(settings, stopped=stopped) as grace_s:
        store = open_store(settings)
        with _bar(video_count(store)) as on_video:
            checker = Checker(store, now=time.time(), grace_s=grace_s, on_video=on_video)
            lost: list[Finding] | None = [] if repair else None
            left = _tell(checker, store, delete_dangling=delete_dangling, lost=lost, as_json=as_json)
        if lost:
            videos = have_made_again(store, lost, storage=settings.storage)
            say(f"{videos} ledgers name the losses; a farm on this store makes them good, without a restart")
    say(f"{checker.videos} videos and {checker.bytes / 1e6:.1f} MB read")
    raise typer.Exit(int(left > 0))


def _tell(checker: Checker, store: Store, *, delete_dangling: bool, lost: list[Finding] | None, as_json: bool) -> int:
    """Show the findings, erase those that may go, and return how many faults are left.

    lost: gets those that a farm can make again; None: they stay as they are.
    """
    found = deleted = harmless = repaired = 0

    def rows() -> Iterator[dict[str, object]]:
        nonlocal found, deleted, harmless, repaired
        for finding in checker.findings():
            found += 1
            gone = delete_dangling and finding.kind in {"dangling", "leftover"}
            if gone:
                store.delete(finding.key)
                deleted += 1
            elif finding.kind == "leftover":
                harmless += 1
            elif lost is not None and finding.order is not None:
                lost.append(finding)
                repaired += 1
            yield _row(finding, gone=gone)

    if as_json:
        for row in rows():
            put_json(row)
    else:
        put_table(("kind", "key", "detail", "deleted", "video", "cure"), rows())
    erased = f", {deleted} of them erased" if deleted else ""
    left_over = f", {harmless} of them leftovers, which are no fault" if harmless else ""
    again = f", {repaired} of them to be made again" if repaired else ""
    say(f"{found} findings{erased}{left_over}{again}" if found else "clean")
    return found - deleted - harmless - repaired


def _row(finding: Finding, *, gone: bool) -> dict[str, object]:
    return {**finding.model_dump(), "cure": finding.cure, "deleted": gone}


@contextlib.contextmanager
def _grace_s(settings: FarmSettings, *, stopped: bool) -> Iterator[float]:
    """Give the age from which an object counts as dangling; keep a farm from starting here meanwhile."""
    from deploy.node.lock import locked
    from farm.jobs.fsck import DAY_S

    if settings.storage.startswith("s3://"):
        yield 0.0 if stopped else DAY_S
        return
    with contextlib.ExitStack() as held:
        try:
            held.enter_context(locked(settings, holder="`framefarm fsck`"))
        except ConfigError:
            if stopped:
                raise
            yield DAY_S
            return
        yield 0.0


@contextlib.contextmanager
def _bar(total: int) -> Iterator[Callable[[int], None]]:
    """Show a progress bar on a terminal; give a function to call for each video."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

    console = Console(stderr=True)
    columns = (BarColumn(), MofNCompleteColumn(), "videos", TimeRemainingColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as bars:
        videos = bars.add_task("videos", total=total)
        yield lambda _: bars.update(videos, advance=1)
