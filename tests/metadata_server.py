"""The metadata services of three clouds, as their documentation describes them, on an address of the test's.

In a test's process, use `MetadataServer`. On a host of its own, run `python -m tests.metadata_server ADDRESS FILE LOG`:
the state is read from FILE at each request, and each request is a line of LOG.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from typing_extensions import override

AWS_TOKEN = "/latest/api/token"
SPOT = "/latest/meta-data/spot/instance-action"
LIFECYCLE = "/latest/meta-data/autoscaling/target-lifecycle-state"
REBALANCE = "/latest/meta-data/events/recommendations/rebalance"
PREEMPTED = "/computeMetadata/v1/instance/preempted"
EVENTS = "/metadata/scheduledevents"
NAME = "/metadata/instance/compute/name"


@dataclass(frozen=True)
class State:
    """The service's answers. items: path -> text; a path without a text gets 404."""

    cloud: str
    items: dict[str, str] = field(default_factory=dict)
    fault: str = ""  #: "503", "hang" or "" for all requests
    token: str = "t1"  #: the only one that AWS takes


class _Handler(BaseHTTPRequestHandler):
    """One request."""

    protocol_version = "HTTP/1.1"
    server: MetadataServer

    @override
    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""

    def _do(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        self.server.heard(f"{self.command} {self.path} {body.decode()}".strip())
        state = self.server.state()
        if state.fault == "hang":
            self.server.over.wait(600)
            self.close_connection = True
            return
        if state.fault:
            self._answer(int(state.fault), "")
            return
        url = urlsplit(self.path)
        cloud: Callable[[State, str, dict[str, str]], tuple[int, str]] = getattr(self, f"_{state.cloud}")
        query = {name: values[-1] for name, values in parse_qs(url.query).items()}
        self._answer(*cloud(state, url.path, query))

    do_GET = do_PUT = do_POST = _do  # noqa: N815 - http.server's names

    def _answer(self, status: int, text: str) -> None:
        data = text.encode()
        self.send_response(status)
        self.send_header("content-length", str(len(data)))
        if self.server.state().cloud == "gcp":
            self.send_header("metadata-flavor", "Google")
            self.send_header("etag", _etag(text))
        self.end_headers()
        self.wfile.write(data)

    def _aws(self, state: State, path: str, _: dict[str, str]) -> tuple[int, str]:
        headers: Message = self.headers
        if path == AWS_TOKEN:
            is_asked = self.command == "PUT" and "x-aws-ec2-metadata-token-ttl-seconds" in headers
            return (200, state.token) if is_asked else (400, "")
        if headers.get("x-aws-ec2-metadata-token") != state.token:
            return 401, ""
        return _found(state, path)

    def _gcp(self, state: State, path: str, query: dict[str, str]) -> tuple[int, str]:
        if self.headers.get("metadata-flavor") != "Google":
            return 403, ""
        until = time.monotonic() + int(query.get("timeout_sec", 0))
        waits = query.get("wait_for_change") == "true"
        while waits and _etag(_found(self.server.state(), path)[1]) == query.get("last_etag"):
            if time.monotonic() > until or self.server.over.wait(0.02):
                break
        return _found(self.server.state(), path)

    def _azure(self, state: State, path: str, query: dict[str, str]) -> tuple[int, str]:
        if self.headers.get("metadata") != "true" or "api-version" not in query:
            return 400, '{"error": "Bad request: Required metadata header not specified"}'
        return (200, "") if self.command == "POST" and path == EVENTS else _found(state, path)


def _found(state: State, path: str) -> tuple[int, str]:
    return (200, state.items[path]) if path in state.items else (404, "")


def _etag(text: str) -> str:
    return text.encode().hex()[:16] or "0"


class MetadataServer(ThreadingHTTPServer):
    """A service that does as `state` says, and keeps what it was asked."""

    daemon_threads = True

    def __init__(self, state: Callable[[], State], address: str = "127.0.0.1", port: int = 0) -> None:
        """Listen; serve in a thread of its own, until `close`."""
        super().__init__((address, port), _Handler)
        self.state, self.asked, self.over = state, list[str](), threading.Event()
        self.heard: Callable[[str], object] = self.asked.append
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()

    @property
    def base(self) -> str:
        """Its address, as the clouds' classes take it."""
        return f"http://127.0.0.1:{self.server_port}"

    @override
    def handle_error(self, request: Any, client_address: Any) -> None:
        """Pass over a client that did not wait for its answer."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)

    def close(self) -> None:
        """Answer nobody any more."""
        self.over.set()
        self.shutdown()
        self.server_close()


def main(address: str, file: str, log: str) -> None:
    """Serve on port 80 as the file says; say `up`."""

    def state() -> State:
        return State(**json.loads(Path(file).read_text()))

    with Path(log).open("a", buffering=1) as lines:
        server = MetadataServer(state, address, 80)
        server.heard = lambda line: lines.write(f"{line}\n")
        sys.stdout.write("up\n")
        sys.stdout.flush()
        server.over.wait()


if __name__ == "__main__":
    main(*sys.argv[1:])
