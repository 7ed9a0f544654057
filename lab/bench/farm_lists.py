"""Many readers of a farm's lists: how many pages a second it answers, and how long each takes."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from typing import Any

import httpx

from lab.bench.farm_load import percentiles

PAGES = {  #: name of a row -> what the readers ask for
    "healthz": "/healthz",  # the cost of an answer that reads nothing
    "newest 20": "/v1/videos?limit=20",
    "newest 100": "/v1/videos?limit=100",
    "failed": "/v1/videos?limit=20&status=failed",
    "search": "/v1/videos?limit=20&q=nothing+has+these+letters",
}
_TIMEOUT_S = 60.0


async def read_lists(
    url: str, *, readers: int, seconds: float, api_key: str | None = None, errors: Counter[str]
) -> list[dict[str, Any]]:
    """Let `readers` ask for each page of PAGES for `seconds`, each again once it is answered. Return a row a page."""
    headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=readers)
    rows = []
    async with httpx.AsyncClient(
        base_url=url, headers=headers, limits=limits, timeout=_TIMEOUT_S, trust_env=False
    ) as http:
        for name, path in PAGES.items():
            begun, took_ms = time.perf_counter(), list[float]()
            until = begun + seconds
            await asyncio.gather(*(_read(http, path, until, took_ms, errors) for _ in range(readers)))
            per_s = round(len(took_ms) / (time.perf_counter() - begun), 1)
            rows.append({"page": name, "readers": readers, "per_s": per_s, **percentiles(took_ms)})
    return rows


async def _read(http: httpx.AsyncClient, path: str, until: float, took_ms: list[float], errors: Counter[str]) -> None:
    while (begun := time.perf_counter()) < until:
        try:
            answer = await http.get(path)
        except httpx.HTTPError as err:
            errors[f"list {type(err).__name__}"] += 1
            await asyncio.sleep(1.0)
            continue
        if answer.status_code == httpx.codes.OK:
            took_ms.append(1000 * (time.perf_counter() - begun))
        else:
            errors[f"list {answer.status_code}"] += 1
