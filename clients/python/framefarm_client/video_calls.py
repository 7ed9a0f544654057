"""The calls on a video, each written once: coroutines that `Video` and `AsyncVideo` share."""

from __future__ import annotations

import os
import tempfile
from collections.abc import AsyncGenerator, Generator, Mapping, Sequence
from contextlib import aclosing, closing, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Unpack, cast

from framefarm_client import calls
from framefarm_client.connection import ImageFile
from framefarm_client.errors import ConfigError, VideoFailed
from framefarm_client.facts import V, VideoFacts
from framefarm_client.names import file_name, free_neighbour, suffix_of
from framefarm_client.values import Progress, VideoFields

if TYPE_CHECKING:
    from numpy import uint8
    from numpy.typing import NDArray


async def refresh(video: V) -> V:
    """Ask the farm again; return the video as it is now. Raises: NotFound."""
    return video.seen(await calls.get(video.farm, video.id))


async def pause(video: V) -> V:
    """Stop at the next step and keep what is finished. Raises: Conflict if the video has ended or is paused."""
    return video.seen(await calls.wish(video.farm, video.id, "pause"))


async def resume(video: V) -> V:
    """Continue a paused video. Raises: Conflict if it is not paused."""
    return video.seen(await calls.wish(video.farm, video.id, "resume"))


async def cancel(video: V) -> V:
    """Stop at the next step for good; only `retry` continues it. Raises: Conflict if the video has ended."""
    return video.seen(await calls.wish(video.farm, video.id, "cancel"))


async def retry(video: V) -> V:
    """Continue a failed or cancelled video; finished sections stay. Raises: Conflict if it is neither."""
    return video.seen(await calls.wish(video.farm, video.id, "retry"))


async def edit(
    video: V,
    *,
    prompt: str | None = None,
    priority: int | None = None,
    name: str | None = None,
    labels: Sequence[str] | None = None,
) -> V:
    """Change what is given. prompt and priority: of a queued or paused video; finished sections stay.

    priority: -10 to 10; higher ones go first.
    Raises: InvalidRequest naming the field; Conflict if the video's state forbids the change.
    """
    changes = {"prompt": prompt, "priority": priority, "name": name, "labels": None if labels is None else [*labels]}
    given = {field: value for field, value in changes.items() if value is not None}
    return video.seen(await calls.edit(video.farm, video.id, given))


async def move(
    video: V,
    *,
    before: VideoFacts | str | None = None,
    after: VideoFacts | str | None = None,
    to: Literal["first", "last"] | None = None,
) -> V:
    """Move a queued video among your own that wait; name one place. It takes the priority of that place.

    before, after: another video or its id.
    Raises: InvalidRequest unless exactly one place is named; NotFound; Conflict if one of the two does not wait.
    """
    places: dict[str, VideoFacts | str | None] = {"before": before, "after": after, "to": to}
    named = {name: at.id if isinstance(at, VideoFacts) else at for name, at in places.items() if at is not None}
    return video.seen(await calls.move(video.farm, video.id, **named))


async def delete(video: VideoFacts) -> None:
    """Erase an ended video and all of its objects. Raises: NotFound; Conflict if it has not ended."""
    await calls.delete(video.farm, video.id)


async def progress(video: VideoFacts) -> AsyncGenerator[Progress, None]:
    """Iterate over the video's progress until it has ended, whether or not it succeeds.

    It waits as long as the video takes, a pause included, and survives broken connections.
    Raises: NotFound; Unavailable if the farm does not answer for the client's `patience_s`.
    """
    now = Progress(
        status=video.status,
        percent=video.percent,
        eta_s=video.eta_s,
        sections_done=video.sections_done,
        sections_total=video.sections_total,
    )
    told: Progress | None = None
    async with aclosing(calls.watch(video.farm, video.id)) as events:
        async for event in events:
            known = {name: event.data[name] for name in Progress.__dataclass_fields__ if name in event.data}
            if event.name == "end":
                ended = event.data["status"] == "completed"
                known = {"status": event.data["status"], "sections_done": event.data["sections_done"], "stage": None}
                known |= {"percent": event.data["progress"], "eta_s": 0.0 if ended else None, "waiting_for": None}
            elif event.name == "progress":
                known["percent"] = event.data["progress"]
            now = replace(now, **known)
            if now != told:
                told = now
                yield now


async def wait(video: V) -> V:
    """Wait until the video is complete; return it. A paused video is waited for, too.

    Raises: VideoFailed if it fails or is cancelled; NotFound; Unavailable as `progress`.
    """
    ended = video
    async with aclosing(calls.watch(video.farm, video.id)) as events:
        async for event in events:
            if event.name == "end":
                ended = video.seen(event.data)
    if ended.status not in {"completed", "failed", "cancelled"}:  # its end was told to an earlier connection
        ended = await refresh(video)
    if ended.status != "completed":
        why = ended.error.message if ended.error else "somebody cancelled it"
        raise VideoFailed(f"{ended.id} {ended.status}: {why}", video=ended)
    return ended


