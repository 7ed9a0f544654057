"""The endpoints of /v1/files, in OpenAI's dialect: pictures that are sent once and named in requests."""

from __future__ import annotations

import logging
from functools import partial
from typing import Annotated, Any, Literal

from anyio import to_thread
from fastapi import APIRouter, Query, Request, Response

from farm.ingress.content import stored_picture
from farm.ingress.dependencies import Deps, OwnerDep
from farm.ingress.posts import counted
from farm.ingress.views import file_view
from farm.intake.body import read_file
from farm.intake.uploads import checked_upload

log = logging.getLogger(__name__)
router = APIRouter(prefix="/v1/files", tags=["files"])
_SENT: dict[str, Any] = {
    "type": "object",
    "required": ["file"],
    "properties": {
        "file": {"type": "string", "format": "binary", "description": "a picture"},
        "purpose": {"type": "string", "default": "vision", "description": "kept, and used for nothing"},
        "expires_after[seconds]": {
            "type": "integer",
            "minimum": 1,
            "description": "erase the file after so many seconds, if FARM_FILE_HOURS are not over before",
        },
    },
}
_FORM: dict[str, Any] = {"requestBody": {"required": True, "content": {"multipart/form-data": {"schema": _SENT}}}}


@router.post("", openapi_extra=_FORM)
async def create_file(request: Request, deps: Deps, owner: OwnerDep) -> dict[str, Any]:
    """Keep a picture for a while, checked like a request's. The same bytes again: the same file, kept longer."""
    sent = await read_file(request, max_bytes=deps.settings.max_upload_mb << 20)
    with counted(deps):
        upload = await to_thread.run_sync(checked_upload, sent, deps.tools, limiter=deps.decoding)
        keep = partial(deps.files.keep, upload.data, upload.note, owner=owner, most_s=upload.most_s)
        file = await to_thread.run_sync(keep, limiter=deps.writing)
    log.info("keep_file", extra={"bytes": file.note.bytes})
    return file_view(file)


@router.get("")
async def list_files(
    deps: Deps,
    owner: OwnerDep,
    *,
    limit: Annotated[int, Query(ge=1, le=10_000)] = 100,
    after: Annotated[str | None, Query(description="start behind this id")] = None,
    order: Literal["asc", "desc"] = "desc",
    purpose: Annotated[str | None, Query(description="only files that were sent with this purpose")] = None,
) -> dict[str, Any]:
    """List your files, newest first."""
    read = partial(deps.files.page, owner=owner, after=after, limit=limit, order=order, purpose=purpose)
    page = await to_thread.run_sync(read, limiter=deps.listing)
    data = [file_view(file) for file in page.files]
    ends = {"first_id": data[0]["id"], "last_id": data[-1]["id"]} if data else {"first_id": None, "last_id": None}
    return {"object": "list", "data": data, **ends, "has_more": page.has_more}


@router.get("/{file_id}")
def get_file(file_id: str, deps: Deps, owner: OwnerDep) -> dict[str, Any]:
    """Return a file object."""
    return file_view(deps.files.get(file_id, owner=owner))


@router.head("/{file_id}/content", include_in_schema=False)
@router.get("/{file_id}/content")
def get_file_content(file_id: str, request: Request, deps: Deps, owner: OwnerDep) -> Response:
    """Return the picture as it was sent. Ranges are honoured."""
    return stored_picture(file_id, deps.files, owner=owner, request=request)


@router.delete("/{file_id}")
def delete_file(file_id: str, deps: Deps, owner: OwnerDep) -> dict[str, Any]:
    """Erase a file. Videos that were asked for with it keep their own copies."""
    deps.files.delete(file_id, owner=owner)
    return {"id": file_id, "object": "file", "deleted": True}
