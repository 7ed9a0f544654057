"""A farm as those see it who watch it: its numbers, its log, its events, and OpenAI's package."""

from __future__ import annotations

import contextlib
import io
import json
import socket
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import av
import httpx
import openai
import psutil
import pytest
from openai.types import VideoSeconds, VideoSize
from PIL import Image
from prometheus_client.parser import text_string_to_metric_families

from deploy import cli
from farm.client import Event, FarmClient, read_events
from farm.jobs import Jobs
from farm.store import FolderStore
from lab.bench.farm_lists import PAGES, read_lists
from lab.bench.farm_load import Load, press, watch_one
from lab.bench.farm_quiet import measure_calls, measure_memory, measure_storage
from lab.bench.full_storage import fill_storage
from tests.damage import damage_all, digests, named
from tests.farm_process import FarmProcess, alive, running_farm
from tests.gradio_queue import API, ENDLESS, SHORT, cancelled, join, messages
from tests.patience import patient, wait_for
from tests.script_client import fill_folder, frames

pytestmark = [pytest.mark.acceptance]
FIELDS = {"prompt": "a cat", "seconds": "2.4", "seed": "7", "num_inference_steps": "2", "size": "96x96"}
SECTIONS = 2
WATCHERS = 6  #: so many that more than one ingress has some
CONNECTIONS = 20  #: of which a frozen ingress would get some, if it got any
POSTS, PAGES_OPEN = 15, 4  #: of the small load
BEFORE, PAUSED = 300, 15  #: videos in the storage when the farm starts
DURABLE = {"status", "section", "end"}  #: events that are in the ledger; progress is not
NAMES = ("stage", "section", "attempt", "worker")


@pytest.fixture(scope="module")
def farm(tmp_path_factory: pytest.TempPathFactory, tiny_cache: Path) -> Iterator[FarmProcess]:
    """One farm with two workers on a storage that was used before, and its log as JSON."""
    storage = tmp_path_factory.mktemp("watched") / "storage"
    fill_storage(storage, videos=BEFORE, open_videos=PAUSED, now_ms=int(time.time() * 1000))
    with running_farm(storage, cache=tiny_cache, workers=2, LOG_FORMAT="json", INGRESSES="2") as farm:
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
    """After one video: its sections and orders by stage, what was paused, idle workers, a store that answered."""

    def settled() -> dict[tuple[str, str], float] | None:
        found = numbers(farm)
        told = [found["videos_ended_total", "completed"], found["workers", "idle"] == 2]
        told += [found["order_seconds_count", "finish"], found["store_seconds_count", "get"]]  # each comes by its way
        made = [value for (name, _), value in found.items() if name == "sections_total"]
        enough = found["store_seconds_count", "put"] >= 10  # request, input, marker, index, 5 leases, 5 commits …
        return found if all(told) and made and enough else None

    found = wait_for(settled, seconds=60, what="the numbers of the video's end")
    assert found["videos_ended_total", "completed"] == 1
    assert [found["videos", status] for status in ("queued", "in_progress", "paused")] == [0, 0, PAUSED]
    assert (found["workers", "idle"], found["workers", "busy"]) == (2, 0)
    leases = {stage: found["leases_total", stage] for stage in ("encode", "section", "decode", "finish")}
    assert leases == {"encode": 1, "section": SECTIONS, "decode": 1, "finish": 1}
    assert {stage: found["order_seconds_count", stage] for stage in leases} == leases
    assert all(found["order_seconds_spent_total", stage] > 0 for stage in leases)
    (made,) = [value for (name, _), value in found.items() if name == "sections_total"]
    assert made == SECTIONS
    assert not [name for name, _ in found if name in {"store_errors_total", "failures_total", "leases_lost_total"}]


