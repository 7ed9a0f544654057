"""The command batch: a video for each photo of a folder."""

from __future__ import annotations

import hashlib
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from deploy.commands.connect import Json, Storage, Url, connect
from deploy.commands.render import request_of
from deploy.terminal.flags import request_flags, with_flags
from deploy.terminal.screen import put_json, say
from farm.errors import ConfigError, FarmError, InvalidRequest, Overloaded, Quota, TooLarge, UnsupportedImage

if TYPE_CHECKING:
    from farm.client import FarmClient

_Row = dict[str, Any]  #: of the report
_Wanted = dict[Path, tuple[dict[str, Any], dict[str, Path]]]  #: file to write -> fields and images
_PHOTOS = {".jpg", ".jpeg", ".png", ".webp", ".avif", ".gif", ".bmp"}
_LOOK_S = 1.0
_ENDED = {"completed", "failed", "cancelled"}


def register(app: typer.Typer) -> None:
    """Add the command of this file."""
    app.command()(batch)


@with_flags(request_flags(whole=False))
def batch(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="photos, each with its prompt in a .txt beside it")],
    *,
    out: Annotated[Path, typer.Option("-o", "--out", metavar="FOLDER", help="where the mp4 files go")],
    url: Url = None,
    storage: Storage = None,
    as_json: Json = False,
    **given: Any,
) -> None:
    """Make a video for each photo of a folder. --prompt is for photos without a .txt of the same name.

    It names each photo that cannot be used, makes the others, and then ends with exit code 1. It skips hidden files.
    Run it again to continue: existing files stay, and the farm knows the videos that it was asked for before.
    """
    wanted, rows = _wanted(folder, out, given)
    out.mkdir(parents=True, exist_ok=True)
    with connect(url=url, storage=storage) as client:
        ids, refused = _ask_for(client, wanted)
        rows += refused
        while ids:
            for target, video_id in list(ids.items()):
                video = client.get(video_id)
                if video["status"] in _ENDED:
                    del ids[target]
                    rows.append(_fetched(client, video, target, left=len(ids), as_json=as_json))
            time.sleep(_LOOK_S if ids else 0)
    if as_json:
        put_json(rows)
    if any(row["status"] != "completed" for row in rows):
        raise typer.Exit(1)


def _wanted(folder: Path, out: Path, given: dict[str, Any]) -> tuple[_Wanted, list[_Row]]:
    """Return the fields and images for each file to write, without existing files, and a row for each unusable photo.

    Raises: ConfigError if there is no photo.
    """
    if not folder.is_dir():
        raise ConfigError(f"{folder} is not a folder")
    photos = sorted(path for path in folder.iterdir() if path.suffix.lower() in _PHOTOS and path.name[0] != ".")
    if not photos:
        raise ConfigError(f"{folder} has no photos ({', '.join(sorted(_PHOTOS))})")
    named: dict[str, list[Path]] = {}
    for photo in photos:
        named.setdefault(photo.stem, []).append(photo)
    wanted: _Wanted = {}
    rows = []
    for stem, alike in named.items():
        target = out / f"{stem}.mp4"
        if len(alike) > 1:
            names = " and ".join(photo.name for photo in alike)
            rows += [_refused(photo, f"{names} would share {target.name}; rename one") for photo in alike]
        elif target.exists():
            say(f"{target} exists already")
        else:
            try:
                wanted[target] = _request(alike[0], given)
            except FarmError as err:
                rows.append(_refused(alike[0], str(err)))
    return wanted, rows


def _request(photo: Path, given: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Path]]:
    """Return the fields and images of a photo's video. Raises: ConfigError, InvalidRequest."""
    words = photo.with_suffix(".txt")
    prompt = _text_of(words) if words.is_file() else given.get("prompt")
    if not prompt:
        raise ConfigError(f"it has no prompt: write {words.name}, or pass --prompt")
    return request_of({**given, "prompt": prompt}, photo, None)


def _refused(photo: Path, why: str) -> _Row:
    """Say why there will be no video of `photo`, and return its row."""
    say(f"{photo.name}: {why}", style="red")
    return {"id": None, "status": "refused", "path": None, "photo": str(photo), "error": why}


def _text_of(path: Path) -> str:
    """Return the prompt. Raises: ConfigError."""
    try:
        return path.read_text(encoding="utf-8-sig").strip()
    except UnicodeDecodeError as err:
        raise ConfigError(f"{path} is not UTF-8 text; save it as UTF-8") from err


def _ask_for(client: FarmClient, wanted: _Wanted) -> tuple[dict[Path, str], list[_Row]]:
    """Ask for each video under a key made of its content, so a second run finds the same video.

    Return the ids, and a row for each photo that the farm refused.
    """
    ids, rows = {}, []
    for target, (fields, images) in wanted.items():
        photo = images["input_reference"]
        try:
            video = _patiently(client, fields, images, key=_key(fields, images))
            if video["status"] == "paused":
                client.wish(video["id"], "resume")
        except (InvalidRequest, UnsupportedImage, TooLarge) as err:
            rows.append(_refused(photo, str(err)))
        except OSError as err:
            rows.append(_refused(photo, f"it cannot be read: {err.strerror}"))
        else:
            ids[target] = video["id"]
            say(f"{photo.name}: {video['id']} {video['status']}")
    return ids, rows


def _patiently(client: FarmClient, fields: dict[str, Any], images: dict[str, Path], *, key: str) -> dict[str, Any]:
    """Submit, and wait while the farm has no room: a folder may hold more photos than an owner's limit."""
    while True:
        try:
            return client.submit(fields, images, key=key)
        except (Quota, Overloaded) as err:
            say(str(err))
            time.sleep(10 * _LOOK_S)


def _key(fields: dict[str, Any], images: dict[str, Path]) -> str:
    photo = hashlib.sha256(images["input_reference"].read_bytes()).hexdigest()
    return "batch-" + hashlib.sha256(repr([sorted(fields.items()), photo]).encode()).hexdigest()


def _fetched(client: FarmClient, video: dict[str, Any], target: Path, *, left: int, as_json: bool) -> dict[str, Any]:
    """Write the file of an ended video, or say why there is none."""
    row = {"id": video["id"], "status": video["status"], "path": None}
    if video["status"] == "completed":
        try:
            row["path"] = str(client.fetch(video["id"], target))
        except FarmError as err:
            say(f"{target.name}: {err}", style="red")
            return row | {"status": "failed"}
        if not as_json:
            print(target, flush=True)
    else:
        error = video["error"] or {}
        say(f"{target.name}: {video['status']} {error.get('message', '')} (framefarm retry {video['id']})", style="red")
    say(f"{left} to go")
    return row
