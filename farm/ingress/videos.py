"""The endpoints of /v1/videos."""

from __future__ import annotations

import json
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
from starlette.concurrency import run_in_threadpool

from farm.contract import JobId, LiveJob
from farm.errors import Conflict, FarmError, InvalidRequest, NotFound, Unavailable
from farm.ingress.content import AskedDep, content, live_picture
from farm.ingress.dependencies import Dependencies, Deps, OwnerDep, RecordDep
from farm.ingress.posts import (
    Post,
    PostDep,
    PostWithVideoDep,
    accepted,
    check_room,
    nudge,
    prepared,
    workers,
)
from farm.ingress.signing.links import LinkedDep
from farm.ingress.streams.video import follow, has_seen_end
from farm.ingress.views import estimate_view, video_view
from farm.intake.body import SMALL_BYTES, checked, checked_edit, checked_move, read_body, spool_body, take_image_size
from farm.intake.derive import prepare_extension, prepare_remix, take_source, take_video_id
from farm.intake.prepare import Prepared, prepare
from farm.jobs import Record, Wish
from farm.jobs.pages import Wanted, read_page
from farm.ledger.states import OPEN
from farm.request import Variants, take_variants
from farm.transfer.exchange import import_video, is_here, read_arrived, snapshot
from farm.webhooks.message import delivery_view
from framefarm_client.archive import pack, packed_bytes, unpack

log = logging.getLogger(__name__)
router = APIRouter(prefix="/v1/videos", tags=["videos"])

_TAR: dict[str, Any] = {"application/x-tar": {"schema": {"type": "string", "format": "binary"}}}
_LIST: dict[str, Any] = {"application/json": {"schema": {"type": "object", "additionalProperties": True}}}
_POLL_MS = {"openai-poll-after-ms": "1000"}
_ONE = Variants()
Listed = Literal["queued", "in_progress", "paused", "completed", "failed", "cancelled", "open"]


@router.post("")
async def create_video(post: PostDep) -> dict[str, Any]:
    """Ask for a video. The farm stores nothing of a request that it rejects."""
    variants = take_variants(post.body.fields)
    tools = post.deps.tools
    image_size = take_image_size(post.body, tools.settings) if post.dry_run else None
    intake = checked(post.body.fields, post.body.images, tools.planner)._replace(image_size=image_size)
    return await _made(post, partial(prepare, intake, tools), variants=variants)


@router.post("/extensions")
async def extend_video(post: PostWithVideoDep) -> dict[str, Any]:
    """Continue where a video ends. `video` is {id} or a file; the other fields are those of a new video."""
    jobs = post.deps.jobs
    source = await run_in_threadpool(take_source, post.body, jobs, owner=post.owner)
    return await _made(post, partial(prepare_extension, source, post.body, jobs, post.deps.tools))


@router.post("/import", openapi_extra={"requestBody": {"required": True, "content": _TAR}})
async def import_archive(
    request: Request,
    response: Response,
    deps: Deps,
    owner: OwnerDep,
    *,
    new_id: Annotated[bool, Query(description="give the video a new id on this farm")] = False,
) -> dict[str, Any]:
    """Import a video that a farm exported; the body is that tar file. An unfinished video continues here."""
    max_bytes = deps.settings.max_import_mb << 20
    try:
        with tempfile.TemporaryFile() as spool, tempfile.TemporaryDirectory(prefix="framefarm-import-") as name:
            await spool_body(request, spool, max_bytes=max_bytes, setting="FARM_MAX_IMPORT_MB")
            folder = Path(name)
            manifest = await run_in_threadpool(unpack, spool, folder)
            arrived = await run_in_threadpool(read_arrived, manifest, folder, owner=owner, new_id=new_id)
            if arrived.is_open:
                await check_room(deps, owner, is_known=partial(is_here, arrived, deps.jobs))
            record = await run_in_threadpool(import_video, arrived, deps.jobs, deps.tools)
    except OSError as err:
        raise Unavailable(f"the farm cannot keep the archive while checking it: {err.strerror}") from err
    log.info("import", extra={"job_id": record.job.id, "seq": record.head.seq})
    await nudge(deps, record.job.id, owner)
    return await _answer(record, deps, response)


@router.get(
    "/{video_id}/export", response_class=Response, responses={200: {"description": "the archive", "content": _TAR}}
)
async def export_archive(record: RecordDep, deps: Deps) -> Response:
    """Export everything stored of a video as a tar file that another farm can import, even while it is rendered."""
    manifest, read = await run_in_threadpool(snapshot, deps.jobs, record)
    headers = {
        "Content-Length": str(packed_bytes(manifest)),
        "Content-Disposition": f'attachment; filename="{record.job.id}.tar"',
    }
    return StreamingResponse(pack(manifest, read), headers=headers, media_type="application/x-tar")


