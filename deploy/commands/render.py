"""The commands that ask for a video: render, submit, remix, extend."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from deploy.commands.connect import Json, Storage, Url, client_at, connect, read_settings, url_of
from deploy.commands.feasible import check_here, check_workers
from deploy.commands.videos import check_completed, put_id, put_path
from deploy.request_type import REQUEST_TYPE
from deploy.terminal.durations import duration, length
from deploy.terminal.flags import request_flags, with_flags
from deploy.terminal.progress import follow
from deploy.terminal.screen import put_table, say
from deploy.terminal.target import Force, Out, deliver, target_of
from deploy.terminal.video_ids import short, shorts, whole_id
from deploy.terminal.video_rows import length_of
from farm.errors import ConfigError, FarmError, invalid_request
from farm.request import Variants, take_variants
from framefarm_client.names import file_name

if TYPE_CHECKING:
    from farm.client import FarmClient
    from farm.settings import FarmSettings

_HASH = "render_hash"  #: the metadata key by which the same command finds its video again
_UNFINISHED = ("in_progress", "queued", "paused")
Image = Annotated[Path | None, typer.Argument(metavar="IMAGE", help="the start image")]
EndImage = Annotated[Path | None, typer.Option("--end-image", metavar="FILE", help="the last picture (not for F1)")]


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    app.command()(render)
    app.command()(submit)
    app.command()(remix)
    app.command()(extend)


@with_flags(request_flags())
def render(
    image: Image = None,
    *,
    out: Out = None,
    force: Force = False,
    end_image: EndImage = None,
    url: Url = None,
    storage: Storage = None,
    as_json: Json = False,
    **given: Any,
) -> None:
    """Make a video and print its path. If no farm runs, start one for as long as this takes.

    Ctrl-C pauses the video; the same command continues it.
    """
    fields, images = request_of(given, image, end_image)
    name = f"{file_name(given.get('name', '')) or (image.stem if image else 'video')}.mp4"
    target_of(out, name=name, force=force)  # refuse it now, not after an hour
    fields["metadata"] = {**fields.get("metadata", {}), _HASH: _hash(fields, images)}
    settings = read_settings(url=url, storage=storage)
    with _farm(settings, fields) as farm_url, client_at(farm_url, settings) as client:
        video = _resumed(client, fields["metadata"][_HASH]) or _asked(client, fields, images)
        _say_what_comes(video)
        try:
            if "model" not in fields:
                _say_what_it_is(client, video["model"])
            final = follow(client, video)
        except KeyboardInterrupt:
            _pause(client, video["id"])
            raise
        check_completed(final)
        path = deliver(target_of(out, name=name, force=force), lambda file: client.fetch(video["id"], file))
    put_path(path, as_json=as_json)


@with_flags([*request_flags(whole=False), *request_flags(Variants)])
def submit(
    image: Image = None,
    *,
    end_image: EndImage = None,
    settings_of: Annotated[
        Path | None,
        typer.Option("--from", metavar="FILE", help="take the settings of an mp4, a PNG, a JSON file or a queue"),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="only estimate the video and its time")] = False,
    url: Url = None,
    storage: Storage = None,
    as_json: Json = False,
    **given: Any,
) -> None:
    """Ask for a video and print its id, without waiting. --n or --seeds ask for several, one line each."""
    variants = _variants(given)
    fields, images = request_of(given, image, end_image, whole=settings_of is None)
    with connect(url=url, storage=storage) as client:
        ask = client.estimate if dry_run else client.submit
        found = [({}, {})] if settings_of is None else _found_in(settings_of, client)
        for its_fields, its_images in found:
            if not dry_run:
                check_workers(client, its_fields | fields)
            _show(ask(its_fields | fields | variants, its_images | images), dry_run=dry_run, as_json=as_json)


def _asked(client: FarmClient, fields: dict[str, Any], images: dict[str, Path]) -> dict[str, Any]:
    """Ask for a video, unless nobody could make it. Raises: InvalidRequest; as `FarmClient.submit`."""
    check_workers(client, fields)
    return client.submit(fields, images)


def _say_what_comes(video: Mapping[str, Any]) -> None:
    """Say how long the video will be: it has whole sections, so its length may differ from the request."""
    asked, comes = length(video["request"]["seconds"]), length_of(video)
    why = "" if comes == asked else f", not {asked}: it has whole sections"
    frames = f"{video['frames']} frames of {video['size']}"
    say(f"{short(video['id'])}: {comes}{why} ({frames}, seed {video['seed']}, model {video['model']})")


def _show(video: dict[str, Any], *, dry_run: bool, as_json: bool) -> None:
    if dry_run and not as_json:
        number = f"{video['videos']} x " if video["videos"] > 1 else ""
        say(f"{number}{length_of(video)} ({video['frames']} frames) of {video['size']}, model {video['model']}")
        rows = [
            {**each, "takes": None if each["seconds"] is None else duration(each["seconds"] * video["videos"])}
            for each in video["workers"]
        ]
        put_table(("id", "fits", "takes", "plan"), rows)
    elif not as_json and video["batch"]:
        ids = video["batch"]["videos"]
        print("\n".join(shorts(ids).values() if sys.stdout.isatty() else ids))
        say(f"framefarm watch {short(video['batch']['id'])} follows them")
    else:
        put_id(video, as_json=as_json)


def _found_in(file: Path, client: FarmClient) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """Return fields and pictures of each video in `file`; say what is left out. Raises: ConfigError."""
    if not file.is_file():
        raise ConfigError(f"{file} is not a file")
    found, told = [], client.inspect(file)
    for one in told["data"]:
        for left in one["left_out"]:
            say(f"{file.name}: left out {left['name']}={left['value']!r}: {left['why']}", style="yellow")
        found.append((one["fields"], one["images"]))
    return found


def _variants(given: dict[str, Any]) -> dict[str, Any]:
    """Take --n and --seeds out of the flags and check them. Raises: InvalidRequest."""
    if "seeds" in given:
        given["seeds"] = f"[{given['seeds'].strip().removeprefix('[').removesuffix(']')}]"
    return take_variants(given).model_dump(mode="json", exclude_none=True)


def request_of(
    given: Mapping[str, Any], image: Path | None, end_image: Path | None, *, whole: bool = True
) -> tuple[dict[str, Any], dict[str, Path]]:
    """Return fields and files, checked before a farm starts. Raises: InvalidRequest, ConfigError.

    whole: false if the fields only change another request; then the farm checks them.
    """
    from pydantic import ValidationError

    fields = dict(given)
    images = {"input_reference": image, "end_image": end_image}
    frames = _json(fields, "keyframes")
    if isinstance(frames, list) and all(isinstance(frame, dict) for frame in frames):
        images |= {f"keyframe_{n}": Path(str(frame.get("image"))) for n, frame in enumerate(frames)}
        fields["keyframes"] = [{**frame, "image": f"keyframe_{n}"} for n, frame in enumerate(frames)]
    try:
        if whole:
            REQUEST_TYPE.model_validate(fields)
    except ValidationError as err:
        raise invalid_request(err.errors()) from err
    for name in ("metadata", "loras", "prompts"):
        if name in fields:
            fields[name] = _json(fields, name)
    files = {name: path for name, path in images.items() if path is not None}
    for path in files.values():
        if not path.is_file():
            raise ConfigError(f"{path} is not a file")
    return fields, files


def _json(fields: Mapping[str, Any], name: str) -> Any:
    """Return a field's JSON text as a value; leave other text for the request's own check to refuse."""
    try:
        return json.loads(fields[name])
    except (KeyError, ValueError, TypeError):
        return fields.get(name)


def _hash(fields: Mapping[str, Any], images: Mapping[str, Path]) -> str:
    """Return a digest of the flags and the images' bytes."""
    files = {name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in images.items()}
    return hashlib.sha256(json.dumps([fields, files], sort_keys=True).encode()).hexdigest()


