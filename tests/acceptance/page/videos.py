"""Videos of the page's farm through its API: what a test asks for, and what it checks afterwards."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from tests.farm_process import FarmProcess
from tests.imports import ROOT
from tests.patience import wait_for

PHOTO = ROOT / "examples" / "cat.jpg"
CROWD = 500  #: videos of the owner crowd that are paused, and as many that have ended
MOST_OPEN = 40  #: videos of one owner; the farm answers one more with 429
SMALL = {"seconds": "2.4", "num_inference_steps": "2", "size": "96x64", "seed": "7"}


def ask(farm: FarmProcess, prompt: str, **fields: str) -> str:
    """Ask for a video through the API and return its id."""
    with PHOTO.open("rb") as photo:
        answer = farm.http.post(
            "/v1/videos", data=SMALL | {"prompt": prompt} | fields, files={"input_reference": photo}
        )
    assert answer.status_code == 200, answer.text
    found: str = answer.json()["id"]
    return found


def shown(farm: FarmProcess, video: str) -> dict[str, Any]:
    """Return a video as the API shows it."""
    answer = farm.http.get(f"/v1/videos/{video}")
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def newest(farm: FarmProcess) -> dict[str, Any]:
    """Return the video that was asked for last."""
    found: dict[str, Any] = farm.http.get("/v1/videos?limit=1").json()["data"][0]
    return found


def ended(farm: FarmProcess, video: str) -> dict[str, Any]:
    """Wait for a video to be completed, and return it."""

    def look() -> dict[str, Any] | None:
        found = shown(farm, video)
        assert found["status"] not in ("failed", "cancelled"), found
        return found if found["status"] == "completed" else None

    return wait_for(look, seconds=60, what=f"the end of {video}")


def content(farm: FarmProcess, video: str, **variant: str) -> bytes:
    """Return the bytes of a video or of what belongs to it."""
    answer = farm.http.get(f"/v1/videos/{video}/content", params=variant)
    assert answer.status_code == 200, answer.text
    return answer.content


@contextlib.contextmanager
def resting(farm: FarmProcess) -> Iterator[None]:
    """Pause the farm's worker, so that what is asked for waits; let it work again at the end."""
    worker = the_worker(farm)["id"]
    assert farm.http.post(f"/v1/workers/{worker}/pause").status_code == 200
    try:
        yield
    finally:
        assert farm.http.post(f"/v1/workers/{worker}/resume").status_code == 200


def the_worker(farm: FarmProcess) -> dict[str, Any]:
    """Wait for the farm's one worker to be listed, and return it: one that was silent for a while is not."""

    def look() -> dict[str, Any] | None:
        workers = farm.http.get("/v1/workers").json()["data"]
        assert len(workers) <= 1, workers
        return workers[0] if workers else None

    return wait_for(look, seconds=60, what="the farm's worker")
