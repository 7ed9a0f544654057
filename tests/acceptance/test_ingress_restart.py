"""The HTTP door dies while clients are at it: what they know still holds when it is back."""

from __future__ import annotations

import json
import time
from pathlib import Path

import httpx
import pytest

from farm.sse import Event, read_events
from tests.farm_process import FarmProcess, wait_for

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(300)]
FIELDS = {"prompt": "a cat", "seconds": "1.5", "latent_window_size": "2", "num_inference_steps": "30", "size": "64x64"}
DURABLE = {"status", "section", "end"}


def patiently(farm: FarmProcess, method: str, path: str, **options: object) -> httpx.Response:
    """Ask until the farm itself answers: while the replica is away Ray Serve's proxy does, or nobody."""

    def answer() -> httpx.Response | None:
        try:
            found = farm.http.request(method, path, **options)  # type: ignore[arg-type]
        except httpx.TransportError:
            return None
        return found if found.status_code < 500 else None

    return wait_for(answer, seconds=60, what="the ingress")


def events(farm: FarmProcess, video: str, after: str | None) -> list[Event]:
    """One connection to the stream, from behind `after` until it ends or breaks; until the first section, at first."""
    headers, seen = {"Last-Event-ID": after} if after else {}, list[Event]()
    try:
        with farm.http.stream("GET", f"/v1/videos/{video}/events", headers=headers) as stream:
            if stream.status_code != 200:
                time.sleep(0.2)
                return []
            for event in read_events(stream.iter_lines()):
                seen.append(event)
                if after is None and event.name == "section":
                    farm.actor("ServeReplica").kill()
    except httpx.TransportError:
        pass
    return seen


def test_no_durable_event_is_missed(shared_farm: FarmProcess, picture: Path) -> None:
    """SIGKILL the ingress in the middle of a video: Last-Event-ID, keys and pages go on where they were."""
    farm, key = shared_farm, {"Idempotency-Key": "restart"}
    files = {"input_reference": ("cat.png", picture.read_bytes())}
    others = [farm.http.post("/v1/videos", data=FIELDS | {"n": "2"}, files=files).json()["batch"]["id"]]
    page = farm.http.get("/v1/videos", params={"batch": others[0], "limit": 1}).json()
    video = farm.http.post("/v1/videos", data=FIELDS | {"priority": "10"}, files=files, headers=key).json()["id"]
    seen = events(farm, video, None)
    assert any(event.name == "section" for event in seen)
    assert seen[-1].name != "end"
    rest = patiently(farm, "GET", "/v1/videos", params={"batch": others[0], "limit": 1, "after": page["last_id"]})
    again = patiently(farm, "POST", "/v1/videos", data=FIELDS | {"priority": "10"}, files=files, headers=key)
    assert again.json()["id"] == video
    assert (rest.json()["has_more"], len(rest.json()["data"])) == (False, 1)
    assert rest.json()["data"][0]["id"] != page["data"][0]["id"]
    until = time.monotonic() + 120
    while seen[-1].name != "end":
        assert time.monotonic() < until
        seen += events(farm, video, seen[-1].id)
    whole = list(read_events([*patiently(farm, "GET", f"/v1/videos/{video}/events").text.splitlines(), ""]))
    assert [event for event in seen if event.name in DURABLE] == [event for event in whole if event.name in DURABLE]
    assert json.loads(json.dumps(seen[-1].data))["status"] == "completed"
    ids = [tuple(map(int, event.id.split("."))) for event in seen]
    assert ids == sorted(set(ids))
    for other in (*page["data"], *rest.json()["data"]):
        patiently(farm, "POST", f"/v1/videos/{other['id']}/cancel")
