"""The endpoints of /v1/videos."""

from __future__ import annotations

import asyncio
import logging
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

from anyio import to_thread
from fastapi import APIRouter, Header, Query, Request, Response
from fastapi.responses import StreamingResponse
from pydantic import BeforeValidator
from sse_starlette import EventSourceResponse

from farm.contract import JobId, LiveJob, WorkerState
from farm.errors import FarmError, Overloaded, Quota, Unavailable
from farm.ingress.content import Variant, content
from farm.ingress.dependencies import OwnerDep, Parts, PartsDep
from farm.ingress.events import follow, has_seen_end
from farm.ingress.posts import Post, PostDep, PostWithVideoDep, check_room
from farm.ingress.views import estimate_view, video_view
from farm.intake.body import checked, checked_edit, read_body, spool_body
from farm.intake.derive import prepare_extension, prepare_remix, take_source, take_video_id
from farm.intake.prepare import Prepared, Ways, accept, prepare
from farm.jobs import Record, Wish
from farm.jobs.pages import read_page
from farm.ledger.states import OPEN
from farm.request import Variants, take_variants
from farm.transfer.archive import pack, packed_bytes, unpack
from farm.transfer.exchange import import_video, is_here, read_arrived, snapshot
from farm.webhooks.message import delivery_view

log = logging.getLogger(__name__)
router = APIRouter(prefix="/v1/videos", tags=["videos"])

_TAR: dict[str, Any] = {"application/x-tar": {"schema": {"type": "string", "format": "binary"}}}
_POLL_MS = {"openai-poll-after-ms": "1000"}
_ONE = Variants()
Listed = Literal["queued", "in_progress", "paused", "completed", "failed", "cancelled"]


@router.post("")
async def create_video(post: PostDep) -> dict[str, Any]:
    """Ask for a video. Everything that can be refused is refused before anything is stored."""
    variants = take_variants(post.body.fields)
    settle = partial(prepare, checked(post.body.fields, post.body.images), _ways(post.parts))
    return await _made(post, settle, variants=variants)


@router.post("/extensions")
async def extend_video(post: PostWithVideoDep) -> dict[str, Any]:
    """Go on where a video ends: `video` is {id} or a file, the other fields are those of a new video."""
    jobs = post.parts.jobs
    source = await to_thread.run_sync(partial(take_source, post.body, jobs, owner=post.owner))
    return await _made(post, partial(prepare_extension, source, post.body, jobs, _ways(post.parts)))


@router.post("/import", openapi_extra={"requestBody": {"required": True, "content": _TAR}})
async def import_archive(
    request: Request,
    response: Response,
    parts: PartsDep,
    owner: OwnerDep,
    *,
    new_id: Annotated[bool, Query(description="give it an id of its own here")] = False,
) -> dict[str, Any]:
    """Take a video that a farm exported (the body is that tar). Where it had not ended, it goes on here."""
    max_bytes = parts.settings.max_import_mb << 20
    try:
        with tempfile.TemporaryFile() as spool, tempfile.TemporaryDirectory(prefix="framefarm-import-") as name:
            await spool_body(request, spool, max_bytes=max_bytes, setting="FARM_MAX_IMPORT_MB")
            folder = Path(name)
            manifest = await to_thread.run_sync(unpack, spool, folder)
            read = partial(read_arrived, manifest, folder, owner=owner, new_id=new_id)
            arrived = await to_thread.run_sync(read)
            if arrived.is_open:
                await _check_room(parts, owner, partial(is_here, arrived, parts.jobs))
            record = await to_thread.run_sync(import_video, arrived, parts.jobs, _ways(parts))
    except OSError as err:
        raise Unavailable(f"the archive cannot be kept while it is checked: {err.strerror}") from err
    log.info("import", extra={"job_id": record.job.id, "seq": record.head.seq})
    await _nudge(parts, record.job.id)
    return await _answer(record, parts, response)


@router.get(
    "/{video_id}/export", response_class=Response, responses={200: {"description": "the archive", "content": _TAR}}
)
async def export_archive(video_id: str, parts: PartsDep, owner: OwnerDep) -> Response:
    """The video with everything, as a tar that another farm imports; a running one as it is at this moment."""
    record = await to_thread.run_sync(partial(parts.jobs.get, video_id, owner=owner))
    manifest, read = await to_thread.run_sync(snapshot, parts.jobs, record)
    headers = {
        "Content-Length": str(packed_bytes(manifest)),
        "Content-Disposition": f'attachment; filename="{record.job.id}.tar"',
    }
    return StreamingResponse(pack(manifest, read), headers=headers, media_type="application/x-tar")


