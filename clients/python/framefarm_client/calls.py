"""The calls of a farm, each written once: coroutines over an object that has a connection.

`FarmClient` gives them to programs without `await`; `Farm` and `AsyncFarm` are made of them.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping
from contextlib import aclosing
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from framefarm_client.connection import LOST, Connected, ImageFile, NotSent, SentFile, part_of, segment
from framefarm_client.errors import NotFound
from framefarm_client.events import Event
from framefarm_client.part_file import own_part, tag_of

_WISHED = {  #: wish -> the statuses that show that the farm heard it
    "pause": {"paused"},
    "resume": {"queued", "in_progress", "completed"},
    "cancel": {"cancelled"},
    "retry": {"queued", "in_progress", "completed"},
}
_IMPORT_S = 3600.0  #: time for the farm to store a large archive


async def submit(
    farm: Connected, fields: Mapping[str, Any], images: Mapping[str, ImageFile | SentFile], *, key: str | None = None
) -> dict[str, Any]:
    """Ask for a video; a retry never stores it twice.

    images: "input_reference", "end_image" … -> a file, or what `upload` returned for it.
    key: an Idempotency-Key. Another call, even of another process, gets the same video with it. None: a new key.
    Raises: InvalidRequest, UnsupportedImage, TooLarge, Quota, Overloaded; Unavailable if no farm answers.
    """
    return await farm.connection.send("/v1/videos", fields, images, key=key)


async def estimate(
    farm: Connected, fields: Mapping[str, Any], images: Mapping[str, ImageFile | SentFile]
) -> dict[str, Any]:
    """Return what would be made and how long each worker would take; store nothing. Raises: as `submit`.

    The field `image_size` ("WIDTHxHEIGHT" in px) may stand for the start image.
    """
    return await farm.connection.send("/v1/videos", fields, images, query={"dry_run": "1"})


async def remix(
    farm: Connected, video_id: str, fields: Mapping[str, Any], images: Mapping[str, ImageFile | SentFile]
) -> dict[str, Any]:
    """Make a new video with other `fields`. It shares the sections before `fields["from_section"]` (default: 0).

    Raises: NotFound; NotReady if those sections are not made yet; as `submit`.
    """
    return await farm.connection.send(f"/v1/videos/{segment(video_id)}/remix", fields, images)


async def extend(farm: Connected, video: str | Path, fields: Mapping[str, Any]) -> dict[str, Any]:
    """Make a new video that continues `video`, an id or a file. Raises: NotFound, NotReady; as `submit`."""
    if isinstance(video, Path):
        return await farm.connection.send("/v1/videos/extensions", fields, {"video": video})
    return await farm.connection.send("/v1/videos/extensions", {**fields, "video": {"id": video}}, {})


async def get(farm: Connected, video_id: str) -> dict[str, Any]:
    """Return the video object. Raises: NotFound."""
    return await farm.connection.ask("GET", f"/v1/videos/{segment(video_id)}")


async def page(
    farm: Connected,
    *,
    limit: int = 20,
    status: str | None = None,
    after: str | None = None,
    order: str = "desc",
    batch: str | None = None,
    q: str | None = None,
    starred: bool | None = None,
) -> dict[str, Any]:
    """Return a page of videos: {data, has_more, last_id …}. order: "desc" puts the newest first.

    With `status`, `q` (letters of prompt or name) or `starred`, a page may be short although there are more.
    Raises: NotFound for an unknown `batch` or `after`.
    """
    query = {"limit": limit, "status": status, "after": after, "order": order, "batch": batch}
    query |= {"q": q, "starred": starred}
    return await farm.connection.ask(
        "GET", "/v1/videos", params={name: value for name, value in query.items() if value is not None}
    )


async def every(
    farm: Connected, *, status: str | None = None, q: str | None = None, starred: bool | None = None
) -> AsyncGenerator[dict[str, Any], None]:
    """Iterate over all videos, newest first."""
    after = None
    while True:
        found = await page(farm, limit=100, status=status, after=after, q=q, starred=starred)
        for video in found["data"]:
            yield video
        after = found["last_id"]
        if not found["has_more"]:
            return


async def wish(farm: Connected, video_id: str, wish: str) -> dict[str, Any]:
    """Pause, resume, cancel or retry a video. Raises: Conflict if its state forbids that."""
    path, lost = f"/v1/videos/{segment(video_id)}", False

    async def once() -> dict[str, Any]:
        nonlocal lost
        if lost:  # pausing twice is a conflict, so look first whether the first call arrived
            video = await farm.connection.once("GET", path)
            if video["status"] in _WISHED[wish]:
                return video
        lost = True
        return await farm.connection.once("POST", f"{path}/{wish}")

    return await farm.connection.patiently(once)


async def edit(farm: Connected, video_id: str, changes: Mapping[str, Any]) -> dict[str, Any]:
    """Change prompt, priority, name or labels. Raises: InvalidRequest; Conflict if the state forbids it."""
    return await farm.connection.ask("PATCH", f"/v1/videos/{segment(video_id)}", json=dict(changes))


async def move(farm: Connected, video_id: str, **place: str) -> dict[str, Any]:
    """Move a queued video: `before` or `after` another of yours, or `to` "first" or "last". Raises: Conflict."""
    return await farm.connection.ask("POST", f"/v1/videos/{segment(video_id)}/move", json=place)


async def delete(farm: Connected, video_id: str) -> dict[str, Any]:
    """Erase an ended video. Raises: NotFound; Conflict if it has not ended."""
    await get(farm, video_id)  # it exists now, so if it is gone after a lost answer, the first attempt erased it
    lost = False

    async def once() -> dict[str, Any]:
        nonlocal lost
        try:
            return await farm.connection.once("DELETE", f"/v1/videos/{segment(video_id)}")
        except NotFound:
            if lost:
                return {"id": video_id, "object": "video.deleted", "deleted": True}
            raise
        except LOST:
            lost = True
            raise

    return await farm.connection.patiently(once)


async def link(farm: Connected, video_id: str, *, seconds: int = 3600, variant: str = "video") -> dict[str, Any]:
    """Make a link to one file of a video that needs no key: {url, path, expires_at}.

    seconds: how long it works, at most a week. Raises: InvalidRequest, NotFound.
    """
    asked = {"seconds": seconds, "variant": variant}
    return await farm.connection.ask("POST", f"/v1/videos/{segment(video_id)}/link", json=asked)


async def upload(farm: Connected, file: ImageFile, *, purpose: str = "vision") -> dict[str, Any]:
    """Send a picture; return the file object, which may stand for a picture in `submit`, `estimate` and `remix`.

    The farm erases it at its `expires_at`. The same bytes again: the same file, kept longer.
    Raises: UnsupportedImage, TooLarge; Unavailable if no farm answers; OSError.
    """
    part = await farm.connection.wire.aside(lambda: part_of(file))
    return await farm.connection.ask("POST", "/v1/files", data={"purpose": purpose}, files={"file": part})


async def get_file(farm: Connected, file_id: str) -> dict[str, Any]:
    """Return the file object. Raises: NotFound."""
    return await farm.connection.ask("GET", _file_path(file_id))


async def files(farm: Connected) -> AsyncGenerator[dict[str, Any], None]:
    """Iterate over your files, newest first."""
    query = {"limit": "100"}
    while True:
        page = await farm.connection.ask("GET", "/v1/files", params=query)
        for file in page["data"]:
            yield file
        if not page["has_more"] or not page["data"]:
            return
        query["after"] = page["last_id"]


async def fetch_file(farm: Connected, file_id: str, out: str | Path) -> Path:
    """Write a file, as it was sent, to `out`. Raises: NotFound, Damaged."""

    async def once() -> None:
        async with farm.connection.stream("GET", f"{_file_path(file_id)}/content") as response:
            await farm.connection.write(response, Path(out))

    await farm.connection.patiently(once)
    return Path(out)


async def delete_file(farm: Connected, file_id: str) -> dict[str, Any]:
    """Erase a file before it expires. Videos keep their own copies. Raises: NotFound."""
    # not sent twice once it may have arrived: the second answer would be NotFound
    return await farm.connection.ask("DELETE", _file_path(file_id), again=(NotSent,))


async def models(farm: Connected) -> dict[str, Any]:
    """List the models that a request may name."""
    return await farm.connection.ask("GET", "/v1/models")


async def about(farm: Connected) -> dict[str, Any]:
    """Return what a form must know: who asks, the default model, whether it can be rendered now, the limits."""
    return await farm.connection.ask("GET", "/v1/farm")


async def inspect(farm: Connected, file: str | Path) -> dict[str, Any]:
    """Return the settings that a file holds: `from`, and `data` with {fields, images, left_out} of each video.

    An image is {"file_id": …}. Raises: InvalidRequest if it holds none; UnsupportedImage, TooLarge.
    """
    return await farm.connection.ask("POST", "/v1/inspect", files={"file": (Path(file).name, Path(file).read_bytes())})


async def presets(farm: Connected) -> dict[str, Any]:
    """List the built-in presets, then your own; `start` names the one that a form begins with."""
    return await farm.connection.ask("GET", "/v1/presets")


async def save_preset(farm: Connected, name: str, fields: Mapping[str, Any], *, start: bool = False) -> dict[str, Any]:
    """Save fields of a request under a name. Raises: InvalidRequest; Conflict for a built-in preset's name."""
    return await farm.connection.ask(
        "PUT", f"/v1/presets/{segment(name)}", json={"fields": dict(fields), "start": start}
    )


