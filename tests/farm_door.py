"""A farm through its door: a small video, and waits for what becomes of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx

from farm.contract import slot_of
from tests.imports import ROOT
from tests.patience import wait_for

FIELDS = {
    "prompt": "a cat",
    "seconds": "1.2",
    "seed": "7",
    "model": "tiny",
    "num_inference_steps": "30",
    "size": "256x256",
    "no_metadata": "true",  # it names the video
}


class Door:
    """Requests to one farm, whose door may be away for a while."""

    def __init__(self, http: httpx.Client) -> None:
        """http: has the farm's address and a key."""
        self.http = http

    def workers(self) -> dict[str, str] | None:
        """Slot -> state; None while the farm does not answer."""
        try:
            listed = self.http.get("/v1/workers").json()["data"]
        except (httpx.TransportError, KeyError):
            return None
        return {slot_of(worker["id"]): worker["state"] for worker in listed}

    def submit(self, **fields: str) -> str:
        """Ask for the video, with other fields where some are given."""
        files = {"input_reference": ("cat.jpg", (ROOT / "examples" / "cat.jpg").read_bytes())}
        answer = self.http.post("/v1/videos", data=FIELDS | fields, files=files)
        assert answer.status_code == 200, answer.text
        video: str = answer.json()["id"]
        return video

    def await_video(self, video: str, look: Callable[[dict[str, Any]], bool], *, what: str) -> dict[str, Any]:
        """Wait until the video is as `look` wants it."""

        def there() -> dict[str, Any] | None:
            try:
                shown: dict[str, Any] = self.http.get(f"/v1/videos/{video}").json()
            except httpx.TransportError:
                return None
            return shown if "status" in shown and look(shown) else None

        return wait_for(there, seconds=240, what=what, pause_s=0.1)

    def finished(self, video: str) -> bytes:
        """Wait for the video's end; its file."""
        shown = self.await_video(video, lambda it: it["status"] not in {"queued", "in_progress"}, what="the video")
        assert shown["status"] == "completed", shown["error"]
        return self.http.get(f"/v1/videos/{video}/content").content

    def in_the_middle(self, video: str) -> None:
        """Wait until its section has begun, and is far from its end."""
        self.await_video(video, lambda it: it["stage"] == "section" and (it["step"] or 0) >= 3, what="the third step")

    def wish(self, slot: str, wish: str) -> None:
        """Pause, resume or drain a worker."""
        assert self.http.post(f"/v1/workers/{slot}/{wish}").is_success

    def await_worker(self, slot: str, state: str) -> None:
        """Wait until the slot's worker is in that state."""
        wait_for(lambda: (self.workers() or {}).get(slot) == state or None, seconds=60, what=f"{slot} to be {state}")

    def await_no_worker(self, slot: str) -> None:
        """Wait until the farm says that the slot has none."""

        def is_gone() -> bool | None:
            there = self.workers()
            return None if there is None or slot in there else True

        wait_for(is_gone, seconds=30, what=f"{slot} to be gone")