def _resumed(client: FarmClient, render_hash: str) -> dict[str, Any] | None:
    """Find the unfinished video of an earlier run of the same command, and continue it."""
    for status in _UNFINISHED:
        for video in client.every(status=status):
            if video["request"]["metadata"].get(_HASH) == render_hash:
                done = f"{video['sections_done']} of {video['sections_total']} sections are done"
                say(f"continuing {short(video['id'])}: {done}")
                return client.wish(video["id"], "resume") if video["status"] == "paused" else video
    return None


def _say_what_it_is(client: FarmClient, model: str) -> None:
    """Say what to expect of the default model."""
    for found in client.models()["data"]:
        if found["id"] == model:
            say(f"{model} is the default here: {found['description']}; --model names another")


def _pause(client: FarmClient, video_id: str) -> None:
    try:
        video = client.wish(video_id, "pause")
    except FarmError as err:  # the video ended just now, or the farm is gone
        say(str(err))
    else:
        done = f"{video['sections_done']} of {video['sections_total']} sections are kept"
        say(f"paused {short(video_id)}: {done}; run the same command to continue it", style="yellow")


@contextmanager
def _farm(settings: FarmSettings, fields: Mapping[str, Any]) -> Iterator[str]:
    """Give the URL of the running farm, or start one for these fields for as long as the context lasts."""
    url = url_of(settings)
    if url:
        yield url
        return
    from deploy.node.child import start_background

    model = fields.get("model")
    check_here(settings, model or settings.model, attention=fields.get("attention", "auto"))
    with start_background(settings.replaced(model=settings.model or model)) as started:
        yield started
        say("stopping the farm")


StartImage = Annotated[Path | None, typer.Option("--image", metavar="FILE", help="a new start image")]
FromSection = Annotated[
    int, typer.Option(min=0, help="keep the sections before this one; with an i2v model section 0 is the END")
]


@with_flags(request_flags(whole=False))
def remix(
    video_id: Annotated[str, typer.Argument(metavar="ID", help="the video to change")],
    *,
    from_section: FromSection = 0,
    image: StartImage = None,
    end_image: EndImage = None,
    url: Url = None,
    storage: Storage = None,
    as_json: Json = False,
    **given: Any,
) -> None:
    """Ask for a changed version of a video and print its id. Options that you do not set stay as they were."""
    fields, images = request_of(given, image, end_image, whole=False)
    with connect(url=url, storage=storage) as client:
        video = client.remix(whole_id(client, video_id), {**fields, "from_section": from_section}, images)
    put_id(video, as_json=as_json)


@with_flags(request_flags())
def extend(
    video: Annotated[str, typer.Argument(metavar="ID|FILE", help="a completed video of the farm, or a video file")],
    *,
    url: Url = None,
    storage: Storage = None,
    as_json: Json = False,
    **given: Any,
) -> None:
    """Ask for a video that continues another for --seconds more, and print its id."""
    fields, _ = request_of(given, None, None)
    source = Path(video)
    with connect(url=url, storage=storage) as client:
        made = client.extend(source if source.is_file() else whole_id(client, video), fields)
    put_id(made, as_json=as_json)
