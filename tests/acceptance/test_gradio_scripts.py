"""The forks' gradio scripts against a whole farm of two ingresses and two workers; test_watched_farm.py kills one."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.farm_process import FarmProcess, running_farm
from tests.script_client import CLIENTS, fill_folder, frames, report

pytestmark = [pytest.mark.acceptance]


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
