"""What the HTTP endpoints work with, put into the application once by `create_app`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request

from farm.contract import DispatcherDoor, Media, MetricsDoor, Planner
from farm.jobs import Jobs
from farm.ready import Readiness
from farm.settings import FarmSettings
from farm.watches import Watches


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """The farm as the ingress sees it."""

    settings: FarmSettings
    jobs: Jobs
    door: DispatcherDoor
    planner: Planner
    media: Media
    watches: Watches
    readiness: Readiness
    metrics: MetricsDoor | None = None  #: None: this process measures nothing


def _parts(request: Request) -> Parts:
    parts: Parts = request.app.state.parts
    return parts


PartsDep = Annotated[Parts, Depends(_parts)]