async def save(video: VideoFacts, to: str | os.PathLike[str] | None = None, *, variant: str = "video") -> Path:
    """Write the video's mp4 to a file and return its path. A download that breaks off goes on where it broke.

    to: a file, which is replaced once the new one is whole; or a folder, or None for the current one. In a folder, the
    file has the video's name, or else its id. Existing files there stay: the next video named cat becomes cat-2.mp4.
    A slash at the end means a folder, which is made if it is missing. variant: another file of the video, such as
    "partial" (the frames that are final so far), "thumbnail", "spritesheet", "poster", "frames", "latents".
    Raises: NotReady if it is not made yet; NotFound; StoreError if the bytes are not those that the farm announced.
    """
    out = Path() if to is None else Path(to)
    if not (out.is_dir() or str(to).endswith(("/", os.sep))):
        return await calls.fetch(video.farm, video.id, out, variant=variant)
    part, name = out / f".{video.id}.{variant}.part", f"{file_name(video.name) or video.id}.{suffix_of(variant)}"
    return await calls.fetch_to(video.farm, video.id, part, lambda: _claimed(out / name), variant=variant)


async def frames(video: VideoFacts) -> AsyncGenerator[NDArray[uint8], None]:
    """Iterate over the frames of a complete video, as arrays of height x width x 3, RGB.

    Needs PyAV and numpy: `pip install 'framepack-farm-client[frames]'`.
    Raises: ConfigError without them; NotReady if the video is not made yet; as `save`.
    """
    wire = video.farm.connection.wire
    with tempfile.TemporaryDirectory(prefix="framefarm-") as folder:
        decoded = _decoded(await save(video, Path(folder, "video.mp4")))
        with closing(decoded):
            while (frame := await wire.aside(lambda: next(decoded, None))) is not None:
                yield frame


async def link(video: VideoFacts, *, seconds: int = 3600, variant: str = "video") -> str:
    """Make an address of one file of the video that needs no key, for a `<video src>`.

    seconds: how long it works, at most a week. Raises: InvalidRequest, NotFound.
    """
    made = await calls.link(video.farm, video.id, seconds=seconds, variant=variant)
    return str(made["url"])


async def remix(
    video: V,
    prompt: str | None = None,
    *,
    from_section: int = 0,
    image: ImageFile | None = None,
    end_image: ImageFile | None = None,
    keyframes: Mapping[float, ImageFile] | None = None,
    **fields: Unpack[VideoFields],
) -> V:
    """Ask for a new video like this one, with another prompt or other fields; do not wait.

    from_section: the new video shares this one's sections before that one, in the order in which they are made.
    Raises: NotReady if those sections are not made yet; InvalidRequest and the like as `Farm.submit`.
    """
    sent, images = parts_of(prompt, image, end_image, keyframes, fields)
    return video.seen(await calls.remix(video.farm, video.id, {**sent, "from_section": from_section}, images))


async def extend(video: V, prompt: str, **fields: Unpack[VideoFields]) -> V:
    """Ask for a new video that holds this one and goes on where it ends; do not wait. It takes an F1 model.

    seconds: the length of the new part, 5 by default.
    Raises: NotReady if this one is not complete; as `Farm.submit`.
    """
    sent, _ = parts_of(prompt, None, None, None, fields)
    return video.seen(await calls.extend(video.farm, video.id, sent))


def parts_of(
    prompt: str | None,
    image: ImageFile | None,
    end_image: ImageFile | None,
    keyframes: Mapping[float, ImageFile] | None,
    fields: Mapping[str, Any],
) -> tuple[dict[str, Any], dict[str, ImageFile]]:
    """Return the fields and pictures of a request as HTTP has them. keyframes: second of the video -> picture."""
    sent = {name: value for name, value in fields.items() if value is not None}
    images = {"input_reference": image, "end_image": end_image}
    if prompt is not None:
        sent["prompt"] = prompt
    if keyframes:
        names = {at_s: f"keyframe_{number}" for number, at_s in enumerate(sorted(keyframes))}
        sent["keyframes"] = [{"at_s": at_s, "image": name} for at_s, name in names.items()]
        images |= {name: keyframes[at_s] for at_s, name in names.items()}
    return sent, {name: file for name, file in images.items() if file is not None}


def _claimed(path: Path) -> Path:
    """Create an empty file, so that no other call takes its name: `path`, or a neighbour."""
    while True:
        with suppress(FileExistsError):
            free = free_neighbour(path)
            free.touch(exist_ok=False)
            return free


def _decoded(path: Path) -> Generator[NDArray[uint8], None, None]:
    try:
        import av
    except ImportError as err:
        raise ConfigError("frames() needs PyAV and numpy: pip install 'framepack-farm-client[frames]'") from err
    with av.open(str(path)) as file:
        for frame in file.decode(video=0):
            yield cast("NDArray[uint8]", frame.to_ndarray(format="rgb24"))
