"""Puts a load on a farm: watchers of videos, and new videos at a steady pace. Counts and times the answers."""

from __future__ import annotations

import asyncio
import io
import json
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from statistics import quantiles
from typing import Any

import httpx

FIELDS = {
    "prompt": "a cat looks around",
    "model": "tiny",
    "seconds": "0.5",
    "num_inference_steps": "1",
    "size": "64x64",
}
LONG = {"seconds": "6", "num_inference_steps": "10"}  #: a video of several sections, each with some steps
_TIMEOUT_S = 60.0
_OVER_S = 5.0  #: after the last POST, for events that are on their way
_PHOTO_PX = (640, 480)


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """How large the load is."""

    watchers: int
    pages: int  #: streams of everything
    posts_per_s: float
    seconds: float


@dataclass(slots=True)
class Pressed:
    """Counts of the farm's answers."""

    accepted: int = 0
    refused_429: int = 0
    errors: Counter[str] = field(default_factory=Counter)  #: fault -> how often
    post_ms: list[float] = field(default_factory=list)
    list_ms: list[float] = field(default_factory=list)  #: a page of the newest 20
    lag_ms: list[float] = field(default_factory=list)  #: from a ledger entry's time to its event here
    streams: int = 0  #: opened
    streams_open: int = 0
    most_streams: int = 0  #: open at once
    events: int = 0
    pages_open: int = 0
    page_events: int = 0
    page_lag_ms: list[float] = field(default_factory=list)  #: as `lag_ms`, in the streams of everything

    def row(self) -> dict[str, Any]:
        """Return a line of a table; times in ms."""
        return {
            "accepted": self.accepted,
            "errors": sum(self.errors.values()),
            "refused_429": self.refused_429,
            **{f"post_{name}": value for name, value in percentiles(self.post_ms).items()},
            **{f"list_{name}": value for name, value in percentiles(self.list_ms).items()},
            "watchers": self.most_streams,
            "streams": self.streams,
            "events": self.events,
            **{f"lag_{name}": value for name, value in percentiles(self.lag_ms).items()},
            "pages": self.pages_open,
            "page_events": self.page_events,
            **{f"page_lag_{name}": value for name, value in percentiles(self.page_lag_ms).items()},
        }