async def delete_preset(farm: Connected, name: str) -> dict[str, Any]:
    """Forget one of your presets. Raises: NotFound; Conflict for a built-in one."""
    # not sent twice once it may have arrived: the second answer would be NotFound
    return await farm.connection.ask("DELETE", f"/v1/presets/{segment(name)}", again=(NotSent,))


async def loras(farm: Connected) -> dict[str, Any]:
    """List the LoRAs of the farm."""
    return await farm.connection.ask("GET", "/v1/loras")


async def workers(farm: Connected) -> dict[str, Any]:
    """List the workers."""
    return await farm.connection.ask("GET", "/v1/workers")


async def worker_wish(farm: Connected, worker_id: str, wish: str) -> dict[str, Any]:
    """Pause, resume or drain a worker, by its id or slot. Raises: Forbidden, NotFound, Conflict."""
    # not sent twice once it may have arrived: pausing twice is a conflict
    return await farm.connection.ask("POST", f"/v1/workers/{segment(worker_id)}/{wish}", again=(NotSent,))


async def watch(farm: Connected, video_id: str) -> AsyncGenerator[Event, None]:
    """Iterate over the events up to `end`. After a lost connection, resume where it broke.

    Raises: NotFound; Unavailable if the farm does not answer for `patience_s`.
    """
    async with aclosing(farm.connection.follow(f"/v1/videos/{segment(video_id)}/events")) as events:
        async for event in events:
            yield event
            if event.name == "end":
                return


