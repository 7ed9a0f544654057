"""The addresses of a door, as gradio's clients ask for them."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from typing import Any

from anyio import to_thread
from fastapi import APIRouter, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response, StreamingResponse

from farm.errors import InvalidRequest, NotFound, TooLarge, UnsupportedImage
from farm.ingress.content import Asked as AskedContent
from farm.ingress.content import content, stored_picture
from farm.ingress.dependencies import Deps, script_owner
from farm.ingress.gradio import config
from farm.ingress.gradio.asked import file_ids, refused_path, upload_path
from farm.ingress.gradio.calls import Asked, begin, cancel
from farm.ingress.gradio.config import API
from farm.ingress.gradio.doors import Call, Door
from farm.ingress.gradio.streams import SessionStream, call_events
from farm.ingress.gradio.values import values_by_name, values_in_order
from farm.ingress.gradio.visit import DoorDep, Visit, VisitDep
from farm.ingress.posts import counted
from farm.ingress.signing import sessions
from farm.intake.body import SMALL_BYTES, SentFile, read_body, read_files
from farm.intake.uploads import checked_picture
from farm.jobs.scripts import read_answer
from farm.keys import parse_keys
from farm.ledger.notes import ScriptEvent

_VIDEO = re.compile(r"videos/(video_[0-9a-f]{32})(?:\.([1-9][0-9]{0,5}))?\.(mp4|png)")
_STREAM = "text/event-stream"
router = APIRouter(include_in_schema=False)  #: below the path of each door


router.add_api_route("/login", sessions.log_in, methods=["POST"])


@router.get("/config")
async def get_config(request: Request, deps: Deps, door: DoorDep) -> dict[str, Any]:
    """Tell what there is. A farm without keys tells everybody: gradio's clients show only what /info answers."""
    if parse_keys(deps.settings.api_keys):
        await script_owner(request, deps)
    return config.config_of(door, max_bytes=deps.settings.max_upload_mb << 20)


@router.get(f"{API}/info")
async def get_info(visit: VisitDep) -> dict[str, Any]:
    """Tell the calls' parameters and defaults."""
    return config.info_of(visit.door)


@router.post(f"{API}/upload")
async def upload(request: Request, visit: VisitDep) -> list[str]:
    """Keep pictures as files of the owner; return their paths."""
    sent = await read_files(request, "files", max_bytes=visit.deps.settings.max_upload_mb << 20)
    with counted(visit.deps):
        return [await _kept(file, visit) for file in sent]


@router.post(f"{API}/queue/join")
async def join(request: Request, visit: VisitDep) -> dict[str, str]:
    """Begin a call of a session."""
    sent = await _sent(request)
    number, calls = sent.get("fn_index"), visit.door.calls
    if isinstance(number, bool) or not isinstance(number, int) or not 0 <= number < len(calls):
        raise InvalidRequest.of("fn_index", f"need one of 0 to {len(calls) - 1}")
    asked = Asked(calls[number], visit.session(sent.get("session_hash")), visit)
    return await _begun(asked, partial(values_in_order, asked.call, sent.get("data")))


@router.get(f"{API}/queue/data")
async def follow(visit: VisitDep, session_hash: str) -> Response:
    """Stream the events of a session's calls."""
    stream = SessionStream(visit.session(session_hash), visit)
    return StreamingResponse(stream.events(), media_type=_STREAM, headers={"Cache-Control": "no-store"})


@router.post(f"{API}/call/{{name}}")
@router.post(f"{API}/call/v2/{{name}}")
async def call(name: str, request: Request, visit: VisitDep) -> dict[str, str]:
    """Begin a call; v2 takes its values by name."""
    sent = await _sent(request)
    asked = Asked(_found(visit.door, name), visit.session(sent.get("session_hash", "")), visit)
    take = partial(values_in_order, asked.call, sent.get("data"))
    if f"{API}/call/v2/" in request.url.path:
        values = {key: value for key, value in sent.items() if key != "session_hash"}
        take = partial(values_by_name, asked.call, values)
    return await _begun(asked, take)


@router.get(f"{API}/call/{{name}}/{{event_id}}")
@router.get(f"{API}/call/v2/{{name}}/{{event_id}}")
async def follow_call(name: str, event_id: str, visit: VisitDep) -> Response:
    """Stream the events of one call."""
    event = await run_in_threadpool(_event, visit, _found(visit.door, name), event_id)
    events = call_events(event, visit.session(""), visit)
    return StreamingResponse(events, media_type=_STREAM, headers={"Cache-Control": "no-store"})


@router.api_route(f"{API}/file={{path:path}}", methods=["GET", "HEAD"])
def get_file(path: str, request: Request, visit: VisitDep) -> Response:
    """Answer with a file of a video, or one that was uploaded. Ranges are honoured."""
    found = _VIDEO.fullmatch(path)
    if found is None:
        try:
            return stored_picture(
                file_ids({"path": path})["path"], visit.deps.files, owner=visit.owner, request=request
            )
        except InvalidRequest as err:
            raise NotFound(f"there is no file {path[:80]!r}") from err
    video_id, number, suffix = found.groups()
    record = visit.deps.jobs.get(video_id, owner=visit.owner)
    variant, section = "video", None
    if suffix == "png":
        variant, section = "preview", int(number or 0) - 1
    elif number is not None:
        variant, record = "partial", record.after_sections(int(number))
    if section is not None and section < 0:
        raise NotFound(f"there is no file {path[:80]!r}")
    return content(record, visit.deps.jobs, visit.deps.tools, AskedContent(variant, section, None, request))


@router.post(f"{API}/cancel")
@router.post(f"{API}/reset")
async def stop(request: Request, visit: VisitDep) -> dict[str, bool]:
    """Cancel the video of an event, if the session waits for it. `reset` names none: any session of the owner."""
    sent = await _sent(request)
    session = visit.session(sent["session_hash"]) if "session_hash" in sent else None
    event_id = sent.get("event_id")
    is_id = isinstance(event_id, str)
    return {"success": is_id and await cancel(session, str(event_id), visit)}


async def _sent(request: Request) -> dict[str, Any]:
    return (await read_body(request, max_bytes=SMALL_BYTES, setting="the most for a call")).fields


def _found(door: Door, name: str) -> Call:
    call = door.call(name)
    if call is None:
        raise NotFound(f"there is no call {name[:80]!r} here; there is {', '.join(each.name for each in door.calls)}")
    return call


async def _begun(asked: Asked, take: Callable[[], dict[str, Any]]) -> dict[str, str]:
    return {"event_id": (await begin(asked, take)).id}


def _event(visit: Visit, call: Call, event_id: str) -> ScriptEvent:
    """Return the event that an id names. Raises: NotFound."""
    jobs = visit.deps.jobs
    if call.function == "process" and event_id.startswith("video_"):
        jobs.get(event_id, owner=visit.owner)
        return ScriptEvent(id=event_id, door=visit.door.path, call=call.name)
    return read_answer(jobs.store, event_id, owner=visit.owner)


async def _kept(file: SentFile, visit: Visit) -> str:
    """Keep a picture; return its path. A path that stands for a refusal lets the call tell why."""
    deps = visit.deps
    try:
        sent = await to_thread.run_sync(checked_picture, file.data, file.name, deps.tools, limiter=deps.decoding)
    except (UnsupportedImage, TooLarge) as err:
        return refused_path(err)
    keep = partial(deps.files.keep, sent.data, sent.note, owner=visit.owner)
    return upload_path((await to_thread.run_sync(keep, limiter=deps.writing)).id)