@router.post("/edits")
async def edit_made_video(post: PostDep) -> dict[str, Any]:
    """Remix a video, under the path that OpenAI's package calls. `video` is {id}; a file cannot be remixed."""
    return await _remixed(take_video_id(post.body), post)


@router.post("/characters", include_in_schema=False)
def create_character() -> None:
    """Refuse a character: without this route, the path would read as the id of a video, with a wrong method."""
    raise NotFound("this farm has no characters; send an image as input_reference instead")


@router.post("/{video_id}/remix")
async def remix_video(video_id: str, post: PostDep) -> dict[str, Any]:
    """Make a new video with some fields changed. It shares the sections that were made before `from_section`."""
    return await _remixed(video_id, post)


async def _remixed(video_id: str, post: Post) -> dict[str, Any]:
    jobs = post.deps.jobs
    record = await run_in_threadpool(jobs.get, video_id, owner=post.owner)
    return await _made(post, partial(prepare_remix, record, post.body, jobs, post.deps.tools))


async def _made(post: Post, settle: Callable[[], Prepared], *, variants: Variants = _ONE) -> dict[str, Any]:
    """Settle the request, then store the video or, in a dry run, answer with the estimate."""
    deps, owner, key = post.deps, post.owner, post.idempotency_key
    if not post.dry_run:  # before any image is decoded, so that a full farm answers at once
        is_known = partial(deps.jobs.is_claimed, key, owner=owner)
        await check_room(deps, owner, wanted=variants.number, is_known=is_known)
    ready = await prepared(deps, settle)
    if variants != _ONE:
        facts = variants.model_dump(mode="json")
        ready = ready._replace(variants=variants, fingerprint=ready.also("batch", facts))
    if post.dry_run:
        return estimate_view(ready, await workers(deps), deps.planner.section_starts(ready.plan))
    record = await accepted(deps, owner, ready, idempotency_key=key)
    return await _answer(record, deps, post.response)


@router.get("", response_class=Response, responses={200: {"content": _LIST}})
async def list_videos(
    deps: Deps,
    owner: OwnerDep,
    *,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
    after: Annotated[str | None, Query(description="start behind this id")] = None,
    order: Literal["asc", "desc"] = "desc",
    status: Annotated[
        Listed | None,
        BeforeValidator(lambda text: text or None),
        Query(description="open: queued, in_progress and paused"),
    ] = None,
    batch: Annotated[str | None, Query(description="list this batch only")] = None,
    q: Annotated[str | None, Query(max_length=200, description="letters of the prompt or the name")] = None,
    starred: Annotated[bool | None, Query(description="only videos with the label starred, or only those without")] = (
        None
    ),
) -> Response:
    """List your videos, newest first. With `status`, `q` or `starred`, a short page may have more: continue after its
    `last_id`.
    """
    wanted = Wanted(status, q or None, starred)
    read = partial(
        read_page, deps.catalog, owner=owner, after=after, limit=limit, order=order, wanted=wanted, batch=batch
    )
    page = await to_thread.run_sync(read, limiter=deps.listing)
    lives = await deps.lives.of([listed.id for listed in page.videos if listed.status in OPEN])
    answers = (deps.catalog.answer(listed, lives.get(listed.id)) for listed in page.videos)
    rest = {"first_id": page.videos[0].id if page.videos else None, "last_id": page.last, "has_more": page.has_more}
    text = b'{"object":"list","data":[%b],%b' % (b",".join(answers), json.dumps(rest).encode()[1:])
    return Response(text, media_type="application/json")


@router.get("/{video_id}")
async def get_video(record: RecordDep, response: Response, deps: Deps) -> dict[str, Any]:
    """Return a video."""
    return await _answer(record, deps, response)


@router.head("/{video_id}/content", include_in_schema=False)
@router.get("/{video_id}/content")
async def get_content(record: LinkedDep, deps: Deps, asked: AskedDep) -> Response:
    """Return the mp4 or another file of the video. Ranges are honoured."""
    if asked.variant == "live":
        return live_picture(record, await _live(deps, record), asked)
    limiter = {"frame": deps.decoding, "poster": deps.drawing}.get(asked.variant)
    return await to_thread.run_sync(content, record, deps.jobs, deps.tools, asked, limiter=limiter)


@router.get("/{video_id}/events")
async def get_events(record: RecordDep, deps: Deps, last_event_id: Annotated[str | None, Header()] = None) -> Response:
    """Stream Server-Sent Events: status, section, progress, end. Ids rise; Last-Event-ID resumes the stream."""
    if has_seen_end(record, last_event_id):
        return Response(status_code=204)  # tells a browser not to reconnect
    return EventSourceResponse(await follow(record, watches=deps.watches, last_event_id=last_event_id))


