"""What the HTTP endpoints work with, put into the application once by `create_app`."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import Annotated

from anyio import CapacityLimiter
from fastapi import Depends, Request

from farm.contract import DispatcherDoor, Media, MetricsDoor, Planner
from farm.jobs import Jobs
from farm.ready import Readiness
from farm.settings import FarmSettings
from farm.watches import Watches

_WRITERS = 8  #: videos that are stored at once: fsync and S3 wait, the processor does not
_CORES = os.cpu_count() or 1
_TURNS = 4  #: for each thread that works: tens of ms a POST, so the last is answered within a few seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """The farm as the ingress sees it."""

    settings: FarmSettings
    jobs: Jobs
    door: DispatcherDoor
    planner: Planner
    media: Media
    watches: Watches
    #: of threads that decode images, and that store videos: more of them would only wait for each other, and all others
    #: for them
    decoding: CapacityLimiter = field(default_factory=lambda: CapacityLimiter(_CORES))
    writing: CapacityLimiter = field(default_factory=lambda: CapacityLimiter(_WRITERS))
    #: POSTs that ask for a video and are worked on, or wait for those threads; one more is answered 429
    posts: CapacityLimiter = field(default_factory=lambda: CapacityLimiter(_TURNS * (_CORES + _WRITERS)))
    readiness: Readiness
    metrics: MetricsDoor | None = None  #: None: this process measures nothing


def _parts(request: Request) -> Parts:
    parts: Parts = request.app.state.parts
    return parts


PartsDep = Annotated[Parts, Depends(_parts)]