def test_a_watcher_is_counted_while_it_watches(farm: FarmProcess, video: str) -> None:
    """The open streams of every ingress show on the page, and are gone from it afterwards."""
    paused = farm.http.post("/v1/videos", data=FIELDS | {"prompt": "another", "model": "tiny-f1", "seconds": "60"})
    assert paused.status_code == 200, paused.text
    other = paused.json()["id"]
    assert farm.http.post(f"/v1/videos/{other}/pause").status_code == 200

    def watchers(number: int) -> bool | None:
        return True if numbers(farm)["watchers", ""] == number else None

    with contextlib.ExitStack() as streams:
        kept = []  # httpx closes a stream with its iterator
        for _ in range(WATCHERS):
            stream = streams.enter_context(farm.http.stream("GET", f"/v1/videos/{other}/events"))
            kept.append(stream.iter_lines())
            next(kept[-1])
        wait_for(lambda: watchers(WATCHERS), seconds=30, what="the watchers on the page")
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


def patiently(farm: FarmProcess, method: str, path: str, **options: Any) -> httpx.Response:
    """Ask until the farm itself answers: while the ingresses are away, nobody does."""

    def answer() -> httpx.Response | None:
        try:
            found = farm.http.request(method, path, **options)
        except httpx.TransportError:
            return None
        return found if found.status_code < 500 else None

    return wait_for(answer, seconds=60, what="the ingress")


def events(farm: FarmProcess, video: str, after: str | None, *, kill: bool) -> list[Event]:
    """One connection to the stream, from behind `after` until it ends or breaks.

    kill: SIGKILL every ingress at the first section, and read no further: the end may be on its way already.
    """
    headers, seen = {"Last-Event-ID": after} if after else {}, list[Event]()
    with (
        contextlib.suppress(httpx.TransportError),
        farm.http.stream("GET", f"/v1/videos/{video}/events", headers=headers) as stream,
    ):
        for event in read_events(stream.iter_lines()) if stream.status_code == 200 else ():
            seen.append(event)
            if kill and event.name == "section":
                for ingress in farm.actors("ServeReplica"):
                    ingress.kill()
                break
    return seen


def several(farm: FarmProcess) -> list[psutil.Process] | None:
    """The ingresses, once there is more than one."""
    found = farm.actors("ServeReplica")
    return found if len(found) > 1 else None


@pytest.mark.parametrize(
    ("fault", "seconds"),
    [("one frozen", 10), ("one killed", 10), ("all killed", 60)],  # frozen first: both are ready
)
def test_each_new_connection_is_answered(farm: FarmProcess, fault: str, seconds: float) -> None:
    """Without one ingress, the others take every connection; without any, connections wait for the next ingress."""
    ingresses = wait_for(lambda: several(farm), seconds=30, what="more than one ingress")
    hit = ingresses if fault == "all killed" else ingresses[:1]
    limits = httpx.Limits(max_keepalive_connections=0)
    with httpx.Client(base_url=farm.http.base_url, limits=limits, timeout=patient(seconds)) as http:
        try:
            for ingress in hit:
                if fault == "one frozen":
                    ingress.suspend()
                else:
                    ingress.kill()
            for _ in range(CONNECTIONS):
                assert http.get("/healthz").status_code == 200
        finally:
            for ingress in hit:
                with contextlib.suppress(psutil.NoSuchProcess):
                    ingress.resume()


def test_no_event_is_missed_when_the_ingress_dies(farm: FarmProcess, video: str) -> None:
    """SIGKILL every ingress in the middle of a video: Last-Event-ID, keys and pages go on where they were."""
    fields, key = FIELDS | {"model": "tiny-f1", "num_inference_steps": "20"}, {"Idempotency-Key": "restart"}
    batch = farm.http.post("/v1/videos", data=fields | {"n": "2"}).json()["batch"]
    page = farm.http.get("/v1/videos", params={"batch": batch["id"], "limit": 1}).json()
    made = farm.http.post("/v1/videos", data=fields | {"priority": "10"}, headers=key).json()["id"]
    seen = events(farm, made, None, kill=True)
    assert any(event.name == "section" for event in seen)
    assert seen[-1].name != "end"
    more = {"batch": batch["id"], "limit": 1, "after": page["last_id"]}
    rest = patiently(farm, "GET", "/v1/videos", params=more).json()
    assert {each["id"] for each in page["data"] + rest["data"]} == set(batch["videos"])
    again = patiently(farm, "POST", "/v1/videos", data=fields | {"priority": "10"}, headers=key)
    assert again.json()["id"] == made
    until = time.monotonic() + patient(120)
    while seen[-1].name != "end":
        assert time.monotonic() < until
        seen += events(farm, made, seen[-1].id, kill=False)
    assert seen[-1].data["status"] == "completed"
    whole = [*read_events([*patiently(farm, "GET", f"/v1/videos/{made}/events").text.splitlines(), ""])]
    assert [event for event in seen if event.name in DURABLE] == [event for event in whole if event.name in DURABLE]
    for other in batch["videos"]:
        patiently(farm, "POST", f"/v1/videos/{other}/cancel")


