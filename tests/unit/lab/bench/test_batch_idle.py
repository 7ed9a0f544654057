"""`framefarm bench batch` reads a ledger's times, and counts the requests of a command."""

from __future__ import annotations

import subprocess
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from deploy.commands.bench_batch import noting_requests, requests_in
from farm.ledger import Entry
from farm.ledger.states import Event, JobState
from lab.bench.batch_idle import idleness, pace
from tests.clean_env import clean_env


def video(*lines: tuple[float, Any, str | None, int]) -> list[Entry]:
    """Return entries: time, event, worker, attempt."""
    return [
        Entry(
            seq=seq,
            nonce="",
            epoch=1,
            at=at,
            event=Event.model_construct(name=name, worker=worker, attempt=attempt),
            state=JobState.model_construct(),
        )
        for seq, (at, name, worker, attempt) in enumerate(lines)
    ]


def test_a_worker_that_idles_while_a_video_waits_is_found() -> None:
    """The second video waits from 0 to 16. The worker ends the first at 10, and begins the second 6 s later."""
    first = video(
        (0, "accepted", None, 0), (1, "leased", "w", 1), (10, "committed", None, 1), (10, "completed", None, 0)
    )
    second = video((0, "accepted", None, 0), (16, "leased", "w", 1), (20, "committed", None, 1))
    found = idleness([first, second])
    assert (found["workers"], found["orders"], found["busy_s"]) == (1, 2, 13.0)
    assert found["idle_while_one_waits_s"] == pytest.approx(7)  # the first second, too
    assert (found["longest_idle_ms"], found["longest_idle_at_s"]) == (6000, 10)
    assert found["passed_over"] == 0


def test_a_worker_that_is_passed_over_is_found() -> None:
    """While the first worker idles and a video waits, the other begins two orders."""
    orders = [("w", 0, 1), ("v", 0, 2), ("v", 2, 3), ("v", 3, 4), ("w", 5, 6)]
    videos = [
        video((0, "accepted", None, 0), (begin, "leased", worker, 1), (end, "committed", None, 1))
        for worker, begin, end in orders
    ]
    assert idleness(videos)["passed_over"] == 2


def test_a_worker_without_a_video_that_waits_is_not_idle() -> None:
    """The second video comes at 15.9, after a pause in which there was none."""
    first = video((0, "accepted", None, 0), (0, "leased", "w", 1), (10, "committed", None, 1), (10, "leased", "w", 3))
    first += video((11, "completed", None, 0))
    second = video((15.9, "accepted", None, 0), (16, "leased", "v", 1), (20, "committed", None, 1))
    assert idleness([first, second])["idle_while_one_waits_s"] == pytest.approx(0.1)


def test_requests_are_counted_between_two_times() -> None:
    """A request a second for ten of 20 s."""
    assert pace([float(at) for at in range(10)], 0, 20)["steady_requests_per_s"] == 0.5


def test_a_commands_requests_are_noted(tmp_path: Path) -> None:
    """The command fails, because there is no such video; its request is in the log with its time."""

    class Farm(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = b'{"code": "not_found", "detail": "no video"}'
            self.send_response(404)
            self.send_header("Content-Type", "application/problem+json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Farm)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        url, log, begun = f"http://127.0.0.1:{server.server_address[1]}", tmp_path / "requests.log", time.time()
        command = [*noting_requests(log), "show", f"video_{0:032}", "--url", url]
        failed = subprocess.run(command, env=clean_env(), capture_output=True, text=True, check=False)
        assert failed.returncode == 2, failed.stderr
        [(at, request)] = requests_in(log)
        assert request == f"GET {url}/v1/videos/video_{0:032}"
        assert begun < at < time.time()
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
