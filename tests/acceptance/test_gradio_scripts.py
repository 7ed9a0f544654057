"""The forks' gradio scripts against a whole farm: two ingresses, two workers, and an ingress that dies."""

from __future__ import annotations

import contextlib
import json
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.farm_process import FarmProcess, running_farm
from tests.patience import wait_for
from tests.script_client import CLIENTS, fill_folder, frames, report

pytestmark = [pytest.mark.acceptance]
API = "/gradio_api"
SHORT = ["", "", 7, 2, 9, 40]  #: two sections of 40 steps
ENDLESS = ["", "", 7, 60, 9, 100]  #: so long that it is cancelled before it ends


@pytest.fixture(scope="module")
def farm(tmp_path_factory: pytest.TempPathFactory, tiny_cache: Path) -> Iterator[FarmProcess]:
    """A farm of two ingresses and two workers."""
    storage = tmp_path_factory.mktemp("gradio") / "storage"
    with running_farm(storage, cache=tiny_cache, workers=2, INGRESSES="2") as farm:
        yield farm


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The pictures of the scripts."""
    fill_folder(tmp_path)
    return tmp_path


def join(farm: FarmProcess, folder: Path, session: str, values: list[Any]) -> str:
    """Ask for a video as gradio's clients do; return its event."""
    (path,) = farm.http.post(f"{API}/upload", files={"files": (folder / "a.png").read_bytes()}).json()
    sent = {"data": [{"path": path}, *values], "fn_index": 0, "session_hash": session}
    event: str = farm.http.post(f"{API}/queue/join", json=sent).raise_for_status().json()["event_id"]
    return event


@pytest.mark.long  # tests/unit/farm/ingress/gradio/test_clients.py runs the same scripts on the engine without Ray
def test_a_script_of_each_fork_comes_home(farm: FarmProcess, folder: Path) -> None:
    """By name, in pairs, by position at each fork's door; three clients at once get and end their own."""
    url = str(farm.http.base_url).rstrip("/")
    calls = ("framepack", "pairs", "chain", "nirvash", "suparious", "threads")
    found = report(sys.executable, CLIENTS / "gradio_calls.py", url, folder, *calls)
    videos = {video["id"]: video for video in farm.http.get("/v1/videos", params={"limit": "100"}).json()["data"]}
    came = [found["framepack"][0], found["pair"], *found["chain"], found["nirvash"]["result"], found["suparious"]]
    came += [found["threads"][name] for name in ("one", "two")]
    done = sorted(f"{name}.mp4" for name, video in videos.items() if video["status"] == "completed")
    assert sorted(came) == done
    names = ["framepack", "pair", "nirvash", "suparious", *(f"chain-{n}" for n in range(4))]
    names += ["thread-one", "thread-two"]
    assert {name: frames(folder / f"{name}.mp4") for name in names} == dict.fromkeys(names, 37) | {"nirvash": 33}
    (ended,) = [video for video in videos.values() if video["status"] != "completed"]
    assert (ended["prompt"], ended["status"]) == ("ends", "cancelled")


def test_two_render_at_once_and_an_ingress_may_die(farm: FarmProcess, folder: Path) -> None:
    """Each worker has a client's video. Every ingress is killed before a client reads its stream; it hears the end."""
    one, two = join(farm, folder, "one", SHORT), join(farm, folder, "two", ENDLESS)

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
    (folder / "video.mp4").write_bytes(farm.http.get(f"{API}/file={video['path']}").raise_for_status().content)
    assert frames(folder / "video.mp4") == 73
    (last,) = list(messages(farm, "two"))[-2:-1]
    assert last["output"] == {"error": "the video was cancelled"}


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
