"""gradio's own clients against the real engine, behind two ingresses in turn: no call finds what the one before left.

One program holds the scripts of FramePack's and its forks' users (tests/clients); every version of the client runs it.
"""

from __future__ import annotations

import itertools
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from starlette.types import Receive, Scope, Send

from deploy.planner import EngineMedia, EnginePlanner
from farm.ingress import create_app
from farm.jobs import Jobs, Record
from farm.request import VideoRequest
from farm.settings import FarmSettings
from farm.store import FolderStore
from tests.engine_worker import working
from tests.imports import ROOT
from tests.script_client import CLIENTS, fill_folder, frames, report, run
from tests.unit.conftest import DispatcherHere, Hand, serving

HINTS = ["Starting ...", "Text encoding ...", "Image processing ...", "VAE encoding ...", "CLIP Vision encoding ..."]
OLDER = {version: ROOT / ".clients" / f"gradio-{version}" / "bin" / "python" for version in ("1.14.0", "1.8.0")}
HAS_CLIENTS = "TEST_CLIENTS" in os.environ or all(path.exists() for path in OLDER.values())
NEEDS_CLIENTS = pytest.mark.skipif(not HAS_CLIENTS, reason="needs Node and `make clients`")


class InTurn:
    """Two ingresses of one farm; each request goes to the other one than the request before."""

    def __init__(self, store: FolderStore, door: DispatcherHere) -> None:
        """They share the store and the dispatcher, and nothing else."""
        settings = FarmSettings(model="tiny", max_upload_mb=4)
        self.apps = [
            create_app(settings=settings, jobs=Jobs(store), door=door, planner=EnginePlanner(), media=EngineMedia())
            for _ in range(2)
        ]
        self._turns = itertools.cycle(self.apps)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        app = next(self._turns) if scope["type"] == "http" else self.apps[0]
        await app(scope, receive, send)


@pytest.fixture
def farm(store: FolderStore, door: DispatcherHere, hand: Hand, tiny_cache: Path) -> Iterator[str]:
    """A farm of two ingresses and two workers; its address."""
    with (
        working(hand, tiny_cache, workers=2),
        TestClient(InTurn(store, door)) as clients,
        serving(clients) as port,
    ):
        yield f"http://127.0.0.1:{port}"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two pictures and one that is none, with a text beside each."""
    fill_folder(tmp_path)
    return tmp_path


class Asked:
    """The videos that a client asked for, by their prompts."""

    def __init__(self, jobs: Jobs) -> None:
        """Read them from the store."""
        ids = sorted({key.split("/")[1] for key in jobs.store.list("jobs/")})
        records = [jobs.get(job_id, owner="local") for job_id in ids]
        self._of = {record.job.request.prompt: record for record in records}
        self.prompts = sorted(self._of)

    def record(self, prompt: str) -> Record:
        """Return the video."""
        return self._of[prompt]

    def request(self, prompt: str) -> VideoRequest:
        """Return what the farm took the call for."""
        return self._of[prompt].job.request

    def name(self, prompt: str) -> str:
        """Return the name that the client's file must have."""
        return f"{self._of[prompt].job.id}.mp4"

    def status(self, prompt: str) -> str:
        """Return the video's state."""
        return self._of[prompt].head.state.status


def test_all_scripts_come_home_with_their_videos(farm: str, folder: Path, jobs: Jobs) -> None:
    """By name, by position, in a loop, in pairs, chained, with keyframes, at once; ended, cancelled, refused."""
    found = report(sys.executable, CLIENTS / "gradio_calls.py", farm, folder)
    asked = Asked(jobs)
    loop = ["the text of a", "the text of b"]
    chain = [f"part {number}" for number in range(4)]
    assert asked.prompts == sorted(
        ["", "by name", "cancelled", "ends", "hands", "one", "two", "yields", *loop, *chain]
    )  # nothing is stored of what was refused
    check_framepack(found, asked)
    check_nirvash(found, asked)
    check_refusals(found)
    check_threads(found, asked)
    copied = ["framepack", "loop-a", "loop-b", "pair", "nirvash", "suparious", "thread-one", "thread-two"]
    copied += [f"chain-{number}" for number in range(4)]
    lengths = {name: frames(folder / f"{name}.mp4") for name in copied}
    assert lengths == dict.fromkeys(copied, 37) | {"nirvash": 33}

    assert [found["loop"][name] for name in ("a.png", "b.png")] == [asked.name(prompt) for prompt in loop]
    assert "input_image: " in found["loop"]["broken.png"]
    assert found["pair"] == asked.name("")
    assert set(asked.record("").job.inputs) == {"start", "end"}
    assert found["chain"] == [asked.name(prompt) for prompt in chain]

    hands = asked.request("hands")
    assert (hands.cache_threshold, hands.flow_exponent, hands.crf) == (0.1, 1.25, 51)
    values = [output.get("value") for output in found["preset"]]
    assert values[5:] == [35, None, 14.0, None, 8, False, True, "hand_detail", None]
    assert found["suparious"] == asked.name("hands")
    assert found["cancel"] == [True, asked.record("cancelled").job.id]
    assert asked.status("cancelled") == "cancelled"


