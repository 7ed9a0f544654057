"""Who may ask: the holder of an API key, or, where the farm has none, this machine alone."""

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
from farm.jobs import Jobs
from farm.keys import owner_of, parse_keys, parse_operators
from farm.settings import FarmSettings

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


LOCAL_OWNER = "local"
#: a proxy's words about who asked it; Starlette's server may have believed them already
_FORWARDED = ("forwarded", "x-forwarded-for", "x-forwarded-host", "x-real-ip", "via")


def _owner(request: Request, parts: PartsDep) -> str:
    """The caller's name. Raises: Unauthorized."""
    if keys := parse_keys(parts.settings.api_keys):
        return owner_of(request.headers.get("authorization", ""), keys)
    for name in _FORWARDED:
        if name in request.headers:  # who really asks cannot be known, and a proxy on this machine is loopback to us
            raise Unauthorized(
                f"this farm has no API keys (FARM_API_KEYS), so it answers to nobody behind a proxy ({name}); "
                "`framefarm keys new NAME` makes one"
            )
    if request.client is None:  # a Unix socket
        return LOCAL_OWNER
    address = ip_address(request.client.host.partition("%")[0])
    mapped = getattr(address, "ipv4_mapped", None)
    if not (mapped or address).is_loopback:
        raise Unauthorized(
            "this farm has no API keys (FARM_API_KEYS), so it answers only to its own machine; use an SSH tunnel"
        )
    _check_browser(request, parts)
    return LOCAL_OWNER


def _check_browser(request: Request, parts: Parts) -> None:
    """Keep a web page that this machine's browser shows from driving the farm. Raises: Unauthorized.

    Its requests come from loopback too: they are known by their Origin, or by a host name of its own that leads here.
    """
    host, origin = request.headers.get("host", ""), request.headers.get("origin")
    if _hostname(f"//{host}") not in {"localhost", "127.0.0.1", "::1", parts.settings.host}:
        raise Unauthorized(f"this farm has no API keys, so it answers only to its own address, not to {host[:80]!r}")
    if origin is not None and origin.partition("://")[2] != host:
        raise Unauthorized("this farm has no API keys, so pages of other origins may not use it")


def _hostname(url: str) -> str | None:
    try:
        return urlsplit(url).hostname
    except ValueError:  # half an IPv6 address
        return None


OwnerDep = Annotated[str, Depends(_owner)]


def _operator(owner: OwnerDep, parts: PartsDep) -> str:
    """The caller's name, where it may tell workers what to do. Raises: Unauthorized, Forbidden."""
    operators = parse_operators(parts.settings.operators, parse_keys(parts.settings.api_keys))
    if operators and owner not in operators:
        raise Forbidden(
            f"{owner} is no operator of this farm (FARM_OPERATORS), so its workers are not {owner}'s to stop"
        )
    return owner


OperatorDep = Annotated[str, Depends(_operator)]
