"""POSTs that ask for a video: how they are read, and how many the ingress and the farm accept."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Annotated, NamedTuple

from anyio import WouldBlock, to_thread
from fastapi import Depends, Header, Query, Request, Response
from starlette.concurrency import run_in_threadpool

from farm.contract import JobId, WorkerState
from farm.errors import Busy, FarmError, InvalidRequest, Overloaded, Quota, Unavailable
from farm.ingress.dependencies import Dependencies, Deps, OwnerDep
from farm.intake.body import Body, read_body
from farm.intake.prepare import Prepared, accept
from farm.intake.uploads import with_files
from farm.jobs import Record

log = logging.getLogger(__name__)
_KEY_CHARS = 255
_BUSY_RETRY_S = 2  #: most POSTs that are being handled are answered by then
_QUEUE_RETRY_S = 10
_QUOTA_RETRY_S = 30  #: one of the owner's sections has probably ended by then


class Post(NamedTuple):
    """A POST that has been read and is being handled."""

    body: Body
    deps: Dependencies
    owner: str
    response: Response
    dry_run: bool
    idempotency_key: str | None


class _Posted:
    """FastAPI dependency that reads a POST and counts it until it is answered."""

    def __init__(self, *, takes_video: bool = False) -> None:
        self._takes_video = takes_video

    async def __call__(
        self,
        request: Request,
        response: Response,
        deps: Deps,
        owner: OwnerDep,
        *,
        dry_run: Annotated[bool, Query(description="store nothing; tell what would be made")] = False,
        idempotency_key: Annotated[
            str | None, Header(description="sending the same key and the same request again returns the same video")
        ] = None,
    ) -> AsyncIterator[Post]:
        """Raises: InvalidRequest, TooLarge; Busy while the ingress handles as many POSTs as it can."""
        # read before counting: a slow upload must not block others, and a client that still sends reads no answer
        limit = deps.settings.max_upload_mb << 20
        body = await read_body(request, max_bytes=limit, takes_video=self._takes_video)
        if idempotency_key is not None and not 0 < len(idempotency_key) <= _KEY_CHARS:
            raise InvalidRequest.of("Idempotency-Key", f"need 1 to {_KEY_CHARS} characters")
        with counted(deps):
            if body.files:
                read = partial(with_files, body, deps.files, deps.settings, owner=owner)
                body = await run_in_threadpool(read)
            yield Post(body, deps, owner, response, dry_run, idempotency_key)


@contextmanager
def counted(deps: Dependencies) -> Iterator[None]:
    """Count a POST whose body is read until it is answered. Raises: Busy while as many as can be are handled."""
    borrower = object()
    try:
        deps.posts.acquire_on_behalf_of_nowait(borrower)
    except WouldBlock as err:
        raise Busy(
            f"the farm is handling {deps.posts.total_tokens:g} requests for videos; ask again in a few seconds",
            retry_after_s=_BUSY_RETRY_S,
        ) from err
    try:
        yield
    finally:
        deps.posts.release_on_behalf_of(borrower)


PostDep = Annotated[Post, Depends(_Posted())]
PostWithVideoDep = Annotated[Post, Depends(_Posted(takes_video=True))]


async def check_room(
    deps: Dependencies, owner: str, *, wanted: int = 1, is_known: Callable[[], bool] = lambda: False
) -> None:
    """Check that the farm has room for `wanted` more videos of this owner.

    is_known: whether the farm accepted this request before; then it needs no room. Called in a thread.
    Raises: Quota, Overloaded.
    """
    try:
        await _check_load(deps, owner, wanted)
    except (Quota, Overloaded):
        if not await run_in_threadpool(is_known):
            raise


async def _check_load(deps: Dependencies, owner: str, wanted: int) -> None:
    most, most_of_owner = deps.settings.max_queued, deps.settings.max_open_videos
    try:
        load = await deps.door.load(owner)
    except Unavailable:
        return
    if most_of_owner is not None and load.of_owner + wanted > most_of_owner:
        raise Quota(
            f"you have {load.of_owner} unfinished videos; {wanted} more would exceed your limit of {most_of_owner} "
            "(FARM_MAX_OPEN_VIDEOS); wait for one to end, or cancel it",
            retry_after_s=_QUOTA_RETRY_S,
        )
    if load.open + wanted > most:
        raise Overloaded(
            f"the farm has {load.open} unfinished videos and accepts at most {most} (FARM_MAX_QUEUED); ask again later",
            retry_after_s=_QUEUE_RETRY_S,
        )


async def prepared(deps: Dependencies, settle: Callable[[], Prepared]) -> Prepared:
    """Settle a request in one of the threads that decode images. Raises: as `settle`."""
    return await to_thread.run_sync(settle, limiter=deps.decoding)


async def accepted(deps: Dependencies, owner: str, ready: Prepared, *, idempotency_key: str | None = None) -> Record:
    """Store the video or the batch, and tell the dispatcher; return the first. Raises: Conflict; StoreError."""
    write = partial(accept, ready, deps.jobs, owner=owner, idempotency_key=idempotency_key)
    record = await to_thread.run_sync(write, limiter=deps.writing)
    log.info("accept", extra={"job_id": record.job.id, "sections": record.job.plan.sections})
    for job_id in record.job.batch.videos if record.job.batch else (record.job.id,):
        await nudge(deps, job_id, owner)
    return record


async def nudge(deps: Dependencies, job: JobId, owner: str) -> None:
    """Tell the dispatcher that a video's ledger has news."""
    try:
        await deps.door.nudge(job, owner)
    except FarmError as err:  # the dispatcher finds the news later by itself
        log.info("nudge_lost", extra={"job_id": job, "error": err})


async def workers(deps: Dependencies) -> list[WorkerState]:
    """Return the workers; none while the dispatcher does not answer."""
    try:
        return list(await deps.door.workers())
    except FarmError:
        return []
