"""A first task for AnyIO where the event loop has none, as under Ray Serve."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from fastapi import FastAPI


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