@router.get("/{video_id}/webhook")
def get_webhook(record: RecordDep, deps: Deps) -> dict[str, Any]:
    """Tell whether the request's webhook was delivered: waiting, pending, delivered or gave_up."""
    return delivery_view(deps.jobs, record)


@router.post("/{video_id}/pause")
async def pause_video(video_id: str, response: Response, deps: Deps, owner: OwnerDep) -> dict[str, Any]:
    """Stop at the next step and keep what is made."""
    return await _wish(video_id, "pause", response, deps, owner)


@router.post("/{video_id}/resume")
async def resume_video(video_id: str, response: Response, deps: Deps, owner: OwnerDep) -> dict[str, Any]:
    """Continue a paused video."""
    return await _wish(video_id, "resume", response, deps, owner)


@router.post("/{video_id}/cancel")
async def cancel_video(video_id: str, response: Response, deps: Deps, owner: OwnerDep) -> dict[str, Any]:
    """Stop at the next step and end the video. `retry` can continue it."""
    return await _wish(video_id, "cancel", response, deps, owner)


@router.post("/{video_id}/retry")
async def retry_video(record: RecordDep, response: Response, deps: Deps, owner: OwnerDep) -> dict[str, Any]:
    """Continue a failed or cancelled video and keep its finished sections."""
    if record.head.state.status in {"failed", "cancelled"}:  # or else cancel and retry would bypass every limit
        await check_room(deps, owner)
    return await _wish(record.job.id, "retry", response, deps, owner)


@router.post("/{video_id}/move")
async def move_video(
    video_id: str, request: Request, response: Response, deps: Deps, owner: OwnerDep
) -> dict[str, Any]:
    """Move a queued video among your own that wait. It takes the priority of its new neighbours.

    That priority counts for all owners. Beyond it, a move wins at most one section from others.
    """
    body = await read_body(request, max_bytes=SMALL_BYTES, setting="the most for a move")
    move = checked_move(body)
    for name in filter(None, (video_id, move.beside)):
        record = await run_in_threadpool(deps.jobs.get, name, owner=owner)
        if record.head.state.status != "queued":
            raise Conflict(f"{name} is {record.head.state.status}; only queued videos have a place in the queue")
    if move.beside == video_id:
        raise InvalidRequest.of("before" if move.before else "after", "need a video other than the one that moves")
    await deps.door.move(JobId(video_id), move)
    return await _answer(await run_in_threadpool(deps.jobs.get, video_id, owner=owner), deps, response)


@router.patch("/{video_id}")
async def edit_video(
    video_id: str, request: Request, response: Response, deps: Deps, owner: OwnerDep
) -> dict[str, Any]:
    """Change name and labels at any time, prompt and priority while the video is queued or paused.

    Finished sections stay.
    """
    body = await read_body(request, max_bytes=deps.settings.max_upload_mb << 20)
    record = await run_in_threadpool(deps.jobs.edit, video_id, checked_edit(body), owner=owner)
    log.info("edit", extra={"job_id": video_id})
    await nudge(deps, record.job.id, owner)
    return await _answer(record, deps, response)


@router.delete("/{video_id}")
async def delete_video(video_id: str, deps: Deps, owner: OwnerDep) -> dict[str, Any]:
    """Erase everything stored of an ended video."""
    await run_in_threadpool(deps.jobs.delete, video_id, owner=owner)
    log.info("delete", extra={"job_id": video_id})
    await nudge(deps, JobId(video_id), owner)
    return {"id": video_id, "object": "video.deleted", "deleted": True}


async def _wish(video_id: str, wish: Wish, response: Response, deps: Dependencies, owner: str) -> dict[str, Any]:
    record = await run_in_threadpool(deps.jobs.wish, video_id, wish, owner=owner)
    log.info("%s", wish, extra={"job_id": video_id})
    await nudge(deps, record.job.id, owner)
    return await _answer(record, deps, response)


async def _answer(record: Record, deps: Dependencies, response: Response) -> dict[str, Any]:
    if record.head.state.status in OPEN:
        response.headers.update(_POLL_MS)
    return video_view(record, await _live(deps, record), keep_days=deps.settings.keep_days)


async def _live(deps: Dependencies, record: Record) -> LiveJob | None:
    """Ask the dispatcher for progress. None: the video has ended, or the dispatcher does not answer."""
    if record.head.state.status not in OPEN:
        return None
    try:
        return await deps.door.live(record.job.id)
    except FarmError:
        return None
