"""The mp4 in a real browser: Debian's Chromium, whose build has H.264, headless, on pages of this machine alone."""

from __future__ import annotations

import json
import os
import queue
import shutil
import signal
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from framepack_engine import Models, Renderer
from tests.engine_worker import Worker, made
from tests.patience import patient
from tests.unit.conftest import Hand

CHROMIUM = shutil.which("chromium")
pytestmark = [
    pytest.mark.usefixtures("one_thread"),
    pytest.mark.integration,
    pytest.mark.skipif(
        CHROMIUM is None and "TEST_CHROMIUM" not in os.environ, reason="no chromium here: `make browser` installs it"
    ),
]
FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--mute-audio"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    "--autoplay-policy=no-user-gesture-required",
)
PAGE = """<!doctype html><title>player</title><video id="v" src="%s" muted playsinline></video><script>
const v = document.getElementById("v"), seen = [];
const tell = (how) => fetch("/result", {method: "POST", body: JSON.stringify({
  how, seen, error: v.error && v.error.message, readyState: v.readyState, width: v.videoWidth, height: v.videoHeight,
  duration: v.duration, seekable: v.seekable.length ? v.seekable.end(0) : 0, time: v.currentTime,
  frames: v.getVideoPlaybackQuality().totalVideoFrames})});
let before = null;
v.addEventListener("timeupdate", () => { if (before === null) seen.push(v.currentTime); });
v.addEventListener("error", () => tell("error"));
v.addEventListener("ended", () => { before = v.currentTime; v.currentTime = 0.5; });
v.addEventListener("seeked", () => tell("seeked"));
v.play().catch((e) => tell("play: " + e));
</script>"""


class Stage:
    """A page that plays one address, and what the page says of it."""

    def __init__(self, video_url: str) -> None:
        """Serve the page on a free port of this machine."""
        self.results: queue.Queue[dict[str, Any]] = queue.Queue()
        stage = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200 if self.path == "/" else 404)
                self.send_header("Content-Type", "text/html")
                self.end_headers()
                self.wfile.write((PAGE % video_url).encode() if self.path == "/" else b"")

            def do_POST(self) -> None:
                stage.results.put(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                self.send_response(204)
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                """Say nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        self.thread.start()
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/"

    def close(self) -> None:
        """Stop serving."""
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


@pytest.fixture
def chromium(tmp_path: Path) -> Iterator[Any]:
    """Open a page in a browser of the test's own; the browser and its children are gone afterwards."""
    started: list[subprocess.Popen[bytes]] = []

    def open_page(url: str) -> None:
        assert CHROMIUM is not None, "TEST_CHROMIUM is set, but there is no chromium: `make browser`"
        command = [CHROMIUM, *FLAGS, f"--user-data-dir={tmp_path / 'profile'}", url]
        quiet = subprocess.DEVNULL
        started.append(subprocess.Popen(command, stdout=quiet, stderr=quiet, start_new_session=True))

    yield open_page
    for process in started:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def test_the_video_plays_in_chromium(
    http: TestClient, farm_url: str, hand: Hand, tiny_models: Models, chromium: Any
) -> None:
    """From the farm's own /content: it plays from the first frame to the last, in its size, and can be sought in."""
    path = made(http, Worker(hand, Renderer(tiny_models)), latent_window_size="9", seconds="1.2")
    stage = Stage(f"{farm_url}{path}/content")
    try:
        chromium(stage.url)
        found = stage.results.get(timeout=patient(60))
    finally:
        stage.close()
    assert (found["how"], found["error"]) == ("seeked", None)
    assert (found["width"], found["height"]) == (160, 96)
    assert found["readyState"] >= 2  # HAVE_CURRENT_DATA: the frame at the place that was sought is shown
    assert found["duration"] == pytest.approx(37 / 30, abs=0.001)
    assert found["seekable"] == pytest.approx(37 / 30, abs=0.001)
    assert found["time"] == pytest.approx(0.5, abs=0.05)
    times = found["seen"]
    assert times == sorted(times)
    assert times[-1] == pytest.approx(37 / 30, abs=0.05)
    assert found["frames"] >= 20  # a busy machine may drop some
