"""The ingress as a Ray Serve application."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ray import serve

from actors.cluster import ON_HEAD
from farm.settings import FarmSettings

if TYPE_CHECKING:
    from fastapi import FastAPI

_STREAMS = 2000  #: requests that a replica handles at once; each watcher of /events is one
_WAITING = 1000  #: requests that wait for a replica; Serve rejects more with 429


def application(settings: FarmSettings) -> serve.Application:
    """Return the ingress for `serve.run`. Replicas stay on the head: they need no GPU, and spot nodes vanish."""

    def build() -> FastAPI:
        from actors.door import RayDoor
        from actors.meter import RayMeter, RayMetrics
        from deploy.hang_ups import HangUps
        from deploy.planner import EngineMedia, EnginePlanner
        from farm.ingress import create_app
        from farm.jobs import Jobs
        from farm.logs import setup_logs
        from farm.store import MeteredStore, open_store

        setup_logs(style=settings.log_format, level=settings.log_level)
        meter = RayMeter()
        app = create_app(
            settings=settings,
            jobs=Jobs(MeteredStore(open_store(settings, is_hasty=True), meter)),
            door=RayDoor(),
            planner=EnginePlanner(models=settings.models, lora_dir=settings.lora_dir),
            media=EngineMedia(),
            metrics=RayMetrics(),
            meter=meter,
        )
        app.add_middleware(HangUps)
        return app

    class Ingress:
        """The class that Serve asks for; FastAPI does all of its work."""

    deployment = serve.deployment(
        name="ingress",
        num_replicas=max(1, settings.ingresses),
        health_check_period_s=1,
        max_ongoing_requests=_STREAMS,
        max_queued_requests=_WAITING,
        backpressure_config={"status_code": 429, "retry_after_s": 5},
        graceful_shutdown_timeout_s=5,
        logging_config={"log_level": "WARNING", "enable_access_log": False},
        ray_actor_options={"num_cpus": 0, "resources": ON_HEAD},
    )
    return deployment(serve.ingress(build)(Ingress)).bind()
