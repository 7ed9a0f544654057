"""A farm as those see it who watch it: its numbers, its log."""

from __future__ import annotations

import io
import json
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image
from prometheus_client.parser import text_string_to_metric_families

from deploy.farm_load import Load, press
from deploy.full_storage import fill_storage
from tests.farm_process import FarmProcess, running_farm, wait_for

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(300)]
FIELDS = {"prompt": "a cat", "seconds": "2.4", "seed": "7", "num_inference_steps": "2", "size": "96x96"}
SECTIONS = 2
BEFORE, PAUSED = 300, 15  #: videos in the storage when the farm starts
NAMES = ("stage", "section", "attempt", "worker")


@pytest.fixture(scope="module")
def farm(tmp_path_factory: pytest.TempPathFactory, tiny_cache: Path) -> Iterator[FarmProcess]:
    """One farm with one worker on a storage that was used before, and its log as JSON."""
    storage = tmp_path_factory.mktemp("watched") / "storage"
    fill_storage(storage, videos=BEFORE, open_videos=PAUSED, now_ms=int(time.time() * 1000))
    with running_farm(storage, cache=tiny_cache, LOG_FORMAT="json") as farm:
        yield farm


@pytest.fixture(scope="module")
def video(farm: FarmProcess) -> str:
    """A video that the farm has made."""
    data = io.BytesIO()
    Image.new("RGB", (96, 96), "teal").save(data, "PNG")
    answer = farm.http.post("/v1/videos", data=FIELDS, files={"input_reference": ("a.png", data.getvalue())})
    assert answer.status_code == 200, answer.text
    video: str = answer.json()["id"]

    def ended() -> str | None:
        state = farm.http.get(f"/v1/videos/{video}").json()
        assert state["status"] != "failed", state["error"]
        return video if state["status"] == "completed" else None

    return wait_for(ended, seconds=120, what="the video's end")


def numbers(farm: FarmProcess) -> dict[tuple[str, str], float]:
    """(sample, label value that tells most) -> value, summed over processes."""
    sums: dict[tuple[str, str], float] = defaultdict(float)
    for family in text_string_to_metric_families(farm.http.get("/metrics").raise_for_status().text):
        for sample in family.samples:
            names = ("le", "status", "state", "stage", "operation", "how", "what", "device")
            told = next((sample.labels[name] for name in names if name in sample.labels), "")
            sums[sample.name.removeprefix("ray_framefarm_"), told] += sample.value
    return sums


def test_the_page_tells_what_was_made(farm: FarmProcess, video: str) -> None:
    """After one video: its sections and orders by stage, what was paused, an idle worker, a store that answered."""

    def settled() -> dict[tuple[str, str], float] | None:
        found = numbers(farm)
        return found if found["videos_ended_total", "completed"] and found["workers", "idle"] else None

    found = wait_for(settled, seconds=60, what="the numbers of the video's end")
    assert found["videos_ended_total", "completed"] == 1
    assert [found["videos", status] for status in ("queued", "in_progress", "paused")] == [0, 0, PAUSED]
    assert (found["workers", "idle"], found["workers", "busy"]) == (1, 0)
    leases = {stage: found["leases_total", stage] for stage in ("encode", "section", "decode", "finish")}
    assert leases == {"encode": 1, "section": SECTIONS, "decode": 1, "finish": 1}
    assert {stage: found["order_seconds_count", stage] for stage in leases} == leases
    assert all(found["order_seconds_spent_total", stage] > 0 for stage in leases)
    (made,) = [value for (name, _), value in found.items() if name == "sections_total"]
    assert made == SECTIONS
    assert found["store_seconds_count", "put"] >= 10  # request, input, marker, index, 5 leases, 5 commits …
    assert found["store_seconds_count", "get"] > 0
    assert not [name for name, _ in found if name in {"store_errors_total", "failures_total", "leases_lost_total"}]


def test_a_watcher_is_counted_while_it_watches(farm: FarmProcess, video: str) -> None:
    """An open stream shows on the page, and is gone from it afterwards."""
    paused = farm.http.post("/v1/videos", data=FIELDS | {"prompt": "another", "model": "tiny-f1", "seconds": "60"})
    assert paused.status_code == 200, paused.text
    other = paused.json()["id"]
    assert farm.http.post(f"/v1/videos/{other}/pause").status_code == 200

    def watchers(number: int) -> bool | None:
        return True if numbers(farm)["watchers", ""] == number else None

    with farm.http.stream("GET", f"/v1/videos/{other}/events") as stream:
        lines = stream.iter_lines()  # kept: httpx closes the stream with its iterator
        next(lines)
        wait_for(lambda: watchers(1), seconds=30, what="a watcher on the page")
    wait_for(lambda: watchers(0), seconds=30, what="no watcher on the page")


def test_the_log_names_what_happened(farm: FarmProcess, video: str) -> None:
    """Each of the video's orders was leased and committed: a line of the dispatcher, a line of the worker."""
    lines = [json.loads(line[line.index("{") :]) for line in farm.log.read_text().splitlines() if '"action"' in line]
    ours = [line for line in lines if line.get("job_id") == video]
    assert {line["action"] for line in ours} >= {"accept", "lease", "begin", "commit", "end"}
    orders = {
        action: [tuple(line.get(name) for name in NAMES) for line in ours if line["action"] == action]
        for action in ("lease", "commit")
    }
    assert sorted(orders["commit"], key=str) == sorted(orders["lease"], key=str)
    assert {stage for stage, *_ in orders["commit"]} == {"encode", "section", "decode", "finish"}


async def test_a_small_load_meets_no_error(farm: FarmProcess) -> None:
    """The short form of `framefarm bench farm`: each video is accepted or told to wait, no stream breaks."""
    found = await press(str(farm.http.base_url), Load(watchers=50, posts_per_s=10, seconds=5))
    assert found.errors == {}
    assert found.accepted + found.refused_429 == 50
    assert found.accepted == len(found.post_ms) > 0
    assert found.streams >= found.most_streams > 0
    assert found.events >= found.streams
    assert found.list_ms
    assert found.row()["errors"] == 0
