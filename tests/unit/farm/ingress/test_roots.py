"""The application's threads on an event loop that runs no task."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator

import pytest
from anyio import to_thread
from fastapi import FastAPI

from farm.ingress.app import rooted
from tests.patience import patient

pytestmark = pytest.mark.unit


@pytest.fixture
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    """An event loop that runs forever in a thread, like that of a Ray actor."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    yield loop
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


def test_a_thread_outlives_the_request_that_it_began_with(loop: asyncio.AbstractEventLoop) -> None:
    """One thread serves consecutive requests; without the lifespan, each request would start a new one."""
    over = asyncio.Event()

    async def life(begun: threading.Event) -> None:
        async with rooted(FastAPI()):
            begun.set()
            await over.wait()

    async def request() -> threading.Thread:
        return await to_thread.run_sync(threading.current_thread)

    begun = threading.Event()
    lifespan = asyncio.run_coroutine_threadsafe(life(begun), loop)
    assert begun.wait(patient(10))
    threads = [asyncio.run_coroutine_threadsafe(request(), loop).result(patient(10)) for _ in range(5)]
    assert len(set(threads)) == 1
    loop.call_soon_threadsafe(over.set)
    lifespan.result(patient(10))
