"""Send and read as gradio's clients do, by hand, so that a test can kill an ingress between two calls."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx

from tests.farm_process import FarmProcess
from tests.patience import wait_for

API = "/gradio_api"
SHORT = ["", "", 7, 2, 9, 40]  #: two sections of 40 steps
ENDLESS = ["", "", 7, 60, 9, 100]  #: so long that it is cancelled before it ends


def join(farm: FarmProcess, folder: Path, session: str, values: list[Any]) -> str:
    """Ask for a video as gradio's clients do; return its event."""
    (path,) = farm.http.post(f"{API}/upload", files={"files": (folder / "a.png").read_bytes()}).json()
    sent = {"data": [{"path": path}, *values], "fn_index": 0, "session_hash": session}
    event: str = farm.http.post(f"{API}/queue/join", json=sent).raise_for_status().json()["event_id"]
    return event


def cancelled(farm: FarmProcess, event: str) -> Any:
    """Cancel the second session's video; None while no ingress answers."""
    sent = {"event_id": event, "session_hash": "two", "fn_index": 0}
    try:
        answer = farm.http.post(f"{API}/cancel", json=sent)
    except httpx.TransportError:
        return None
    return answer.json() if answer.status_code == 200 else None


def messages(farm: FarmProcess, session: str) -> Iterator[dict[str, Any]]:
    """Yield a session's messages; ask again while no ingress answers."""

    def opened() -> httpx.Response | None:
        request = farm.http.build_request("GET", f"{API}/queue/data", params={"session_hash": session}, timeout=None)
        try:
            answer = farm.http.send(request, stream=True)
        except httpx.TransportError:
            return None
        if answer.status_code == 200:
            return answer
        answer.close()
        return None

    with contextlib.closing(wait_for(opened, seconds=60, what="an ingress")) as answer:
        for line in answer.iter_lines():
            if line:
                yield json.loads(line.removeprefix("data: "))
