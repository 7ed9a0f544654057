"""The ingress as a Ray Serve application: Serve keeps its processes alive, and no request goes through Serve."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

import uvicorn
from ray import serve

from actors.cluster import ON_HEAD
from deploy.node.http_port import handed_port, take_connections
from farm.ingress.app import MOST_REQUESTS
from farm.settings import FarmSettings

if TYPE_CHECKING:
    from fastapi import FastAPI

_KEEP_ALIVE_S = 90  #: a connection that asks nothing stays open for so long
_LAST_ANSWERS_S = 3  #: for answers that are under way when the farm ends; streams are cut then


class Ingress:
    """A process that answers HTTP."""

    async def __init__(self, settings: FarmSettings, port_path: str) -> None:  # type: ignore[misc]  # as Serve awaits it
        """Take connections before Serve counts this process as ready. port_path: where `up` hands out its port."""
        doors = await asyncio.to_thread(handed_port, port_path)
        self._config = uvicorn.Config(
            _app(settings),
            lifespan="on",
            log_config=None,
            log_level=logging.ERROR,
            access_log=False,
            ws="none",
            timeout_keep_alive=_KEEP_ALIVE_S,
            timeout_graceful_shutdown=_LAST_ANSWERS_S,
        )
        self._server = uvicorn.Server(self._config)
        self._serving = asyncio.create_task(self._server.serve(sockets=[]))
        while not self._server.started:
            if self._serving.done():
                self._serving.result()
            await asyncio.sleep(0.01)
        held = self._server.server_state.connections
        self._taking = [
            asyncio.create_task(take_connections(door, self._protocol, held=lambda: len(held), most=MOST_REQUESTS))
            for door in doors
        ]

    def check_health(self) -> None:
        """Let Serve replace this process if it takes no connections any more. Raises: RuntimeError."""
        if any(task.done() for task in (self._serving, *self._taking)):
            raise RuntimeError("this ingress takes no connections any more")

    async def __del__(self) -> None:
        """Answer what was asked, then close: Serve calls this when the farm ends."""
        for task in self._taking:
            task.cancel()
        logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)  # that streams are cut is no fault
        self._server.should_exit = True
        await self._serving

    def _protocol(self) -> asyncio.Protocol:
        """Return what uvicorn itself gives to each connection."""
        server = self._server
        return self._config.http_protocol_class(  # type: ignore[call-arg]
            config=self._config, server_state=server.server_state, app_state=server.lifespan.state
        )


def _app(settings: FarmSettings) -> FastAPI:
    from actors.door import RayDoor
    from actors.meter import RayMeter, RayMetrics
    from deploy.planner import EngineMedia, EnginePlanner
    from farm.ingress import create_app
    from farm.jobs import Jobs
    from farm.logs import setup_logs
    from farm.store import MeteredStore, open_store

    setup_logs(style=settings.log_format, level=settings.log_level)
    meter = RayMeter()
    return create_app(
        settings=settings,
        jobs=Jobs(MeteredStore(open_store(settings, is_hasty=True), meter)),
        door=RayDoor(),
        planner=EnginePlanner(models=settings.models, lora_dir=settings.lora_dir),
        media=EngineMedia(),
        metrics=RayMetrics(),
        meter=meter,
    )


def application(settings: FarmSettings, port_path: str) -> serve.Application:
    """Return the ingress for `serve.run`. port_path: where `up` hands out its port.

    Replicas stay on the head: they need no GPU, and spot nodes vanish.
    """
    deployment = serve.deployment(
        name="ingress",
        num_replicas=max(1, settings.ingresses),
        health_check_period_s=1,
        graceful_shutdown_wait_loop_s=0.1,  # Serve's own: 2; it counts calls of its own, and there are none
        graceful_shutdown_timeout_s=5,
        logging_config={"log_level": "WARNING", "enable_access_log": False},
        ray_actor_options={"num_cpus": 0, "resources": ON_HEAD},
    )
    return deployment(Ingress).bind(settings, port_path)
