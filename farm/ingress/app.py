"""The farm's HTTP door: OpenAI's Videos dialect. No state of its own, no Ray, no torch; deploy/ puts it into Serve."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

from fastapi import APIRouter, FastAPI
from fastapi.responses import PlainTextResponse
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from farm.contract import DispatcherDoor, Media, MetricsDoor, Planner
from farm.errors import Unavailable
from farm.ingress.dependencies import OperatorDep, OwnerDep, Parts, PartsDep
from farm.ingress.openapi import describe
from farm.ingress.problems import install_problems, problem
from farm.ingress.ready import Readiness
from farm.ingress.videos import router as videos
from farm.ingress.views import model_view, worker_view
from farm.ingress.watches import Watches
from farm.jobs import Jobs
from farm.metrics import Meter
from farm.settings import FarmSettings

HEADERS = {
    "X-Content-Type-Options": "nosniff",  # what a user sent is never taken for a page
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",  # a video's address stays here
}


class SafeHeaders:
    """ASGI middleware; streams pass through it as they are."""

    def __init__(self, app: ASGIApp) -> None:
        """Around `app`."""
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, and its answer back with the headers."""

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        await self._app(scope, receive, send_with_headers)


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
    """What the farm's processes measured, for Prometheus: docs/reference/metrics.md names the series."""
    if parts.metrics is None:
        raise Unavailable("this process measures nothing; ask a farm that `framefarm up` started")
    return PlainTextResponse(await parts.metrics.page(), media_type="text/plain; version=0.0.4")


@asynccontextmanager
async def rooted(_: FastAPI) -> AsyncIterator[None]:
    """An application's lifespan. Its task lasts as long as the application, so worker threads may belong to it.

    At each call into a thread AnyIO asks for the task that the loop was run for. Ray's loop was run for none: then
    it looks through all tasks, thousands where hundreds watch, and gives a new thread to the task of the request, with
    which the thread ends. There is no public way to say which task it is; without this one it is only slower.
    """
    with suppress(ImportError):
        from anyio._backends._asyncio import _root_task

        _root_task.set(asyncio.current_task())
    yield
