"""Many pictures at once: the farm always has enough of them, and each is judged by itself."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable, Iterator, Mapping
from contextlib import aclosing
from pathlib import Path
from typing import Any, Generic

from framefarm_client import calls
from framefarm_client.connection import ImageFile
from framefarm_client.errors import (
    FarmError,
    InvalidRequest,
    NotFound,
    Overloaded,
    Quota,
    TooLarge,
    UnsupportedImage,
    VideoFailed,
    rest_s,
)
from framefarm_client.facts import FarmBase, V
from framefarm_client.values import ENDED
from framefarm_client.video_calls import parts_of


class Batch(Generic[V]):
    """The pictures of one `map`: still to send, at the farm, and settled."""

    def __init__(
        self, farm: FarmBase[V], images: Iterable[ImageFile], prompt: str, ahead: int, fields: Mapping[str, Any]
    ) -> None:
        """Ask for nothing yet."""
        if ahead < 1:
            raise InvalidRequest.of("ahead", "need at least 1")
        self._farm, self._prompt, self._ahead, self._fields = farm, prompt, ahead, fields
        self._coming: Iterator[tuple[int, ImageFile]] = enumerate(images)
        self._next: tuple[int, ImageFile] | None = next(self._coming, None)
        self._open: dict[str, tuple[int, ImageFile]] = {}
        self._settled: dict[int, V | None] = {}
        self._given = 0
        self._errors: list[Exception] = []

    async def videos(self) -> AsyncGenerator[V, None]:
        """Iterate over the complete videos, in the order of their pictures."""
        async with aclosing(calls.follow(self._farm)) as events:
            while self._next or self._open:
                full = await self._send()
                for video in self._in_order():
                    yield video
                if self._open:
                    await self._until_one_ends(events)
                elif full:
                    await self._farm.connection.wire.sleep(rest_s(full))
        for video in self._in_order():
            yield video
        if self._errors:
            raise ExceptionGroup(f"{len(self._errors)} of {self._given} pictures have no video", self._errors)

    async def _send(self) -> Quota | Overloaded | None:
        """Send pictures until the farm has enough; return its refusal if it had no room."""
        while self._next and len(self._open) < self._ahead:
            number, image = self._next
            name = {} if isinstance(image, bytes) else {"name": Path(image).stem[:200]}
            sent, images = parts_of(self._prompt, image, None, None, {**name, **self._fields})
            try:
                video = await calls.submit(self._farm, sent, images)
            except (Quota, Overloaded) as err:
                return err
            except (InvalidRequest, UnsupportedImage, TooLarge, OSError) as err:
                self._settle(number, image, err)
            else:
                self._open[video["id"]] = self._next
            self._next = next(self._coming, None)
        return None

    async def _until_one_ends(self, events: AsyncGenerator[Any, None]) -> None:
        async for event in events:
            if event.name in {"hello", "reset"}:  # ends that nobody listened to are not sent again
                gone = [video_id for video_id in [*self._open] if await self._look(video_id)]
            else:
                is_end = event.name == "gone" or (event.name == "video" and event.data["status"] in ENDED)
                gone = [event.data["id"]] if is_end and await self._look(event.data.get("id", "")) else []
            if gone:
                return

    async def _look(self, video_id: str) -> bool:
        """Settle a video of ours if it has ended; tell whether it has."""
        if video_id not in self._open:
            return False
        try:
            video = self._farm.seen(await calls.get(self._farm, video_id))
        except NotFound as err:  # somebody erased it
            self._settle(*self._open.pop(video_id), err)
            return True
        if video.status not in ENDED:
            return False
        number, image = self._open.pop(video_id)
        if video.status == "completed":
            self._settled[number] = video
        else:
            why = video.error.message if video.error else "somebody cancelled it"
            self._settle(number, image, VideoFailed(f"{video.id} {video.status}: {why}", video=video))
        return True

    def _settle(self, number: int, image: ImageFile, err: FarmError | OSError) -> None:
        """Keep the error of a picture that gets no video."""
        if isinstance(err, FarmError):
            err.facts["image"] = image
        err.add_note("picture: bytes" if isinstance(image, bytes) else f"picture: {Path(image)}")
        self._errors.append(err)
        self._settled[number] = None

    def _in_order(self) -> Iterator[V]:
        """Give the videos before which no picture is open."""
        while self._given in self._settled:
            video = self._settled.pop(self._given)
            self._given += 1
            if video is not None:
                yield video