async def press(url: str, load: Load, *, api_key: str | None = None) -> Pressed:
    """Post and watch for `load.seconds`. Count errors, and raise none."""
    found, posted = Pressed(), list[str]()
    async with _client(url, api_key) as http:
        over = asyncio.Event()
        watchers = [asyncio.create_task(_watch(http, posted, n // 10, over, found)) for n in range(load.watchers)]
        watchers += [asyncio.create_task(_page(http, over, found)) for _ in range(load.pages)]
        lister = asyncio.create_task(_list(http, over, found))
        await _post_all(http, load, posted, found)
        await asyncio.sleep(min(_OVER_S, load.seconds))
        over.set()
        for task in (*watchers, lister):
            task.cancel()
        await asyncio.gather(*watchers, lister, return_exceptions=True)
    return found


async def watch_one(
    url: str, *, watchers: int, api_key: str | None = None, begun: Callable[[], None] = lambda: None
) -> Pressed:
    """Let all watchers follow one video of several sections; count what comes once all watch, which `begun` hears.

    Raises: httpx.HTTPError.
    """
    found, posted = Pressed(), list[str]()
    async with _client(url, api_key) as http:
        await _post(http, photo(), LONG, posted, found)
        if not posted:
            return found
        path = f"/v1/videos/{posted[0]}"
        await http.post(f"{path}/pause")  # until all watch
        streams = [asyncio.create_task(_follow(http, posted[0], found)) for _ in range(watchers)]
        while found.streams_open < watchers and not any(stream.done() for stream in streams):  # noqa: ASYNC110
            await asyncio.sleep(0.05)
        found.events, found.lag_ms = 0, []
        begun()
        await http.post(f"{path}/resume")
        for ended in await asyncio.gather(*streams, return_exceptions=True):
            if ended is not True:
                found.errors[f"events {type(ended).__name__}" if ended else "events broke off"] += 1
    return found


def _client(url: str, api_key: str | None) -> httpx.AsyncClient:
    headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=200)
    return httpx.AsyncClient(base_url=url, headers=headers, limits=limits, timeout=_TIMEOUT_S, trust_env=False)


async def _post_all(http: httpx.AsyncClient, load: Load, posted: list[str], found: Pressed) -> None:
    """Post at a steady pace, without waiting for earlier answers."""
    begun, image = time.perf_counter(), photo()
    tasks = []
    for number in range(round(load.posts_per_s * load.seconds)):
        await asyncio.sleep(max(0.0, begun + number / load.posts_per_s - time.perf_counter()))
        tasks.append(asyncio.create_task(_post(http, image, {"seed": str(number)}, posted, found)))
    await asyncio.gather(*tasks)


async def _post(
    http: httpx.AsyncClient, image: bytes, fields: dict[str, str], posted: list[str], found: Pressed
) -> None:
    begun = time.perf_counter()
    try:
        answer = await http.post("/v1/videos", data=FIELDS | fields, files={"input_reference": ("cat.jpg", image)})
    except httpx.HTTPError as err:
        found.errors[f"POST {type(err).__name__}"] += 1
        return
    if answer.status_code == 200:
        found.post_ms.append(1000 * (time.perf_counter() - begun))
        found.accepted += 1
        posted.append(answer.json()["id"])
    elif answer.status_code == 429:
        found.refused_429 += 1
    else:
        found.errors[f"POST {answer.status_code}"] += 1


async def _list(http: httpx.AsyncClient, over: asyncio.Event, found: Pressed) -> None:
    while not over.is_set():
        begun = time.perf_counter()
        try:
            answer = await http.get("/v1/videos")
            if answer.status_code != 200:
                found.errors[f"list {answer.status_code}"] += 1
            else:
                found.list_ms.append(1000 * (time.perf_counter() - begun))
        except httpx.HTTPError as err:
            found.errors[f"list {type(err).__name__}"] += 1
        await asyncio.sleep(1.0)


async def _watch(http: httpx.AsyncClient, posted: list[str], place: int, over: asyncio.Event, found: Pressed) -> None:
    """Follow one video after another, from that place on. Ten watchers have the same place."""
    while not over.is_set():
        if len(posted) <= place:
            await asyncio.sleep(0.05)
            continue
        try:
            ended = await _follow(http, posted[place], found)
        except httpx.HTTPError as err:
            found.errors[f"events {type(err).__name__}"] += 1
            await asyncio.sleep(1.0)
            continue
        if not ended:
            found.errors["events broke off"] += 1
        place += 1


async def _follow(http: httpx.AsyncClient, video: str, found: Pressed) -> bool:
    """Read a video's events; tell whether the last one came."""
    begun, name = time.time(), ""
    async with http.stream("GET", f"/v1/videos/{video}/events", timeout=httpx.Timeout(_TIMEOUT_S)) as answer:
        if answer.status_code != 200:
            found.errors[f"events {answer.status_code}"] += 1
            return True
        found.streams += 1
        found.streams_open += 1
        found.most_streams = max(found.most_streams, found.streams_open)
        try:
            async for line in answer.aiter_lines():
                kind, _, text = line.partition(": ")
                name = text if kind == "event" else name
                if kind == "data":
                    found.events += 1
                    at = json.loads(text).get("at")
                    if at is not None and at > begun:
                        found.lag_ms.append(1000 * (time.time() - at))
                    if name == "end":
                        return True
        finally:
            found.streams_open -= 1
    return False


async def _page(http: httpx.AsyncClient, over: asyncio.Event, found: Pressed) -> None:
    """Follow everything, as an open page does."""
    begun, name = time.time(), ""
    try:
        async with http.stream("GET", "/v1/events", timeout=httpx.Timeout(_TIMEOUT_S)) as answer:
            found.pages_open += 1
            async for line in answer.aiter_lines():
                kind, _, text = line.partition(": ")
                name = text if kind == "event" else name
                if kind == "data":
                    found.page_events += 1
                    at = json.loads(text)["at"] if name == "video" else 0.0
                    if at > begun:
                        found.page_lag_ms.append(1000 * (time.time() - at))
    except httpx.HTTPError as err:
        found.errors[f"page {type(err).__name__}"] += 1
    if not over.is_set():
        found.errors["page broke off"] += 1


def photo() -> bytes:
    """Make a JPEG of about 40 kB, with shapes and some noise, like a camera's."""
    from PIL import Image

    shapes, noise = Image.radial_gradient("L").resize(_PHOTO_PX), Image.effect_noise(_PHOTO_PX, 12)
    data = io.BytesIO()
    Image.merge("RGB", (shapes, Image.blend(shapes, noise, 0.3), shapes)).save(data, "JPEG", quality=85)
    return data.getvalue()


def percentiles(values: list[float]) -> dict[str, float | None]:
    """Return the median and the 99th of 100 parts."""
    if len(values) < 2:
        return {"p50_ms": values[0] if values else None, "p99_ms": None}
    cuts = quantiles(values, n=100, method="inclusive")
    return {"p50_ms": round(cuts[49], 1), "p99_ms": round(cuts[98], 1)}
