"""The endpoints that are not about one video: workers, health and metrics."""

from __future__ import annotations

from importlib.metadata import version
from typing import Annotated, Any

from fastapi import APIRouter, Header, Query, Response
from fastapi.responses import PlainTextResponse
from sse_starlette import EventSourceResponse
from starlette.concurrency import run_in_threadpool

from farm.contract import WorkerState
from farm.errors import Unavailable
from farm.ingress.dependencies import Deps, OperatorDep, OwnerDep, ViewerDep, is_operator
from farm.ingress.problems import problem
from farm.ingress.streams.owner import Stream
from farm.ingress.streams.subjects import Viewer
from farm.ingress.views import worker_view

router = APIRouter(tags=["farm"])


@router.get("/v1/workers")
async def list_workers(deps: Deps, viewer: ViewerDep) -> dict[str, Any]:
    """List the workers: the device of each, the model it holds, and what it is doing."""
    return {"object": "list", "data": [_seen_by(viewer, worker) for worker in await deps.door.workers()]}


@router.get("/v1/events")
async def get_all_events(
    deps: Deps,
    viewer: ViewerDep,
    *,
    preview: Annotated[
        list[str] | None, Query(max_length=4, description="show these videos while they are made")
    ] = None,
    last_event_id: Annotated[str | None, Header()] = None,
) -> Response:
    """Stream the events of all your videos, the queue, the workers and the farm, without end.

    Each event is the whole truth of its subject. Last-Event-ID resumes the stream; `reset` asks you to list again.
    """
    hello = {
        "owner": viewer.owner,
        "operator": is_operator(deps, viewer.owner),
        "version": version("framepack-farm"),
    }
    records = [await run_in_threadpool(deps.jobs.get, video, owner=viewer.owner) for video in preview or ()]
    viewer = viewer._replace(watched=frozenset(record.asked.id for record in records))
    return EventSourceResponse(Stream(deps.feed, viewer, hello=hello, last_event_id=last_event_id).events())


@router.post("/v1/workers/{worker_id}/pause")
async def pause_worker(worker_id: str, deps: Deps, viewer: ViewerDep, _operator: OperatorDep) -> dict[str, Any]:
    """Stop the worker at its next step and free its GPU's memory. Another worker continues the video."""
    return _seen_by(viewer, await deps.door.worker_wish(worker_id, "pause"))


@router.post("/v1/workers/{worker_id}/resume")
async def resume_worker(worker_id: str, deps: Deps, viewer: ViewerDep, _operator: OperatorDep) -> dict[str, Any]:
    """Let a paused or drained worker work again."""
    return _seen_by(viewer, await deps.door.worker_wish(worker_id, "resume"))


@router.post("/v1/workers/{worker_id}/drain")
async def drain_worker(worker_id: str, deps: Deps, viewer: ViewerDep, _operator: OperatorDep) -> dict[str, Any]:
    """Save the worker's last finished step, end the worker, and start no replacement until it is resumed."""
    return _seen_by(viewer, await deps.door.worker_wish(worker_id, "drain"))


@router.get("/healthz")
async def healthz() -> dict[str, str]:
    """Tell that this process is alive."""
    return {"status": "ok"}


@router.get("/readyz", responses={503: {"description": "`parts` names the part of the farm that fails, and why"}})
async def readyz(deps: Deps) -> Any:
    """Tell whether the store and the dispatcher work. If one does not, the answer is 503 and videos wait."""
    found = await deps.readiness.look()
    states = {"store": found.store, "dispatcher": found.dispatcher}
    if found.ready:
        return {"status": "ready", "workers": found.workers, "parts": states}
    detail = "; ".join(text for text in states.values() if text != "ok")
    return problem(503, Unavailable.code, detail, headers={"Retry-After": "1"}, more={"parts": states})


@router.get("/metrics", response_class=PlainTextResponse)
async def metrics_page(deps: Deps, _owner: OwnerDep) -> PlainTextResponse:
    """Return the measurements of all the farm's processes in Prometheus' text format."""
    if deps.metrics is None:
        raise Unavailable("this process measures nothing; ask a farm that `framefarm up` started")
    return PlainTextResponse(await deps.metrics.page(), media_type="text/plain; version=0.0.4")


def _seen_by(viewer: Viewer, worker: WorkerState) -> dict[str, Any]:
    return worker_view(worker, names_video=viewer.sees_all or viewer.owner == worker.owner)