@router.post("/edits")
async def edit_made_video(post: PostDep) -> dict[str, Any]:
    """The same as remix, as OpenAI's package calls it: `video` is {id}. A file cannot be remixed."""
    return await _remixed(take_video_id(post.body), post)


@router.post("/{video_id}/remix")
async def remix_video(video_id: str, post: PostDep) -> dict[str, Any]:
    """A new video with some fields changed; it shares the sections before `from_section`, in generation order."""
    return await _remixed(video_id, post)


async def _remixed(video_id: str, post: Post) -> dict[str, Any]:
    jobs = post.parts.jobs
    record = await to_thread.run_sync(partial(jobs.get, video_id, owner=post.owner))
    return await _made(post, partial(prepare_remix, record, post.body, jobs, _ways(post.parts)))


async def _made(post: Post, settle: Callable[[], Prepared], *, variants: Variants = _ONE) -> dict[str, Any]:
    """Settle the request and store the video, or only tell what would be made."""
    parts, owner, key = post.parts, post.owner, post.idempotency_key
    if not post.dry_run:  # before anything is decoded: a full farm says so at once, and cheaply
        await _check_room(parts, owner, partial(parts.jobs.is_claimed, key, owner=owner), wanted=variants.number)
    prepared = await to_thread.run_sync(settle, limiter=parts.decoding)
    if variants != _ONE:
        facts = variants.model_dump(mode="json")
        prepared = prepared._replace(variants=variants, fingerprint=prepared.also("batch", facts))
    if post.dry_run:
        return estimate_view(prepared, await _workers(parts))
    write = partial(accept, prepared, parts.jobs, owner=owner, idempotency_key=key)
    record = await to_thread.run_sync(write, limiter=parts.writing)
    log.info("accept", extra={"job_id": record.job.id, "sections": record.job.plan.sections})
    for job_id in record.job.batch.videos if record.job.batch else (record.job.id,):
        await _nudge(parts, job_id)
    return await _answer(record, parts, post.response)


async def _check_room(parts: Parts, owner: str, is_known: Callable[[], bool], *, wanted: int = 1) -> None:
    """See that there is room. What is only asked again is answered whatever came since. Raises: Quota, Overloaded."""
    try:
        await check_room(parts, owner, wanted=wanted)
    except (Quota, Overloaded):
        if not await to_thread.run_sync(is_known):
            raise


def _ways(parts: Parts) -> Ways:
    return Ways(parts.settings, parts.planner, parts.media)


@router.get("")
async def list_videos(
    parts: PartsDep,
    owner: OwnerDep,
    *,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
    after: Annotated[str | None, Query(description="the id that the page begins behind")] = None,
    order: Literal["asc", "desc"] = "desc",
    status: Annotated[Listed | None, BeforeValidator(lambda text: text or None)] = None,
    batch: Annotated[str | None, Query(description="only those of this batch")] = None,
) -> dict[str, Any]:
    """Your videos, newest first. With `status` a page may be short and have more: go on after its `last_id`."""
    page = partial(read_page, parts.jobs, owner=owner, after=after, limit=limit)
    read = partial(page, order=order, status=status, batch=batch)
    records, has_more, last = await to_thread.run_sync(read)
    lives = await asyncio.gather(*(_live(parts, record) for record in records))
    keep_days = parts.settings.keep_days
    data = [video_view(record, live, keep_days=keep_days) for record, live in zip(records, lives, strict=True)]
    first = data[0]["id"] if data else None
    return {"object": "list", "data": data, "first_id": first, "last_id": last, "has_more": has_more}


@router.get("/{video_id}")
async def get_video(video_id: str, response: Response, parts: PartsDep, owner: OwnerDep) -> dict[str, Any]:
    """One video."""
    record = await to_thread.run_sync(partial(parts.jobs.get, video_id, owner=owner))
    return await _answer(record, parts, response)


@router.head("/{video_id}/content", include_in_schema=False)
@router.get("/{video_id}/content")
async def get_content(
    video_id: str, request: Request, parts: PartsDep, owner: OwnerDep, variant: Variant = "video"
) -> Response:
    """The mp4, or one of its kin. Ranges are honoured."""
    record = await to_thread.run_sync(partial(parts.jobs.get, video_id, owner=owner))
    make = partial(content, record, parts.jobs, variant=variant, media=parts.media, request=request)
    return await to_thread.run_sync(make)


