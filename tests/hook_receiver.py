"""A receiver of webhooks on a real port of this machine; a test decides how it answers."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple

from standardwebhooks import Webhook
from typing_extensions import override

from tests.patience import patient, wait_for

SECRET = "whsec_bm90IGEgc2VjcmV0LCBvbmx5IGFuIGV4YW1wbGU="
OTHER_SECRET = "whsec_YW5vdGhlciB0aGF0IGlzIG5vIHNlY3JldCBlaXRoZXI="


class Post(NamedTuple):
    """A received request."""

    path: str
    headers: dict[str, str]
    body: bytes

    def verified(self, secret: str = SECRET) -> Any:
        """Verify the event with the library that receivers use. Raises: WebhookVerificationError."""
        return Webhook(secret).verify(self.body, self.headers)


class HookReceiver:
    """Answers with the statuses in `script`, one for each POST, then with 204; 0 means no answer. Keeps every POST."""

    def __init__(self) -> None:
        self.posts: list[Post] = []
        self.script: list[int] = []
        self.location = ""  #: of a redirect
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self.port: int = self._server.server_address[1]
        self.closed = threading.Event()
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    @property
    def url(self) -> str:
        """Return the receiver's URL, with a secret in its path."""
        return f"http://127.0.0.1:{self.port}/told/path-token"

    def close(self) -> None:
        """Close open connections and stop listening."""
        self.closed.set()
        self._server.shutdown()
        self._server.server_close()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                status = receiver.script.pop(0) if receiver.script else 204
                receiver.posts.append(
                    Post(self.path, {name.lower(): value for name, value in self.headers.items()}, body)
                )
                if status == 0:
                    receiver.closed.wait(patient(20))
                    return
                self.send_response(status)
                if receiver.location:
                    self.send_header("location", receiver.location)
                self.send_header("content-length", "0")
                self.end_headers()

            @override
            def log_message(self, format: str, *args: object) -> None:
                pass

        return Handler

    def wait(self, number: int, *, seconds: float) -> list[Post]:
        """Wait until there are `number` POSTs, and return them."""
        wait_for(lambda: len(self.posts) >= number or None, seconds=seconds, what=f"{number} webhooks")
        return self.posts


@contextmanager
def hook_receiver() -> Iterator[HookReceiver]:
    """Run a receiver while the context lasts."""
    receiver = HookReceiver()
    try:
        yield receiver
    finally:
        receiver.close()
