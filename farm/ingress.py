"""The farm's HTTP door: OpenAI's Videos dialect. No state of its own, no Ray, no torch; deploy/ puts it into Serve."""

from __future__ import annotations

import logging
from typing import Any

from fastapi import APIRouter, FastAPI
from fastapi.responses import PlainTextResponse

from farm.access import OperatorDep, OwnerDep
from farm.contract import DispatcherDoor, Media, MetricsDoor, Planner
from farm.describe import describe
from farm.errors import Unavailable
from farm.headers import SafeHeaders
from farm.jobs import Jobs
from farm.metrics import Meter
from farm.parts import Parts, PartsDep
from farm.problems import install_problems, problem
from farm.ready import Readiness
from farm.roots import rooted
from farm.settings import FarmSettings
from farm.videos import router as videos
from farm.views import model_view, worker_view
from farm.watches import Watches

log = logging.getLogger(__name__)
router = APIRouter(tags=["farm"])


def create_app(
    *,
    settings: FarmSettings,
    jobs: Jobs,
    door: DispatcherDoor,
    planner: Planner,
    media: Media,
    metrics: MetricsDoor | None = None,
    meter: Meter | None = None,
) -> FastAPI:
    """The whole HTTP application. Blocks on nothing, starts nothing; the parts are used, never changed."""
    app = FastAPI(title="framepack-farm", summary="A photo in, a video out.", version="1", lifespan=rooted)
    app.state.parts = Parts(
        settings=settings,
        jobs=jobs,
        door=door,
        planner=planner,
        media=media,
        watches=Watches(jobs, door, meter=meter),
        readiness=Readiness(jobs.store, door),
        metrics=metrics,
    )
    install_problems(app)
    app.add_middleware(SafeHeaders)
    app.include_router(videos)
    app.include_router(router)
    describe(app)
    return app


@router.get("/v1/models")
async def list_models(parts: PartsDep, _owner: OwnerDep) -> dict[str, Any]:
    """What can be asked for."""
    return {"object": "list", "data": [model_view(card) for card in parts.planner.models().values()]}


@router.get("/v1/workers")
async def list_workers(parts: PartsDep, _owner: OwnerDep) -> dict[str, Any]:
    """Each worker: what it is, what it holds, what it does now."""
    return {"object": "list", "data": [worker_view(worker) for worker in await parts.door.workers()]}


@router.post("/v1/workers/{worker_id}/pause")
async def pause_worker(worker_id: str, parts: PartsDep, _operator: OperatorDep) -> dict[str, Any]:
    """Stop at the next step, give the order back and free the GPU's memory, until it is resumed."""
    return worker_view(await parts.door.worker_wish(worker_id, "pause"))


@router.post("/v1/workers/{worker_id}/resume")
async def resume_worker(worker_id: str, parts: PartsDep, _operator: OperatorDep) -> dict[str, Any]:
    """Let a paused or drained worker work again."""
    return worker_view(await parts.door.worker_wish(worker_id, "resume"))


@router.post("/v1/workers/{worker_id}/drain")
async def drain_worker(worker_id: str, parts: PartsDep, _operator: OperatorDep) -> dict[str, Any]:
    """Save the last finished step, give the order back and end; nothing takes its place until it is resumed."""
    return worker_view(await parts.door.worker_wish(worker_id, "drain"))


@router.get("/healthz")
async def healthz() -> dict[str, str]:
    """Whether this process is alive."""
    return {"status": "ok"}


@router.get("/readyz", responses={503: {"description": "a part of the farm cannot work: `parts` says which, and why"}})
async def readyz(parts: PartsDep) -> Any:
    """The store takes and gives objects, and the dispatcher answers; 503 where one does not. Videos wait meanwhile."""
    found = await parts.readiness.look()
    states = {"store": found.store, "dispatcher": found.dispatcher}
    if found.ready:
        return {"status": "ready", "workers": found.workers, "parts": states}
    detail = "; ".join(text for text in states.values() if text != "ok")
    return problem(503, Unavailable.code, detail, headers={"Retry-After": "1"}, more={"parts": states})


@router.get("/metrics", response_class=PlainTextResponse)
async def metrics_page(parts: PartsDep, _owner: OwnerDep) -> PlainTextResponse:
    """What the farm's processes measured, for Prometheus: docs/operations.md names the series."""
    if parts.metrics is None:
        raise Unavailable("this process measures nothing; ask a farm that `framefarm up` started")
    return PlainTextResponse(await parts.metrics.page(), media_type="text/plain; version=0.0.4")