def follow(farm: Connected, *, previews: Iterable[str] = ()) -> AsyncGenerator[Event, None]:
    """Iterate without end over the events of all your videos, the queue, the workers and the farm.

    previews: ids of videos to look into while they are made, at most 4.
    After a lost connection, resume where it broke. On `reset`, list your videos again: events may be missing.
    Raises: Unavailable if the farm does not answer for `patience_s`.
    """
    return farm.connection.follow("/v1/events?" + urlencode([("preview", video_id) for video_id in previews]))


async def fetch(farm: Connected, video_id: str, out: str | Path, *, variant: str = "video") -> Path:
    """Write a video's content to `out`. Resume a download that an earlier call began.

    The partial file lies beside `out` until it is complete and its sha256 is right. Two calls at once each have one.
    Raises: NotReady, NotFound; StoreError if the bytes differ from those that the farm announced.
    """
    out = Path(out)
    part = out.with_name(f".{out.name}.{video_id}.{variant}.part")
    return await fetch_to(farm, video_id, part, lambda: out, variant=variant)


async def fetch_to(farm: Connected, video_id: str, part: Path, out: Callable[[], Path], *, variant: str) -> Path:
    """Write a whole content by way of `part`; go on where an earlier call broke off. Raises: as `fetch`.

    out: chooses the file's place once all of it is there.
    """
    with own_part(part) as ours:
        await farm.connection.patiently(partial(farm.connection.download, video_id, variant, ours))
        tag_of(ours).unlink()
        return ours.replace(out())


async def export(farm: Connected, video_id: str, out: str | Path) -> Path:
    """Write everything stored of a video to `out`: a file *.tar, or else a new folder. Write all or nothing.

    Raises: NotFound; StoreError if an object is damaged; InvalidRequest if the farm sent no archive.
    """
    from framefarm_client.archive import unpack

    async def once() -> None:
        async with farm.connection.stream("GET", f"/v1/videos/{segment(video_id)}/export") as response:
            await farm.connection.write(response, part)

    out = Path(out)
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{out.name}.", dir=out.parent) as name:
        part, folder = Path(name, "archive.tar"), Path(name, "folder")
        await farm.connection.patiently(once)
        with part.open("rb") as file:
            if out.suffix == ".tar":
                unpack(file, None)  # only checks it
            else:
                folder.mkdir()
                unpack(file, folder)
        (part if out.suffix == ".tar" else folder).replace(out)
    return out


async def import_archive(farm: Connected, source: str | Path, *, new_id: bool = False) -> dict[str, Any]:
    """Import the exported video in `source`, a file or a folder. Return the video object.

    Raises: InvalidRequest if it is damaged or no exported video; Conflict if its id is taken; TooLarge.
    """
    import httpx

    from framefarm_client.archive import pack, packed_bytes, read_folder

    source = Path(source)

    async def once() -> dict[str, Any]:
        with contextlib.ExitStack() as held:
            if source.is_dir():
                manifest, read = read_folder(source)
                body, size = pack(manifest, read), packed_bytes(manifest)
            else:
                file = held.enter_context(source.open("rb"))
                body, size = iter(partial(file.read, 1 << 20), b""), source.stat().st_size
            headers = {"Content-Type": "application/x-tar", "Content-Length": str(size)}
            timeout = httpx.Timeout(_IMPORT_S, connect=5.0)
            options = {"params": {"new_id": new_id}, "headers": headers, "timeout": timeout}
            return await farm.connection.once("POST", "/v1/videos/import", content=body, **options)

    return await farm.connection.patiently(once)


def _file_path(file_id: str) -> str:
    return f"/v1/files/{segment(file_id)}"
