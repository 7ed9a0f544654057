"""Links to one file of a video that expire: a `<video>` on another site plays it, and no key leaves the server."""

from __future__ import annotations

from typing import Annotated, Any, Literal
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Query, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.concurrency import run_in_threadpool

from farm.errors import NotFound
from farm.ingress.dependencies import Deps, RecordDep, caller_of, check_own_machine
from farm.ingress.signing.seals import no_link
from farm.intake.body import SMALL_BYTES, read_body
from farm.jobs import Record
from farm.keys import parse_keys
from farm.request import validated

router = APIRouter(tags=["videos"])
Shown = Literal["video", "partial", "thumbnail", "spritesheet", "poster"]
_LONGEST_S = 7 * 86_400


class LinkRequest(BaseModel):
    """The purpose of a link."""

    model_config = ConfigDict(extra="forbid")

    seconds: int = Field(3600, ge=1, le=_LONGEST_S, description="how long the link works")
    variant: Shown = Field("video", description="the file that it shows")


_BODY = {"requestBody": {"content": {"application/json": {"schema": LinkRequest.model_json_schema()}}}}


@router.post("/v1/videos/{video_id}/link", openapi_extra=_BODY)
async def make_link(record: RecordDep, request: Request, deps: Deps) -> dict[str, Any]:
    """Return a link that shows one file of the video without a key, until it expires or its owner's key is removed."""
    body = await read_body(request, max_bytes=SMALL_BYTES, setting="the most for a link")
    asked = validated(LinkRequest, body.fields)
    video, keys = record.job.id, parse_keys(deps.settings.api_keys)
    until, seal = await deps.seals.link(video, asked.variant, keys.get(record.job.owner, ""), seconds=asked.seconds)
    path = f"/v1/videos/{video}/content?{urlencode({'variant': asked.variant, 'until': until, 'seal': seal})}"
    url = f"{str(request.base_url).rstrip('/')}{path}"
    return {"object": "video.link", "id": video, "url": url, "path": path, "expires_at": until}


async def _linked(
    video_id: str,
    request: Request,
    deps: Deps,
    *,
    until: Annotated[int | None, Query(description="of a link: when it expires")] = None,
    seal: Annotated[str | None, Query(description="of a link: stands for the key")] = None,
) -> Record:
    """Read the video that the path names, for its owner or for a link to it.

    Raises: NotFound, Unauthorized. A false link learns nothing: the answer is the same where there is no such video.
    """
    if seal is None:
        caller = await caller_of(request, deps)
        return await run_in_threadpool(deps.jobs.get, video_id, owner=caller.owner)
    keys = parse_keys(deps.settings.api_keys)
    if not keys:
        check_own_machine(request, deps.settings)
    deps.seals.check_form(seal, until=until)
    try:
        record = await run_in_threadpool(deps.jobs.get, video_id, owner=None)
    except NotFound as err:
        raise no_link() from err
    key = keys.get(record.job.owner) if keys else ""
    variant = request.query_params.get("variant", "video")
    await deps.seals.check_link(seal, record.job.id, variant, key, until=until)
    return record


LinkedDep = Annotated[Record, Depends(_linked)]