def test_one_stream_of_everything_outlives_ingress_and_dispatcher(farm: FarmProcess, video: str) -> None:
    """SIGKILL each in the middle of a video: the client that follows everything still hears how the video ends."""
    with FarmClient(str(farm.http.base_url), patience_s=patient(60)) as client:
        stream = client.events()
        hello = next(stream)
        assert (hello.name, hello.data["counts"]["paused"] >= PAUSED) == ("hello", True)
        until = time.monotonic() + patient(120)
        for victim in ("ServeReplica", "DispatcherActor"):
            fields = FIELDS | {"model": "tiny-f1", "num_inference_steps": "20", "priority": "10"}
            made = patiently(farm, "POST", "/v1/videos", data=fields).json()["id"]
            status, killed = "queued", False
            while status != "completed":
                assert time.monotonic() < until
                event = next(stream)
                if event.name == "reset":  # what a page does then
                    status = patiently(farm, "GET", f"/v1/videos/{made}").json()["status"]
                elif event.name == "video" and event.data["id"] == made:
                    status = event.data["status"]
                    if event.data["sections_done"] and not killed:
                        farm.actor(victim).kill()
                        killed = True
            assert killed
        stream.close()


@pytest.mark.filterwarnings("ignore:The Sora API:DeprecationWarning")  # of OpenAI's own server
def test_openais_package_makes_a_video(farm: FarmProcess, video: str, tmp_path: Path) -> None:
    """Its create_and_poll, list, download_content, remix and delete, through a real ingress and a real worker."""
    with openai.OpenAI(base_url=f"{farm.http.base_url}/v1", api_key="any", max_retries=0) as client:
        size, second = cast("VideoSize", "64x64"), cast("VideoSeconds", "1")  # more than the package's types name
        more = {"num_inference_steps": 2, "latent_window_size": 2, "model": "tiny-f1", "priority": 10}
        made = client.videos.create_and_poll(prompt="a cat looks up", seconds=second, size=size, extra_body=more)
        assert (made.status, made.progress, made.error) == ("completed", 100, None)
        client.videos.download_content(made.id).write_to_file(tmp_path / "cat.mp4")
        with av.open(str(tmp_path / "cat.mp4"), mode="r") as mp4:
            assert sum(1 for _ in mp4.decode(video=0)) == (made.model_extra or {})["frames"]
        remix = client.videos.remix(made.id, prompt="a dog looks up", extra_body={"seed": 8, "priority": 10})
        assert client.videos.poll(remix.id, poll_interval_ms=100).status == "completed"
        newest = next(iter(client.videos.list(limit=1)))
        assert (newest.id, newest.remixed_from_video_id) == (remix.id, made.id)
        assert [client.videos.delete(each).deleted for each in (made.id, remix.id)] == [True, True]


def test_two_gradio_scripts_render_at_once_and_an_ingress_may_die(farm: FarmProcess, tmp_path: Path) -> None:
    """Each worker has a client's video. Every ingress is killed before a client reads its stream; it hears the end."""
    fill_folder(tmp_path)
    one, two = join(farm, tmp_path, "one", SHORT), join(farm, tmp_path, "two", ENDLESS)

    def at_once() -> bool | None:
        workers = farm.http.get("/v1/workers").json().get("data", [])  # without one, no dispatcher answers just now
        busy = {worker["video"] for worker in workers}
        return True if {one, two} <= busy else None

    wait_for(at_once, seconds=60, what="both videos on workers")
    for ingress in farm.actors("ServeReplica"):
        ingress.kill()
    told: list[dict[str, Any]] = []
    reader = threading.Thread(target=lambda: told.extend(messages(farm, "one")))
    reader.start()
    wait_for(lambda: True if told else None, seconds=60, what="an ingress that answers")
    assert wait_for(lambda: cancelled(farm, two), seconds=60, what="an answer to the cancel") == {"success": True}
    reader.join()
    assert {message.get("event_id") for message in told} == {one, None}
    assert [message["msg"] for message in told][-2:] == ["process_completed", "close_stream"]
    video = told[-2]["output"]["data"][0]["video"]
    (tmp_path / "video.mp4").write_bytes(farm.http.get(f"{API}/file={video['path']}").raise_for_status().content)
    assert frames(tmp_path / "video.mp4") == 73
    (last,) = list(messages(farm, "two"))[-2:-1]
    assert last["output"] == {"error": "the video was cancelled"}


