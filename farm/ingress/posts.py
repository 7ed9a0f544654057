"""POSTs that ask for a video: what all of them carry, and how many of them are worked on at once."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated, NamedTuple

from anyio import WouldBlock
from fastapi import Depends, Header, Query, Request, Response

from farm.errors import Busy, InvalidRequest, Overloaded, Quota, Unavailable
from farm.ingress.dependencies import OwnerDep, Parts, PartsDep
from farm.intake.body import Body, read_body

_KEY_CHARS = 255
_RETRY_S = 2  #: by then most of those that are inside are answered


class Post(NamedTuple):
    """One that has a place."""

    body: Body
    parts: Parts
    owner: str
    response: Response
    dry_run: bool
    idempotency_key: str | None


class _Posted:
    """The dependency that reads a POST and holds its place until it is answered."""

    def __init__(self, *, takes_video: bool = False) -> None:
        self._takes_video = takes_video

    async def __call__(
        self,
        request: Request,
        response: Response,
        parts: PartsDep,
        owner: OwnerDep,
        *,
        dry_run: Annotated[bool, Query(description="store nothing; tell what would be made")] = False,
        idempotency_key: Annotated[str | None, Header(description="the same key and request: the same video")] = None,
    ) -> AsyncIterator[Post]:
        """Raises: InvalidRequest, TooLarge; Busy where as many as can be answered soon are inside."""
        # read first: who uploads slowly takes nobody's place, and who is still sending would not hear the answer
        limit = parts.settings.max_upload_mb << 20
        body = await read_body(request, max_bytes=limit, takes_video=self._takes_video)
        if idempotency_key is not None and not 0 < len(idempotency_key) <= _KEY_CHARS:
            text = f"need 1 to {_KEY_CHARS} characters"
            raise InvalidRequest(f"Idempotency-Key: {text}", fields={"Idempotency-Key": text})
        place = object()
        try:
            parts.posts.acquire_on_behalf_of_nowait(place)
        except WouldBlock as err:
            msg = f"{parts.posts.total_tokens:g} requests for videos are worked on just now; ask again in seconds"
            raise Busy(msg, retry_after_s=_RETRY_S) from err
        try:
            yield Post(body, parts, owner, response, dry_run, idempotency_key)
        finally:
            parts.posts.release_on_behalf_of(place)


PostDep = Annotated[Post, Depends(_Posted())]
PostWithVideoDep = Annotated[Post, Depends(_Posted(takes_video=True))]


_QUOTA_RETRY_S = 30  #: when it may be worth asking again: some section will have ended
_QUEUE_RETRY_S = 10


async def check_room(parts: Parts, owner: str, *, wanted: int) -> None:
    """See that `wanted` more videos of this owner have room. Raises: Quota, Overloaded."""
    most, most_of_owner = parts.settings.max_queued, parts.settings.max_open_videos
    try:
        load = await parts.door.load(owner)
    except Unavailable:
        return
    if most_of_owner is not None and load.of_owner + wanted > most_of_owner:
        raise Quota(
            f"you have {load.of_owner} videos that have not ended; with {wanted} more it would be over "
            f"{most_of_owner} (FARM_MAX_OPEN_VIDEOS); wait for one to end, or cancel it",
            retry_after_s=_QUOTA_RETRY_S,
        )
    if load.open + wanted > most:
        raise Overloaded(
            f"{load.open} videos wait or are rendered here, and {most} are the most (FARM_MAX_QUEUED); ask again later",
            retry_after_s=_QUEUE_RETRY_S,
        )
