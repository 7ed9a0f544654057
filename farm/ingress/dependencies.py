"""What FastAPI injects into an endpoint: the farm's dependencies, the caller, and the video that the path names.

FastAPI calls a plain function in a thread. Those that never block are `async` to save that.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Annotated
from urllib.parse import urlsplit

from anyio import CapacityLimiter
from fastapi import Depends, Request

from farm.contract import DispatcherDoor, Media, MetricsDoor, Planner
from farm.errors import Forbidden, Unauthorized
from farm.ingress.ready import Readiness
from farm.ingress.watches import Watches
from farm.intake.prepare import Tools
from farm.jobs import Jobs, Record
from farm.keys import owner_of, parse_keys, parse_operators
from farm.settings import FarmSettings

LOCAL_OWNER = "local"
_WRITERS = 8  #: videos stored at once: fsync and S3 wait, the processor does not
_CORES = os.cpu_count() or 1
_TURNS = 4  #: POSTs for each working thread: at tens of ms a POST, the last is answered within a few seconds
#: headers in which a proxy names its client; Starlette's server may have applied them already
_FORWARDED = ("forwarded", "x-forwarded-for", "x-forwarded-host", "x-real-ip", "via")


@dataclass(frozen=True, slots=True, kw_only=True)
class Dependencies:
    """Everything that the endpoints work with. `create_app` builds it once."""

    settings: FarmSettings
    jobs: Jobs
    door: DispatcherDoor
    planner: Planner
    media: Media
    watches: Watches
    readiness: Readiness
    metrics: MetricsDoor | None = None  #: None: this process measures nothing
    #: threads that decode images, and threads that store videos; more of them would only wait for each other
    decoding: CapacityLimiter = field(default_factory=lambda: CapacityLimiter(_CORES))
    writing: CapacityLimiter = field(default_factory=lambda: CapacityLimiter(_WRITERS))
    #: POSTs for a video that are handled at once, those that wait for a thread included; the rest get 429
    posts: CapacityLimiter = field(default_factory=lambda: CapacityLimiter(_TURNS * (_CORES + _WRITERS)))

    @property
    def tools(self) -> Tools:
        """What `farm.intake` prepares requests with."""
        return Tools(self.settings, self.planner, self.media)


async def _dependencies(request: Request) -> Dependencies:
    dependencies: Dependencies = request.app.state.dependencies
    return dependencies


Deps = Annotated[Dependencies, Depends(_dependencies)]


async def _owner(request: Request, deps: Deps) -> str:
    """Return the caller's name: the API key's, or `local` on a farm without keys. Raises: Unauthorized."""
    if keys := parse_keys(deps.settings.api_keys):
        return owner_of(request.headers.get("authorization", ""), keys)
    for name in _FORWARDED:
        if name in request.headers:  # a proxy on this machine connects from loopback and hides the real client
            raise Unauthorized(
                f"this farm has no API keys (FARM_API_KEYS), so it rejects requests from a proxy ({name}); "
                "create a key with `framefarm keys new NAME`"
            )
    if request.client is None:  # a Unix socket
        return LOCAL_OWNER
    address = ip_address(request.client.host.partition("%")[0])
    mapped = getattr(address, "ipv4_mapped", None)
    if not (mapped or address).is_loopback:
        raise Unauthorized(
            "this farm has no API keys (FARM_API_KEYS), so only its own machine may connect; use an SSH tunnel, "
            "or create a key with `framefarm keys new NAME`"
        )
    _check_browser(request, deps.settings.host)
    return LOCAL_OWNER


def _check_browser(request: Request, own_host: str) -> None:
    """Keep a web page in this machine's browser from using the farm. Raises: Unauthorized.

    The page's requests come from loopback too. Their Origin gives them away, or the host name that its site points at
    this machine.
    """
    host, origin = request.headers.get("host", ""), request.headers.get("origin")
    if _hostname(f"//{host}") not in {"localhost", "127.0.0.1", "::1", own_host}:
        raise Unauthorized(
            f"this farm has no API keys, so it accepts requests to its own address only, not to {host[:80]!r}"
        )
    if origin is not None and origin.partition("://")[2] != host:
        raise Unauthorized("this farm has no API keys, so web pages of other origins may not use it")


def _hostname(url: str) -> str | None:
    try:
        return urlsplit(url).hostname
    except ValueError:  # half an IPv6 address
        return None


OwnerDep = Annotated[str, Depends(_owner)]


async def _operator(owner: OwnerDep, deps: Deps) -> str:
    """Return the caller's name if the caller may control workers. Raises: Unauthorized, Forbidden."""
    operators = parse_operators(deps.settings.operators, parse_keys(deps.settings.api_keys))
    if operators and owner not in operators:
        raise Forbidden(f"{owner} is not an operator of this farm (FARM_OPERATORS), so may not control its workers")
    return owner


OperatorDep = Annotated[str, Depends(_operator)]


def _record(video_id: str, deps: Deps, owner: OwnerDep) -> Record:
    """Read the video that the path names; FastAPI calls this in a thread. Raises: NotFound."""
    return deps.jobs.get(video_id, owner=owner)


RecordDep = Annotated[Record, Depends(_record)]
