"""A client that drops its stream behind Ray Serve."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from ray.exceptions import TaskCancelledError

from deploy.hang_ups import HangUps
from deploy.planner import EngineMedia, EnginePlanner
from farm.ingress import create_app
from farm.jobs import Jobs
from farm.settings import FarmSettings
from tests.patience import patient
from tests.unit.conftest import DispatcherHere


@pytest.mark.parametrize("is_guarded", [True, False])
async def test_a_client_that_drops_its_stream_is_no_fault(
    jobs: Jobs, door: DispatcherHere, *, is_guarded: bool
) -> None:
    """Serve's `receive` raises what ended its call. Without the guard this reaches Serve, which logs a traceback."""
    settings = FarmSettings(model="tiny")
    app = create_app(settings=settings, jobs=jobs, door=door, planner=EnginePlanner(), media=EngineMedia())
    sent, streams = list[Any](), asyncio.Event()

    async def receive() -> Any:
        await streams.wait()
        raise TaskCancelledError

    async def send(message: Any) -> None:
        sent.append(message)
        if message.get("body"):
            streams.set()

    scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": "/v1/events",
        "raw_path": b"/v1/events",
        "query_string": b"",
        "root_path": "",
        "headers": [(b"host", b"127.0.0.1:8000")],
        "client": ("127.0.0.1", 50000),
        "server": ("127.0.0.1", 8000),
    }
    asked = (HangUps(app) if is_guarded else app)(scope, receive, send)
    if is_guarded:
        await asyncio.wait_for(asked, patient(10))
    else:
        with pytest.raises(TaskCancelledError):
            await asyncio.wait_for(asked, patient(10))
    assert sent[0]["status"] == 200
    assert b"event: hello" in sent[1]["body"]
