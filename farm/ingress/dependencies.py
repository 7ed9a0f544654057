"""The values that FastAPI injects into an endpoint: the farm's dependencies, the caller, and the video of the path.

FastAPI calls a plain function in a thread. Those that never block are `async` to save that.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Annotated, Literal, NamedTuple
from urllib.parse import urlsplit

from anyio import CapacityLimiter
from fastapi import Depends, Request

from farm.bells import Bells
from farm.contract import Media, MetricsDoor, Planner
from farm.dispatch.news import DispatcherDoor
from farm.errors import Forbidden, Unauthorized
from farm.ingress.lives import Lives
from farm.ingress.ready import Readiness
from farm.ingress.signing.seals import Seals
from farm.ingress.streams.feed import Feed
from farm.ingress.streams.subjects import Viewer
from farm.ingress.streams.watches import Watches
from farm.intake.prepare import Tools, default_model
from farm.jobs import Jobs, Record
from farm.jobs.catalog import Catalog
from farm.jobs.files import Files
from farm.keys import LOCAL_OWNER, owner_of, parse_keys, parse_operators
from farm.settings import FarmSettings

_WRITERS = 8  #: videos stored at once: fsync and S3 wait, the processor does not
_DRAWERS = 8  #: posters read or drawn at once: most wait for the store
_LISTERS = 4  #: pages looked up at once: a folder's are work for one processor, S3's wait
_CORES = os.cpu_count() or 1
_TURNS = 4  #: POSTs for each working thread: at tens of ms a POST, the last is answered within a few seconds
#: headers in which a proxy names its client; Starlette's server may have applied them already
_FORWARDED = ("forwarded", "x-forwarded-for", "x-forwarded-host", "x-real-ip", "via")
_READING = frozenset({"GET", "HEAD", "OPTIONS"})
_FROM_BROWSERS = frozenset({"origin", "sec-fetch-site"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Dependencies:
    """Everything that the endpoints work with. `create_app` builds it once."""

    settings: FarmSettings
    jobs: Jobs
    door: DispatcherDoor
    catalog: Catalog
    files: Files
    planner: Planner
    media: Media
    lives: Lives
    watches: Watches
    feed: Feed
    readiness: Readiness
    seals: Seals
    metrics: MetricsDoor | None = None  #: None: this process measures nothing
    bells: Bells = field(init=False, default_factory=Bells)
    #: threads that decode images, and threads that store videos; more of them would only wait for each other
    decoding: CapacityLimiter = field(init=False)
    writing: CapacityLimiter = field(init=False)
    drawing: CapacityLimiter = field(init=False)  #: threads that make posters
    listing: CapacityLimiter = field(init=False)  #: threads that look up pages
    #: POSTs for a video that are handled at once, those that wait for a thread included; the rest get 429
    posts: CapacityLimiter = field(init=False)

    def __post_init__(self) -> None:
        shares = max(1, self.settings.ingresses)  # the other processes have theirs
        limits = {"decoding": _CORES, "writing": _WRITERS, "drawing": _DRAWERS, "listing": _LISTERS}
        limits["posts"] = _TURNS * (_CORES + _WRITERS)
        for name, most in limits.items():
            object.__setattr__(self, name, CapacityLimiter(max(1, most // shares)))

    @property
    def default_model(self) -> str:
        """The model of a request that names none."""
        return default_model(self.settings, self.planner)

    @property
    def tools(self) -> Tools:
        """The tools with which `farm.intake` prepares requests."""
        return Tools(self.settings, self.planner, self.media)


async def _dependencies(request: Request) -> Dependencies:
    dependencies: Dependencies = request.app.state.dependencies
    return dependencies


Deps = Annotated[Dependencies, Depends(_dependencies)]


class Caller(NamedTuple):
    """The owner who asks, and how the farm knows."""

    owner: str
    signed_in_by: Literal["key", "session", "machine"]


async def caller_of(request: Request, deps: Deps) -> Caller:
    """Find the API key or the session; a farm without keys has one caller, `local`. Raises: Unauthorized, Forbidden."""
    return await _caller(request, deps, is_trusted=is_own_page(request))


async def _caller(request: Request, deps: Dependencies, *, is_trusted: bool) -> Caller:
    """Find the caller. is_trusted: the request may change something although only a cookie says whose it is."""
    keys = parse_keys(deps.settings.api_keys)
    if not keys:
        check_own_machine(request, deps.settings)
        return Caller(LOCAL_OWNER, "machine")
    key, session = request.headers.get("authorization"), request.cookies.get(cookie_name(request, deps.settings))
    if key is not None or session is None:
        return Caller(owner_of(key or "", keys), "key")
    owner = await deps.seals.owner_of(session, keys)
    if request.method not in _READING and not is_trusted:
        raise Forbidden(
            "a session alone changes nothing unless a page of this farm asks (Sec-Fetch-Site, Origin); programs send "
            "Authorization: Bearer KEY"
        )
    return Caller(owner, "session")


def cookie_name(request: Request, settings: FarmSettings) -> str:
    """Return the name of the session's cookie. It has the port that the browser asked, which cookies do not know."""
    _, port = _address(request.headers.get("host", ""))
    return f"framefarm-{port or settings.port}"


