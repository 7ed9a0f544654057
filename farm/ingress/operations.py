"""The endpoints that are not about one video: workers, health and metrics."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from fastapi.responses import PlainTextResponse

from farm.errors import Unavailable
from farm.ingress.dependencies import Deps, OperatorDep, OwnerDep
from farm.ingress.problems import problem
from farm.ingress.views import worker_view

router = APIRouter(tags=["farm"])


@router.get("/v1/workers")
async def list_workers(deps: Deps, _owner: OwnerDep) -> dict[str, Any]:
    """List the workers: the device of each, the model it holds, and what it is doing."""
    return {"object": "list", "data": [worker_view(worker) for worker in await deps.door.workers()]}


@router.post("/v1/workers/{worker_id}/pause")
async def pause_worker(worker_id: str, deps: Deps, _operator: OperatorDep) -> dict[str, Any]:
    """Stop the worker at its next step and free its GPU's memory. Another worker continues the video."""
    return worker_view(await deps.door.worker_wish(worker_id, "pause"))


@router.post("/v1/workers/{worker_id}/resume")
async def resume_worker(worker_id: str, deps: Deps, _operator: OperatorDep) -> dict[str, Any]:
    """Let a paused or drained worker work again."""
    return worker_view(await deps.door.worker_wish(worker_id, "resume"))


@router.post("/v1/workers/{worker_id}/drain")
async def drain_worker(worker_id: str, deps: Deps, _operator: OperatorDep) -> dict[str, Any]:
    """Save the worker's last finished step, end the worker, and start no replacement until it is resumed."""
    return worker_view(await deps.door.worker_wish(worker_id, "drain"))


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
