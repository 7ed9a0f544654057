"""The farm's HTTP application: OpenAI's Videos dialect. It keeps no state, and loads neither Ray nor torch.

`deploy/` builds its dependencies and runs it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path

from fastapi import FastAPI
from starlette.datastructures import MutableHeaders
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from farm.contract import Media, MetricsDoor, Planner
from farm.dispatch.news import DispatcherDoor
from farm.ingress import about, files, gradio, operations, videos
from farm.ingress.dependencies import Dependencies
from farm.ingress.lives import Lives
from farm.ingress.openapi import describe
from farm.ingress.page import PAGE, page_router
from farm.ingress.problems import install_problems, problem
from farm.ingress.ready import Readiness
from farm.ingress.signing import links, sessions
from farm.ingress.signing.seals import Seals
from farm.ingress.streams.feed import Feed
from farm.ingress.streams.watches import Watches
from farm.ingress.views import encoded
from farm.jobs import Jobs
from farm.jobs.catalog import Catalog
from farm.jobs.files import Files
from farm.metrics import Meter
from farm.settings import FarmSettings

MOST_REQUESTS = 2000  #: that one ingress handles at once; each watcher of events is one
_CROWD_RETRY_S = 5
#: the next connection may reach an ingress that has room
_ELSEWHERE = {"Retry-After": str(_CROWD_RETRY_S), "Connection": "close"}
_PROBES = {"/healthz", "/readyz"}  #: always answered: they tell whether the ingress lives
HEADERS = {
    "X-Content-Type-Options": "nosniff",  # a browser must not take a user's file for a page
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",  # links on a page must not leak a video's address
    # No inline script, no other host. blob: and data: are pictures and videos that the page itself holds.
    "Content-Security-Policy": "default-src 'self'; img-src 'self' blob: data:; media-src 'self' blob:; "
    "object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
}


def create_app(
    *,
    settings: FarmSettings,
    jobs: Jobs,
    door: DispatcherDoor,
    planner: Planner,
    media: Media,
    metrics: MetricsDoor | None = None,
    meter: Meter | None = None,
    page: Path = PAGE,
    most_requests: int = MOST_REQUESTS,
) -> FastAPI:
    """Build the HTTP application. Start nothing.

    page: the folder of the built page. most_requests: how many the application handles at once.
    """
    readiness = Readiness(jobs.store, door)
    feed = Feed(jobs, door, readiness, keep_days=settings.keep_days)
    app = FastAPI(
        title="framepack-farm",
        summary="A photo in, a video out.",
        version="1",
        lifespan=rooted,
        docs_url=None,  # FastAPI's own pages load scripts from other hosts
        redoc_url=None,
    )
    app.state.dependencies = Dependencies(
        settings=settings,
        jobs=jobs,
        catalog=Catalog(jobs, partial(encoded, keep_days=settings.keep_days)),
        files=Files(jobs.store, hours=settings.file_hours),
        door=door,
        planner=planner,
        media=media,
        lives=Lives(door),
        watches=Watches(jobs, feed, keep_days=settings.keep_days, meter=meter),
        feed=feed,
        readiness=readiness,
        seals=Seals(jobs.store),
        metrics=metrics,
    )
    install_problems(app)
    app.add_middleware(AtMost, requests=most_requests)
    if settings.cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=settings.cors_origins.split(","),
            allow_methods=["*"],
            allow_headers=["*"],
            expose_headers=["ETag", "Content-Range", "Repr-Digest", "Retry-After"],
        )
    app.add_middleware(SafeHeaders)
    for part in (videos, about, files, operations, sessions, links):
        app.include_router(part.router)
    for of_scripts in gradio.DOORS:
        app.include_router(gradio.router, prefix=of_scripts.path)
    app.include_router(page_router(page))
    describe(app, planner.request_type)
    return app


class AtMost:
    """ASGI middleware that handles so many requests at once, and answers any further request with 429."""

    def __init__(self, app: ASGIApp, *, requests: int) -> None:
        self._app, self._most, self._handled = app, requests, 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request, or send it away."""
        if scope["type"] != "http" or scope["path"] in _PROBES:
            await self._app(scope, receive, send)
        elif self._handled < self._most:
            self._handled += 1
            try:
                await self._app(scope, receive, send)
            finally:
                self._handled -= 1
        else:
            said = f"{self._most} requests are being handled here; ask again in {_CROWD_RETRY_S} seconds"
            answer = problem(429, "busy", said, headers=_ELSEWHERE)
            await answer(scope, receive, send)


class SafeHeaders:
    """ASGI middleware that adds HEADERS to every response. Streams pass through unchanged."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        await self._app(scope, receive, send_with_headers)


@asynccontextmanager
async def rooted(_: FastAPI) -> AsyncIterator[None]:
    """Let AnyIO's worker threads belong to the application's lifespan, so that they outlive a single request.

    For each call into a thread, AnyIO looks for the task that runs the event loop. A Ray actor's loop runs no task.
    AnyIO then searches all tasks, and ties a new thread to the task of the request: the thread ends with that request.
    AnyIO has no public way to name another task. If this private one disappears, the application only gets slower.
    """
    with suppress(ImportError):
        from anyio._backends._asyncio import _root_task

        _root_task.set(asyncio.current_task())
    yield
