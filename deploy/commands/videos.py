"""Commands for existing videos: list, show, watch, fetch, pause, resume, cancel, retry, edit, move, rm."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from deploy.commands.connect import Json, Storage, Url, connect
from deploy.commands.live_list import watch_list
from deploy.terminal.flags import request_flags, with_flags
from deploy.terminal.progress import follow, follow_all
from deploy.terminal.screen import put_aligned, put_answer, put_json, put_table, say
from deploy.terminal.target import Force, Out, deliver, target_of
from deploy.terminal.video_ids import short, whole_id, whole_ids
from deploy.terminal.video_rows import RENDERING, details, status_of, table_of_videos
from farm.errors import ConfigError, NotReady
from farm.request import VideoEdit
from framefarm_client.names import file_name, suffix_of

if TYPE_CHECKING:
    from farm.client import FarmClient

Ids = Annotated[list[str], typer.Argument(metavar="ID…", help="videos; the first digits of an id are enough")]
Id = Annotated[str, typer.Argument(metavar="ID", help="a video; the first digits of its id are enough")]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="also the farm's own facts: attempt, worker …")]
_COLUMNS = ("id", "status", "progress", "model", "size", "seconds", "name", "prompt")


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    app.command("list")(list_videos)
    for command in (show, watch, fetch):
        app.command()(command)
    for wish, text in {
        "pause": "Stop at the next step and keep what is finished.",
        "resume": "Continue paused videos.",
        "cancel": "Stop at the next step for good; only retry continues it.",
        "retry": "Continue failed or cancelled videos; finished sections stay.",
    }.items():
        app.command(wish, help=text)(_wish(wish))
    for change in (edit, move, rm):
        app.command()(change)


def list_videos(
    *,
    url: Url = None,
    storage: Storage = None,
    limit: Annotated[int, typer.Option(min=1, max=100, help="most videos to list")] = 20,
    status: Annotated[str | None, typer.Option(help="only this status: queued, rendering, paused …")] = None,
    after: Annotated[str | None, typer.Option(metavar="ID", help="only videos after this one")] = None,
    order: Annotated[Literal["asc", "desc"], typer.Option(help="asc: oldest first")] = "desc",
    batch: Annotated[str | None, typer.Option(metavar="ID", help="only videos of this batch")] = None,
    q: Annotated[str | None, typer.Option("--q", help="only videos with these letters in prompt or name")] = None,
    starred: Annotated[
        bool | None, typer.Option("--starred/--no-starred", help="only videos with the label starred, or without it")
    ] = None,
    watch: Annotated[bool, typer.Option("--watch", help="keep showing changes until Ctrl-C")] = False,
    as_json: Json = False,
) -> None:
    """List videos, newest first. With --watch into a pipe or with --json: print a line for each change."""
    query: dict[str, Any] = {"limit": limit, "status": status, "order": order, "q": q, "starred": starred}
    if status == RENDERING:
        query["status"] = "in_progress"
    with connect(url=url, storage=storage) as client:
        query["after"] = after and whole_id(client, after)
        query["batch"] = batch and whole_id(client, f"batch_{batch.removeprefix('batch_')}")
        page = None if watch else client.list(**query)
    if page is None:
        watch_list(url=url, storage=storage, as_json=as_json, **query)
    elif as_json:
        put_json(page)
    else:
        _put_page(page)


def _put_page(page: Mapping[str, Any]) -> None:
    if sys.stdout.isatty():
        from rich.console import Console

        console = Console(highlight=False)
        console.print(table_of_videos(page["data"], width=console.width))
    else:
        put_table(_COLUMNS, page["data"])
    if page["has_more"]:
        say(f"there are more: --after {short(page['last_id'])}")


def show(
    video: Annotated[str, typer.Argument(metavar="ID|FILE.mp4", help="a video, or a file that the farm made")],
    *,
    url: Url = None,
    storage: Storage = None,
    verbose: Verbose = False,
    as_json: Json = False,
) -> None:
    """Show one video. For a file, show how it was made, as the file itself records it; no farm is needed."""
    if Path(video).is_file():
        _show_file(Path(video), as_json=as_json)
    else:
        with connect(url=url, storage=storage) as client:
            found = client.get(whole_id(client, video))
        if as_json:
            put_json(found)
        else:
            _put_details(details(found, verbose=verbose))


def _put_details(rows: list[dict[str, Any]]) -> None:
    if sys.stdout.isatty():
        rows = [{**row, "value": short(str(row["value"]))} for row in rows]
        put_aligned([(row["field"], " ".join(str(row["value"]).split())) for row in rows])
    else:
        put_table(("field", "value"), rows)


def _show_file(path: Path, *, as_json: bool) -> None:
    """Raises: VideoMismatch if the file is not a video; ConfigError if it does not say how it was made."""
    from framepack_engine.frames.provenance import read_provenance

    facts = read_provenance(path)
    if not facts:
        raise ConfigError(f"{path} does not say how it was made: the farm did not make it, or --no-metadata was set")
    if as_json:
        put_json(facts)
        return
    rows = [
        {"field": f"{group}.{name}" if name else group, "value": value if isinstance(value, str) else json.dumps(value)}
        for group, found in facts.items()
        for name, value in (found.items() if isinstance(found, dict) else [("", found)])
    ]
    _put_details(rows)


def watch(
    ids: Annotated[list[str], typer.Argument(metavar="ID…", help="videos, or batches of them")],
    *,
    url: Url = None,
    storage: Storage = None,
    as_json: Json = False,
) -> None:
    """Show a video's progress until it ends, or that of several; --json prints an event a line.

    Exit 1 if one of them failed or was cancelled.
    """
    with connect(url=url, storage=storage) as client:
        videos = {video["id"]: video for found in whole_ids(client, ids) for video in _named(client, found)}
        first, *others = videos.values()
        finals = (
            follow_all(client, [first, *others], as_json=as_json)
            if others
            else [follow(client, first, as_json=as_json)]
        )
    if not as_json and others:
        put_table(("id", "status"), finals)
    elif not as_json:
        print(status_of(finals[0]))
    check_completed(*finals)


def _named(client: FarmClient, found: str) -> list[dict[str, Any]]:
    """Return the video of that id, or the videos of that batch in the order of their seeds. Raises: NotFound."""
    if not found.startswith("batch_"):
        return [client.get(found)]
    videos: list[dict[str, Any]] = client.list(batch=found, limit=100)["data"]
    return videos[::-1]


def fetch(
    video_id: Id,
    *,
    out: Out = None,
    force: Force = False,
    variant: Annotated[
        str, typer.Option(help="video, thumbnail, spritesheet, preview, partial, latents, frames, poster")
    ] = "video",
    url: Url = None,
    storage: Storage = None,
    as_json: Json = False,
) -> None:
    """Write a video to a file and print its path. A broken download continues where it stopped."""
    middle = "" if variant == "video" else f".{variant}"
    suffix = f"{middle}.{suffix_of(variant)}"
    target_of(out, name=f"{Path(video_id).name}{suffix}", force=force)  # refuse it before a farm is asked
    with connect(url=url, storage=storage) as client:
        video = client.get(whole_id(client, video_id))
        target = target_of(out, name=f"{file_name(video['name']) or video['id']}{suffix}", force=force)
        try:
            path = deliver(target, lambda file: client.fetch(video["id"], file, variant=variant))
        except NotReady as err:
            say(str(err))
            raise typer.Exit(1) from err
    put_path(path, as_json=as_json)


@with_flags(request_flags(VideoEdit))
def edit(video_id: Id, *, url: Url = None, storage: Storage = None, as_json: Json = False, **given: Any) -> None:
    """Change a video: prompt, priority, name, labels. Prompt and priority change while it is queued or paused.

    A new prompt applies to the sections to come; finished ones stay.
    """
    if not given:
        raise ConfigError(f"nothing to change; pass {', '.join(f'--{name}' for name in VideoEdit.model_fields)}")
    with connect(url=url, storage=storage) as client:
        video = client.edit(whole_id(client, video_id), given)
    put_answer(video, ("id", "status"), [video], as_json=as_json)


def move(
    video_id: Id,
    *,
    before: Annotated[str | None, typer.Option(metavar="ID", help="right before this video of yours")] = None,
    after: Annotated[str | None, typer.Option(metavar="ID", help="right after this video of yours")] = None,
    first: Annotated[bool, typer.Option("--first", help="before all your waiting videos")] = False,
    last: Annotated[bool, typer.Option("--last", help="after all your waiting videos")] = False,
    url: Url = None,
    storage: Storage = None,
    as_json: Json = False,
) -> None:
    """Move a queued video among your own that wait. It takes the priority of its new neighbours.

    That priority counts for all owners. Beyond it, a move wins at most one section from others.
    """
    beside = {name: other for name, other in (("before", before), ("after", after)) if other}
    if sum(map(bool, (before, after, first, last))) != 1:
        raise ConfigError("name one place; pass --before ID, --after ID, --first or --last")
    with connect(url=url, storage=storage) as client:
        moved, *others = whole_ids(client, [video_id, *beside.values()])
        place = dict(zip(beside, others, strict=True)) or {"to": "first" if first else "last"}
        video = client.move(moved, **place)
    put_answer(video, ("id", "status", "queue_position"), [video], as_json=as_json)


def rm(ids: Ids, *, url: Url = None, storage: Storage = None, as_json: Json = False) -> None:
    """Erase ended videos with all of their objects."""
    with connect(url=url, storage=storage) as client:
        _each(client, ids, client.delete, ("id",), as_json=as_json)


def check_completed(*videos: dict[str, Any]) -> None:
    """Say why each incomplete video did not complete. Raises: typer.Exit with status 1 if there is one."""
    others = [video for video in videos if video["status"] != "completed"]
    for video in others:
        error = video.get("error") or {}
        why = f": {error['message']} ({error['code']})" if error else ""
        say(f"{short(video['id'])} {status_of(video)}{why}", style="red")
    if others:
        raise typer.Exit(1)


def put_id(video: Mapping[str, Any], *, as_json: bool) -> None:
    """Print the id of a video that was asked for, or the whole video."""
    if as_json:
        put_json(video)
    else:
        print(short(video["id"]) if sys.stdout.isatty() else video["id"])


def put_path(path: Path | None, *, as_json: bool) -> None:
    """Print the path of a written file; None: the file went to stdout."""
    if path is None:
        return
    if as_json:
        put_json({"path": str(path)})
    else:
        print(path)


def _wish(wish: str) -> Callable[..., None]:
    def command(ids: Ids, *, url: Url = None, storage: Storage = None, as_json: Json = False) -> None:
        with connect(url=url, storage=storage) as client:
            _each(client, ids, lambda video_id: client.wish(video_id, wish), ("id", "status"), as_json=as_json)

    return command


def _each(
    client: FarmClient,
    ids: list[str],
    call: Callable[[str], dict[str, Any]],
    columns: tuple[str, ...],
    *,
    as_json: bool,
) -> None:
    """Call `call` for each video, and show what it returned, even if a later video refuses."""
    done: list[dict[str, Any]] = []
    try:
        done.extend(map(call, whole_ids(client, ids)))  # keeps what came before a refusal
    finally:
        if done:
            put_answer(done, columns, done, as_json=as_json)