@router.get("/{video_id}/events")
async def get_events(
    video_id: str, parts: PartsDep, owner: OwnerDep, last_event_id: Annotated[str | None, Header()] = None
) -> Response:
    """Server-Sent Events: status, section, progress, end. Ids rise; Last-Event-ID takes up where you were."""
    record = await to_thread.run_sync(partial(parts.jobs.get, video_id, owner=owner))
    if has_seen_end(record, last_event_id):
        return Response(status_code=204)  # tells a browser to stop coming back
    return EventSourceResponse(
        follow(record, watches=parts.watches, last_event_id=last_event_id, keep_days=parts.settings.keep_days)
    )


@router.get("/{video_id}/webhook")
async def get_webhook(video_id: str, parts: PartsDep, owner: OwnerDep) -> dict[str, Any]:
    """Whether the request's webhook was told of the video's end: waiting, pending, delivered or gave_up."""
    record = await to_thread.run_sync(partial(parts.jobs.get, video_id, owner=owner))
    return await to_thread.run_sync(delivery_view, parts.jobs, record)


@router.post("/{video_id}/pause")
async def pause_video(video_id: str, response: Response, parts: PartsDep, owner: OwnerDep) -> dict[str, Any]:
    """Stop at the next step and keep what is made."""
    return await _wish(video_id, "pause", response, parts, owner)


@router.post("/{video_id}/resume")
async def resume_video(video_id: str, response: Response, parts: PartsDep, owner: OwnerDep) -> dict[str, Any]:
    """Go on with a paused video."""
    return await _wish(video_id, "resume", response, parts, owner)


@router.post("/{video_id}/cancel")
async def cancel_video(video_id: str, response: Response, parts: PartsDep, owner: OwnerDep) -> dict[str, Any]:
    """Stop at the next step, for good unless it is retried."""
    return await _wish(video_id, "cancel", response, parts, owner)


@router.post("/{video_id}/retry")
async def retry_video(video_id: str, response: Response, parts: PartsDep, owner: OwnerDep) -> dict[str, Any]:
    """Go on with a failed or cancelled video; finished sections are kept."""
    record = await to_thread.run_sync(partial(parts.jobs.get, video_id, owner=owner))
    if record.head.state.status in {"failed", "cancelled"}:  # else cancelling and retrying went round every limit
        await check_room(parts, owner, wanted=1)
    return await _wish(video_id, "retry", response, parts, owner)


@router.patch("/{video_id}")
async def edit_video(
    video_id: str, request: Request, response: Response, parts: PartsDep, owner: OwnerDep
) -> dict[str, Any]:
    """Change prompt, priority or name while the video is queued or paused; sections that are made stay."""
    body = await read_body(request, max_bytes=parts.settings.max_upload_mb << 20)
    write = partial(parts.jobs.edit, video_id, checked_edit(body), owner=owner)
    record = await to_thread.run_sync(write)
    log.info("edit", extra={"job_id": video_id})
    await _nudge(parts, record.job.id)
    return await _answer(record, parts, response)


@router.delete("/{video_id}")
async def delete_video(video_id: str, parts: PartsDep, owner: OwnerDep) -> dict[str, Any]:
    """Erase an ended video and everything stored of it."""
    await to_thread.run_sync(partial(parts.jobs.delete, video_id, owner=owner))
    log.info("delete", extra={"job_id": video_id})
    await _nudge(parts, JobId(video_id))
    return {"id": video_id, "object": "video.deleted", "deleted": True}


async def _wish(video_id: str, wish: Wish, response: Response, parts: Parts, owner: str) -> dict[str, Any]:
    record = await to_thread.run_sync(partial(parts.jobs.wish, video_id, wish, owner=owner))
    log.info("%s", wish, extra={"job_id": video_id})
    await _nudge(parts, record.job.id)
    return await _answer(record, parts, response)


async def _answer(record: Record, parts: Parts, response: Response) -> dict[str, Any]:
    if record.head.state.status in OPEN:
        response.headers.update(_POLL_MS)
    return video_view(record, await _live(parts, record), keep_days=parts.settings.keep_days)


async def _live(parts: Parts, record: Record) -> LiveJob | None:
    """What only the dispatcher knows; without it the ledger's part of the truth is told."""
    if record.head.state.status not in OPEN:
        return None
    try:
        return await parts.door.live(record.job.id)
    except FarmError:
        return None


async def _workers(parts: Parts) -> list[WorkerState]:
    try:
        return list(await parts.door.workers())
    except FarmError:
        return []


async def _nudge(parts: Parts, job: JobId) -> None:
    try:
        await parts.door.nudge(job)
    except FarmError as err:  # the dispatcher finds it by itself, later
        log.info("nudge_lost", extra={"job_id": job, "error": err})
