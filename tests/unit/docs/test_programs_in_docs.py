"""Programs of docs/how-to/from-a-program.md that the other tests of the documents do not run: Node, and the proxies."""

from __future__ import annotations

import base64
import contextlib
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.imports import ROOT
from tests.patience import patient
from tests.s3_servers import free_ports
from tests.unit.conftest import Hand
from tests.unit.docs.test_python_in_docs import worker

_TEXT = (ROOT / "docs/how-to/from-a-program.md").read_text()
PROGRAMS = dict(re.findall(r'^```\w+ title="([\w.]+)"\n(.*?)^```', _TEXT, re.DOTALL | re.MULTILINE))
CAT = ROOT / "examples/cat.jpg"

needs_node = pytest.mark.skipif(shutil.which("node") is None, reason="there is no Node here")


@contextlib.contextmanager
def running(name: str, folder: Path, farm_url: str) -> Iterator[httpx.Client]:
    """A proxy in a process of its own, as its page says to run it, with a client of it."""
    (folder / name).write_text(PROGRAMS[name])
    port = str(free_ports(1))
    command = (
        ["node", name] if name.endswith(".mjs") else [sys.executable, "-m", "uvicorn", "proxy:app", "--port", port]
    )
    env = {**os.environ, "FARM_URL": farm_url, "FARM_API_KEY": "a-key", "PORT": port, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(command, cwd=folder, env=env)
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=patient(20)) as client:
            until = time.monotonic() + patient(20)
            while True:
                try:
                    client.get("/videos/none")
                except httpx.TransportError:
                    assert process.poll() is None
                    assert time.monotonic() < until
                    time.sleep(0.1)
                else:
                    break
            yield client
    finally:
        process.kill()
        process.wait()


@needs_node
def test_node_asks_and_fetches(farm_url: str, hand: Hand, tmp_path: Path) -> None:
    """Word for word: the photo goes as a data: URL, the mp4 lies in the folder."""
    (tmp_path / "ask.mjs").write_text(PROGRAMS["ask.mjs"])
    shutil.copy(CAT, tmp_path / "cat.jpg")
    with worker(hand, farm_url, after_an_edit=False):
        subprocess.run(["node", "ask.mjs"], cwd=tmp_path, env={**os.environ, "FARM_URL": farm_url}, check=True)
    assert (tmp_path / "cat.mp4").read_bytes() == b"mp4 bytes"


@pytest.mark.parametrize("name", [pytest.param("proxy.mjs", marks=needs_node), "proxy.py"])
def test_a_proxy_makes_a_video_without_showing_its_key(name: str, farm_url: str, hand: Hand, tmp_path: Path) -> None:
    """A page sends photo and prompt, asks how far it is, and gets a link that plays without a key."""
    assert len([line for line in PROGRAMS[name].splitlines() if line.strip()]) <= 45
    with running(name, tmp_path, farm_url) as page:
        if name == "proxy.py":
            asked = page.post("/videos", files={"photo": CAT.read_bytes()}, data={"prompt": "a cat"})
        else:
            photo = f"data:image/jpeg;base64,{base64.b64encode(CAT.read_bytes()).decode()}"
            asked = page.post("/videos", json={"photo": photo, "prompt": "a cat"})
        video_id = asked.json()["id"]
        assert page.get(f"/videos/{video_id}").json()["src"] is None
        hand.finish()
        seen = page.get(f"/videos/{video_id}").json()
        assert page.get("/videos/none").status_code == 404
        assert page.put("/videos").status_code == 405
        assert page.post("/videos", content="no JSON").status_code in {400, 422}
        if name == "proxy.py":
            refused = page.post("/videos", files={"photo": b"none"}, data={"prompt": "a cat"})
        else:
            refused = page.post("/videos", json={"photo": "data:image/jpeg;base64,AAAA", "prompt": "a cat"})
        assert refused.status_code in {415, 422}
        assert refused.json()["detail"]
        assert page.get(f"/videos/{video_id}").status_code == 200  # it goes on
    assert (seen["status"], seen["percent"]) == ("completed", 100)
    assert "a-key" not in str(seen)
    assert httpx.get(seen["src"]).content == b"mp4 bytes"