def test_a_damaged_store_is_mended_beside_the_farm(farm: FarmProcess, video: str) -> None:
    """Every object of a finished video is gone or damaged: after `fsck --repair`, workers make the same bits."""
    jobs = Jobs(FolderStore(farm.storage))
    before = named(jobs, video)
    damage_all(farm.storage, (key for key, _ in before.values()))
    assert farm.http.get(f"/v1/videos/{video}/content").status_code in {200, 409}
    assert cli.main(["fsck", "--storage", str(farm.storage), "--repair"]) == 0
    for wish in ("pause", "resume"):  # a call tells the dispatcher at once; else it finds it at its next sweep
        assert patiently(farm, "POST", f"/v1/videos/{video}/{wish}").status_code == 200

    def mended() -> str | None:
        state = farm.http.get(f"/v1/videos/{video}").json()
        assert state["status"] not in {"failed", "cancelled"}, state["error"]
        return video if state["status"] == "completed" else None

    wait_for(mended, seconds=120, what="the video's second end")
    assert digests(jobs, video) == {name: digest for name, (_, digest) in before.items()}
    assert cli.main(["fsck", "--storage", str(farm.storage)]) == 0


async def test_a_small_load_meets_no_error(farm: FarmProcess) -> None:
    """The short form of `framefarm bench farm`: each video is accepted or told to wait, no stream breaks."""
    found = await press(str(farm.http.base_url), Load(watchers=20, pages=PAGES_OPEN, posts_per_s=POSTS / 5, seconds=5))
    assert found.errors == {}
    assert found.accepted + found.refused_429 == POSTS
    assert found.accepted == len(found.post_ms) > 0
    assert found.streams >= found.most_streams > 0
    assert found.events >= found.streams
    assert found.list_ms
    assert found.pages_open == PAGES_OPEN
    assert len(found.page_lag_ms) >= PAGES_OPEN * found.accepted
    assert found.row()["errors"] == 0
    one = await watch_one(str(farm.http.base_url), watchers=20)
    assert one.errors == {}
    assert one.events >= 20 * 4  # resumed, leased, a section, the end
    assert one.lag_ms
    rows = await read_lists(str(farm.http.base_url), readers=10, seconds=0.3, errors=found.errors)
    assert found.errors == {}
    assert [row["page"] for row in rows if row["per_s"] > 0] == list(PAGES)


def test_a_quiet_farm_is_measured(farm: FarmProcess) -> None:
    """The figures that `framefarm bench farm` shows before its load."""
    url = str(farm.http.base_url)
    assert all(value > 0 for value in measure_calls(url).values())
    stored = measure_storage(url, farm.storage)
    assert stored["between_orders_ms"] > 0
    assert stored["commit_ms"] > 0
    assert stored["fsyncs_a_post"] == 13  # docs/reference/measurements.md
    assert 15 <= stored["objects_a_video"] <= 30
    memory = measure_memory(url)
    assert memory["videos_listed"] > BEFORE
    assert memory["ingress_mib"] > 50


def test_a_killed_command_leaves_nothing(farm: FarmProcess) -> None:
    """SIGKILL the command that the user typed: all that it started ends, and its port is free. The last test here."""
    left = farm.processes()[1:]
    farm.process.kill()
    farm.process.wait()
    wait_for(lambda: not any(map(alive, left)) or None, seconds=20, what="the end of its processes")
    assert left

    def is_free() -> bool | None:
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", farm.http.base_url.port or 0)):
            return True
        return None

    wait_for(is_free, seconds=20, what="the farm's port")