def test_the_script_of_the_page_runs(farm: str, tmp_path: Path) -> None:
    """docs/how-to/gradio-scripts.md shows it; only the farm has another port here."""
    page = (ROOT / "docs" / "how-to" / "gradio-scripts.md").read_text()
    script = page.partition("```python\n")[2].partition("```")[0]
    assert "http://localhost:7860/" in script
    shutil.copy(ROOT / "examples" / "cat.jpg", tmp_path)
    (tmp_path / "script.py").write_text(script.replace("http://localhost:7860", farm))
    run(sys.executable, "script.py", folder=tmp_path)
    assert frames(tmp_path / "cat.mp4") == 37


@NEEDS_CLIENTS
@pytest.mark.parametrize("version", ["1.8.0", pytest.param("1.14.0", marks=pytest.mark.long)])
def test_older_clients_understand_the_same(farm: str, folder: Path, jobs: Jobs, version: str) -> None:
    """The versions differ in reading results, yields with their edits, errors, and calls in one stream."""
    calls = ("framepack", "nirvash", "refusals", "threads")
    found, asked = report(OLDER[version], CLIENTS / "gradio_calls.py", farm, folder, *calls), Asked(jobs)
    assert asked.prompts == ["by name", "ends", "one", "two", "yields"]
    check_framepack(found, asked)
    check_nirvash(found, asked)
    check_refusals(found)
    check_threads(found, asked)


def check_framepack(found: dict[str, Any], asked: Asked) -> None:
    """Check FramePack's own script: its four outputs, and what the farm took its values for."""
    name, *rest = found["framepack"]
    assert name == asked.name("by name")
    assert rest == [{"visible": False, "__type__": "update"}, {"__type__": "update"}, ""]
    request = asked.request("by name")
    assert (request.seed, request.cache, request.cache_threshold, request.crf) == (31337, "teacache", 0.15, 16)
    assert (request.save_frames, request.flow_exponent, request.preserve_gb) == ("none", 1.0, None)


def check_nirvash(found: dict[str, Any], asked: Asked) -> None:
    """Check keyframes, yields and the drawn seed."""
    record = asked.record("yields")
    seed = record.job.request.seed
    assert set(record.job.inputs) == {"start", "end", "keyframe_0", "keyframe_1"}
    assert record.job.request.save_frames == "borders"
    assert found["nirvash"]["seed"] == seed != 7
    check_yields(found["nirvash"]["yields"], record.job.id, seed=seed)
    assert 0 <= found["drawn"] < 2**32


def check_refusals(found: dict[str, Any]) -> None:
    """Check that each error names its parameter."""
    texts = {
        "no image": "input_image, here input_reference: the model tiny needs a start image",
        "unknown file": "input_image, here input_reference: no such file",
        "path": "input_image: '/etc/passwd' is no uploaded file",
        "window": "latent_window_size: need at most 33",
        "seed": "seed: need at least -1",
        "text": "steps: need a whole number",
        "long": "total_second_length: need at most 120",
        "prompt": "n_prompt, here negative_prompt: need at most 4000 characters",
    }
    assert {name: text for name, text in texts.items() if text not in found["refused"][name]} == {}


def check_threads(found: dict[str, Any], asked: Asked) -> None:
    """Check that each of three clients at once got its own, and ended only its own."""
    assert [found["threads"][name] for name in ("one", "two")] == [asked.name("one"), asked.name("two")]
    assert "the video was cancelled" in found["threads"]["ends"]
    assert found["ended"] == []
    assert [asked.status(name) for name in ("one", "two", "ends")] == ["completed", "completed", "cancelled"]


def check_yields(yields: list[list[Any]], video: str, *, seed: int | None) -> None:
    """Check all rows of a video of two sections in two steps: their order, texts, files and the seed beside them."""
    blank, *rest = yields
    assert blank == [None, None, "", "", seed]
    assert all(row[4] == seed for row in rest)
    assert [row[3].rpartition("<span>")[2].removesuffix("</span>") for row in rest[:6]] == [
        *HINTS,
        "Start sampling ...",
    ]
    steps, whole = rest[6:-2], rest[-2:]
    shown = [row[3].rpartition("<span>")[2].removesuffix("</span>") for row in steps]
    assert shown == ["Sampling 1/2", "Sampling 2/2"] * 2
    lengths = [(0, "0.00")] * 2 + [(13, "0.43")] * 2
    assert [row[2] for row in steps] == [
        f"Total generated frames: {count}, Video length: {length} seconds (FPS-30). The video is being extended now ..."
        for count, length in lengths
    ]
    preview = Path(steps[2][1]["value"])
    assert preview.name == f"{video}.1.png"
    assert [Path(row[0]["video"]).name for row in whole] == [f"{video}.2.mp4", f"{video}.mp4"]


@NEEDS_CLIENTS
def test_javascript_comes_home_with_its_videos(farm: str, folder: Path, jobs: Jobs) -> None:
    """By name and by position, with the yields; ended, cancelled, refused. JavaScript sees the buttons, too."""
    found, asked = report("node", CLIENTS / "gradio_calls.mjs", farm, folder / "a.png"), Asked(jobs)
    assert found["outputs"][0]["video"]["path"] == f"videos/{asked.name('in JavaScript')}"
    assert found["bytes"] > 1000
    assert len(found["outputs"]) == 6
    assert [len(row) for row in found["yields"]] == [7] * 11  # blank, hints, a step, the section's file, whole, answer
    assert found["yields"][-1][0]["video"]["path"] == f"videos/{asked.name('by position')}"
    assert "input_reference: the model tiny needs a start image" in found["refused"]
    assert found["ended"] == []
    assert found["cancelled"] == asked.record("cancelled").job.id
    assert asked.status("cancelled") == "cancelled"
