"""The calls of `Farm` and `AsyncFarm`, each written once, as coroutines."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable, Mapping
from contextlib import aclosing
from typing import Any, Unpack

from framefarm_client import calls
from framefarm_client.batch import Batch
from framefarm_client.connection import ImageFile
from framefarm_client.facts import FarmBase, V
from framefarm_client.values import Status, VideoFields
from framefarm_client.video_calls import parts_of, wait


async def submit(
    farm: FarmBase[V],
    image: ImageFile | None,
    prompt: str,
    *,
    end_image: ImageFile | None = None,
    keyframes: Mapping[float, ImageFile] | None = None,
    idempotency_key: str | None = None,
    **fields: Unpack[VideoFields],
) -> V:
    """Ask for a video; do not wait. When this returns, the farm has stored the request and makes the video.

    image: the photo to begin with, as a path or as bytes; None with a model that needs none. end_image: the last frame.
    keyframes: second of the video -> a picture to pass through then. seconds: the length, 5 by default; the farm
    rounds it to whole sections. idempotency_key: another call with it, even of another process, gets the same video.
    Raises: InvalidRequest, which names each bad field; UnsupportedImage; TooLarge; Quota or Overloaded if there are
    too many unfinished videos; Unauthorized; Unavailable if no farm answers; OSError for a file that cannot be read.
    """
    sent, images = parts_of(prompt, image, end_image, keyframes, fields)
    return farm.seen(await calls.submit(farm, sent, images, key=idempotency_key))


async def render(
    farm: FarmBase[V],
    image: ImageFile | None,
    prompt: str,
    *,
    end_image: ImageFile | None = None,
    keyframes: Mapping[float, ImageFile] | None = None,
    idempotency_key: str | None = None,
    **fields: Unpack[VideoFields],
) -> V:
    """Ask for a video, wait until it is complete, and return it. Takes what `submit` takes.

    Raises: VideoFailed if it fails or is cancelled; as `submit`.
    """
    asked = await submit(
        farm,
        image,
        prompt,
        end_image=end_image,
        keyframes=keyframes,
        idempotency_key=idempotency_key,
        **fields,
    )
    return await wait(asked)


async def each(
    farm: FarmBase[V], images: Iterable[ImageFile], prompt: str, *, ahead: int = 100, **fields: Unpack[VideoFields]
) -> AsyncGenerator[V, None]:
    """Make a video of each picture, and iterate over the complete ones in the order of the pictures.

    The farm always has up to `ahead` unfinished ones of them, so that no worker idles. A video has the name of its
    picture's file. One that fails does not stop the others: after the last video, an ExceptionGroup holds the error of
    each picture without a video, with the picture in `facts["image"]`. If you stop earlier, the farm still makes the
    videos that it was asked for.
    Raises: ExceptionGroup of FarmError and OSError; Unauthorized; Unavailable if no farm answers.
    """
    batch = Batch(farm, images, prompt, ahead, fields)
    async with aclosing(batch.videos()) as made:
        async for video in made:
            yield video


async def video(farm: FarmBase[V], video_id: str) -> V:
    """Return the video with this id. Raises: NotFound."""
    return farm.seen(await calls.get(farm, video_id))


async def videos(
    farm: FarmBase[V], *, status: Status | None = None, q: str | None = None, starred: bool | None = None
) -> AsyncGenerator[V, None]:
    """Iterate over your videos, newest first. q: letters of the prompt or the name."""
    async with aclosing(calls.every(farm, status=status, q=q, starred=starred)) as found:
        async for data in found:
            yield farm.seen(data)


async def estimate(
    farm: FarmBase[Any], image: ImageFile | None, prompt: str, **fields: Unpack[VideoFields]
) -> dict[str, Any]:
    """Return what would be made: frames, seconds, size, and how many seconds each worker would take. Store nothing.

    Raises: as `submit`.
    """
    sent, images = parts_of(prompt, image, None, None, fields)
    return await calls.estimate(farm, sent, images)


async def close(farm: FarmBase[Any]) -> None:
    """Close the connections; a `with` block does it at its end."""
    await farm.connection.wire.close()
