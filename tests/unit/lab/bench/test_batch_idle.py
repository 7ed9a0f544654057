"""`framefarm bench batch` reads a ledger's times, and its door counts requests."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import pytest

from farm.ledger import Entry
from farm.ledger.states import Event, JobState
from lab.bench.batch_idle import idleness, pace
from lab.bench.door import opened


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


def test_the_door_counts_requests_and_changes_nothing() -> None:
    """Several on one connection, with a body; a body's words are no request."""

    class Echo(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            data = self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(200)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Echo)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        with opened(f"http://127.0.0.1:{server.server_address[1]}") as door, httpx.Client(base_url=door.url) as http:
            for number in range(3):
                assert http.post(f"/{number}", json={"text": "a GET /x HTTP/1.1"}).json() == {
                    "text": "a GET /x HTTP/1.1"
                }
            assert [line for _, line in door.requests] == ["POST /0", "POST /1", "POST /2"]
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
