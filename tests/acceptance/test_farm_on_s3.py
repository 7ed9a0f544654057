"""A whole farm whose store is a bucket, behind a network that loses answers."""

from __future__ import annotations

import io
import os
import time
from itertools import count
from pathlib import Path

import av
import pytest
from PIL import Image

from farm.contract import JobId
from farm.jobs import Jobs
from farm.jobs.fsck import DAY_S, Checker
from farm.ledger.damage import verified
from tests.farm_process import FarmProcess, running_farm
from tests.hook_receiver import SECRET, hook_receiver
from tests.patience import wait_for
from tests.s3_servers import BUCKET, KEYS, Fault, Place, Relay, ministack

pytestmark = [pytest.mark.acceptance]


def test_a_farm_on_s3_renders_although_answers_get_lost(
    tmp_path: Path, tiny_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every fifth put loses its answer; the video is made, each stage once, all bytes whole, its webhook is told."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    for name, value in {**KEYS, "XDG_DATA_HOME": str(tmp_path)}.items():
        monkeypatch.setenv(name, value)
    puts, lost = count(1), count()

    def fault(method: str, _: str) -> Fault | None:
        if method == "PUT" and next(puts) % 5 == 0:
            next(lost)
            return "lose"
        return None

    with ministack(tmp_path / "ministack") as upstream, hook_receiver() as receiver:
        relay = Relay(upstream)
        place = Place(f"s3://{BUCKET}/farms/one", relay.endpoint)
        try:
            with running_farm(
                tmp_path / "storage",
                cache=tiny_cache,
                url=place.storage,
                S3_ENDPOINT=relay.endpoint,
                WEBHOOK_ALLOW_PRIVATE="1",
            ) as farm:
                relay.fault = fault
                picture = io.BytesIO()
                Image.radial_gradient("L").convert("RGB").resize((64, 64)).save(picture, "PNG")
                answer = farm.http.post(
                    "/v1/videos",
                    data={
                        "prompt": "a cat",
                        "seconds": "1.2",
                        "size": "64x64",
                        "seed": "7",
                        "model": "tiny",
                        "num_inference_steps": "2",
                        "webhook_url": receiver.url,
                        "webhook_secret": SECRET,
                    },
                    files={"input_reference": ("cat.png", picture.getvalue())},
                )
                assert answer.status_code == 200, answer.text
                video = answer.json()["id"]

                def ended() -> dict[str, object] | None:
                    state: dict[str, object] = farm.http.get(f"/v1/videos/{video}").json()
                    return state if state["status"] not in {"queued", "in_progress"} else None

                state = wait_for(ended, seconds=120, what="the video's end")
                assert state["status"] == "completed", state["error"]
                content = farm.http.get(f"/v1/videos/{video}/content").content
                [told] = receiver.wait(1, seconds=60)
                assert told.verified()["data"] | {"id": video, "status": "completed"} == told.verified()["data"]
                archive = farm.http.get(f"/v1/videos/{video}/export").content
                assert farm.http.post("/v1/videos/import", content=archive).json()["id"] == video
                _goes_on_after_the_store_was_away(farm, relay)
            with av.open(io.BytesIO(content), mode="r") as mp4:
                assert sum(1 for _ in mp4.decode(video=0)) == 37
            assert next(lost) > 0
            jobs = Jobs(place.open())
            entries = list(jobs.ledger.following(video, -1))
            commits = [entry.event for entry in entries if entry.event.name == "committed"]
            assert sorted(str(event.key) for event in commits) == ["decode/0", "encode", "finish", "section/0"]
            for artifact in (artifact for event in commits for artifact in event.artifacts.values()):
                assert len(verified(jobs.store, artifact)) == artifact.bytes
            assert jobs.ledger.head(JobId(video)).state.failures == ()
            assert list(Checker(jobs.store, now=time.time(), grace_s=DAY_S).findings()) == []
        finally:
            relay.close()
    assert not (tmp_path / "storage").exists()


def _goes_on_after_the_store_was_away(farm: FarmProcess, relay: Relay) -> None:
    """Every connection breaks: /readyz says so, a request is refused with 503; a little later it is taken."""
    fields = {"prompt": "a cat", "seconds": "0.1", "size": "64x64", "model": "tiny-f1", "num_inference_steps": "1"}
    relay.fault = lambda _method, _path: "reset"
    wait_for(lambda: farm.http.get("/readyz").status_code == 503 or None, seconds=30, what="the farm to say so")
    assert "the store does not answer" in farm.http.get("/readyz").json()["parts"]["store"]
    answer = farm.http.post("/v1/videos", data=fields)
    assert (answer.status_code, answer.json()["code"], answer.headers["retry-after"]) == (503, "unavailable", "1")
    relay.fault = lambda _method, _path: None
    wait_for(lambda: farm.http.get("/readyz").status_code == 200 or None, seconds=30, what="the farm to be ready")
    video = farm.http.post("/v1/videos", data=fields).json()["id"]
    wait_for(
        lambda: farm.http.get(f"/v1/videos/{video}").json()["status"] == "completed" or None,
        seconds=120,
        what="the video's end",
    )
