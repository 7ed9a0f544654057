"""A farm that has nothing else to do: what calls, orders and commits take, and what a video leaves in the store."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any
from unittest.mock import patch

import httpx

from farm.contract import JobId
from farm.jobs import Jobs
from farm.ledger.states import ENDED, Event
from farm.store import FolderStore
from lab.bench.farm_load import FIELDS, LONG, photo
from lab.bench.farm_processes import ingresses, memory_mib
from lab.bench.full_storage import accept_one

_TIMES = 20  #: each call, for its median
_VIDEOS = 5  #: made one after the other
_PAGE = 100
_POLL_S = 0.05
_TIDY_S = 1.0  #: after a video's end; its marker goes meanwhile
_TIMEOUT_S = 60.0


def measure_calls(url: str, *, api_key: str | None = None) -> dict[str, Any]:
    """Return each call's median in ms; make some videos for it. Raises: httpx.HTTPError."""
    with _client(url, api_key) as http:
        posts_ms, video = list[float](), ""
        for number in range(_VIDEOS):
            video = _post(http, posts_ms, seed=str(number))
            _wait(http, video, ENDED)
        busy_ms = list[float]()
        long = _post(http, [], **LONG)
        _wait(http, long, {"in_progress"})
        others = [_post(http, busy_ms, seed=str(number)) for number in range(_VIDEOS)]
        for each in (*others, long):
            http.post(f"/v1/videos/{each}/cancel")
        _wait(http, long, ENDED)
        return {
            "get_ms": _median_ms(lambda: _ask(http, "GET", f"/v1/videos/{video}")),
            "list_of_20_ms": _median_ms(lambda: _ask(http, "GET", "/v1/videos?limit=20")),
            "post_ms": round(median(posts_ms), 1),
            "post_while_rendering_ms": round(median(busy_ms), 1),
        }


def measure_storage(url: str, storage: Path, *, api_key: str | None = None) -> dict[str, Any]:
    """Return what a video's orders, commits and objects cost, from a farm's folder. Make some videos for it."""
    jobs = Jobs(FolderStore(storage))
    with _client(url, api_key) as http:
        before, gaps = _objects(storage), list[float]()
        for number in range(_VIDEOS):
            video = _post(http, [], seed=str(number))
            _wait(http, video, ENDED)
            gaps += _gaps_ms(jobs, JobId(video))
        time.sleep(_TIDY_S)
        objects = (_objects(storage) - before) / _VIDEOS
    return {
        "between_orders_ms": round(median(gaps), 1) if gaps else None,
        **_storing(storage),
        "objects_a_video": round(objects, 1),
    }


def measure_memory(url: str, *, api_key: str | None = None) -> dict[str, Any]:
    """List all videos, as often as there are ingresses; return the memory of the largest. They are our processes."""
    processes, listed = ingresses(), 0
    with _client(url, api_key) as http:
        for _ in processes:  # Serve deals the pages out to them
            after, listed = "", 0
            while True:
                page = _ask(http, "GET", f"/v1/videos?limit={_PAGE}{after}").json()
                listed += len(page["data"])
                if not page["has_more"]:
                    break
                after = f"&after={page['last_id']}"
    return {"videos_listed": listed, "ingress_mib": round(max(map(memory_mib, processes), default=0.0))}


def _gaps_ms(jobs: Jobs, video: JobId) -> list[float]:
    """Return the times from one order's commit to the lease of the next."""
    return [
        1000 * (later.at - earlier.at)
        for earlier, later in pairwise(jobs.ledger.following(video, -1))
        if (earlier.event.name, later.event.name) == ("committed", "leased")
    ]


def _storing(beside: Path) -> dict[str, Any]:
    """Commit entries and accept a video in a store of their own on the same disk."""
    with tempfile.TemporaryDirectory(prefix=".bench-", dir=beside) as folder:
        jobs, syncs = Jobs(FolderStore(Path(folder))), list[int]()
        record = accept_one(jobs, "local", image=photo())
        with patch("os.fsync", side_effect=_noting(syncs)):
            accept_one(jobs, "local", image=photo())
        head, wishes = record.head, iter(("pause", "resume") * _TIMES)

        def commit() -> None:
            nonlocal head
            head = jobs.ledger.append(record.asked.id, Event(name=next(wishes)), after=head)

        return {"commit_ms": _median_ms(commit), "fsyncs_a_post": len(syncs)}


def _noting(syncs: list[int]) -> Callable[[int], None]:
    sync = os.fsync

    def noted(handle: int) -> None:
        syncs.append(handle)
        sync(handle)

    return noted


def _client(url: str, api_key: str | None) -> httpx.Client:
    headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
    return httpx.Client(base_url=url, headers=headers, timeout=_TIMEOUT_S, trust_env=False)


def _ask(http: httpx.Client, method: str, path: str, **more: Any) -> httpx.Response:
    return http.request(method, path, **more).raise_for_status()


def _post(http: httpx.Client, took_ms: list[float], **fields: str) -> str:
    """Ask for a video, note how long the answer took, and return its id."""
    files, begun = {"input_reference": ("cat.jpg", photo())}, time.perf_counter()
    answer = _ask(http, "POST", "/v1/videos", data=FIELDS | fields, files=files)
    took_ms.append(1000 * (time.perf_counter() - begun))
    video: str = answer.json()["id"]
    return video


def _wait(http: httpx.Client, video: str, statuses: set[str] | frozenset[str]) -> None:
    while _ask(http, "GET", f"/v1/videos/{video}").json()["status"] not in {*statuses, *ENDED}:
        time.sleep(_POLL_S)


def _median_ms(call: Callable[[], object]) -> float:
    took = list[float]()
    for _ in range(_TIMES):
        begun = time.perf_counter()
        call()
        took.append(1000 * (time.perf_counter() - begun))
    return round(median(took), 1)


def _objects(storage: Path) -> int:
    """Count the store's objects; names that begin with a dot do not count."""
    found = (path.relative_to(storage) for path in storage.rglob("*") if path.is_file())
    return sum(not any(part.startswith(".") for part in path.parts) for path in found)