def is_own_page(request: Request) -> bool:
    """Tell whether a browser says that a page of this farm asks."""
    site, origin = request.headers.get("sec-fetch-site"), request.headers.get("origin", "")
    if site is not None:
        return site == "same-origin"
    return origin.partition("://")[2] == request.headers.get("host")


def check_own_machine(request: Request, settings: FarmSettings) -> None:
    """Keep all but this machine from a farm without keys. Raises: Unauthorized."""
    for name in _FORWARDED:
        if name in request.headers:  # a proxy on this machine connects from loopback and hides the real client
            raise Unauthorized(
                f"this farm has no API keys (FARM_API_KEYS), so it rejects requests from a proxy ({name}); "
                "create a key with `framefarm keys new NAME`"
            )
    if request.client is None:  # it hung up before its address was asked, so it could be anyone
        raise Unauthorized("the client's connection is gone")
    address = ip_address(request.client.host.partition("%")[0])
    mapped = getattr(address, "ipv4_mapped", None)
    if not (mapped or address).is_loopback:
        raise Unauthorized(
            "this farm has no API keys (FARM_API_KEYS), so only its own machine may connect; use an SSH tunnel, "
            "or create a key with `framefarm keys new NAME`"
        )
    _check_browser(request, settings)


def _check_browser(request: Request, settings: FarmSettings) -> None:
    """Keep a web page in this machine's browser from using the farm. Raises: Unauthorized.

    The page's requests come from loopback too. Their Origin gives them away, or the host name that its site points at
    this machine.
    """
    host, origin = request.headers.get("host", ""), request.headers.get("origin")
    if _address(host)[0] not in {"localhost", "127.0.0.1", "::1", settings.host}:
        raise Unauthorized(
            f"this farm has no API keys, so it accepts requests to its own address only, not to {host[:80]!r}"
        )
    if origin is not None and origin.partition("://")[2] != host and origin not in settings.cors_origins.split(","):
        raise Unauthorized("this farm has no API keys, so web pages of other origins may not use it")


def _address(host: str) -> tuple[str | None, int | None]:
    """Return the name and the port of a Host header."""
    try:
        parts = urlsplit(f"//{host}")
        address = parts.hostname, parts.port
    except ValueError:  # half an IPv6 address
        return None, None
    return address


CallerDep = Annotated[Caller, Depends(caller_of)]


async def script_owner(request: Request, deps: Deps) -> str:
    """Find the owner for whom a gradio script asks.

    A script that signed in with a name and a key has a cookie and sends no header of a browser. A browser sends Origin
    or Sec-Fetch-Site with each request that changes something. Raises: Unauthorized, Forbidden.
    """
    is_script = not _FROM_BROWSERS & set(request.headers.keys())
    return (await _caller(request, deps, is_trusted=is_script or is_own_page(request))).owner


ScriptDep = Annotated[str, Depends(script_owner)]


async def _owner(caller: CallerDep) -> str:
    """Return the caller's name."""
    return caller.owner


OwnerDep = Annotated[str, Depends(_owner)]


def is_operator(deps: Dependencies, owner: str) -> bool:
    """Tell whether the owner may control workers: FARM_OPERATORS names them, or nobody."""
    operators = _operators(deps)
    return not operators or owner in operators


def _operators(deps: Dependencies) -> frozenset[str]:
    return parse_operators(deps.settings.operators, parse_keys(deps.settings.api_keys))


async def _viewer(owner: OwnerDep, deps: Deps) -> Viewer:
    """Return the caller. Only an operator who is named sees which videos of others the workers make."""
    return Viewer(owner, sees_all=owner in _operators(deps))


ViewerDep = Annotated[Viewer, Depends(_viewer)]


async def _operator(owner: OwnerDep, deps: Deps) -> str:
    """Return the caller's name if the caller may control workers. Raises: Unauthorized, Forbidden."""
    if not is_operator(deps, owner):
        raise Forbidden(f"{owner} is not an operator of this farm (FARM_OPERATORS) and may not control its workers")
    return owner


OperatorDep = Annotated[str, Depends(_operator)]


def _record(video_id: str, deps: Deps, owner: OwnerDep) -> Record:
    """Read the video that the path names; FastAPI calls this in a thread. Raises: NotFound."""
    return deps.jobs.get(video_id, owner=owner)


RecordDep = Annotated[Record, Depends(_record)]
