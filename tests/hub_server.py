"""A hub on loopback: serves folders by the part of huggingface.co's API that its own client uses."""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

_LARGE = (".safetensors",)  #: kept by sha256, as the hub keeps them; other files by git's object id
_PIECE = 1 << 16


class HubServer(ThreadingHTTPServer):
    """Repositories are `root/owner/name`; every revision of one is the same. Faults are set between requests."""

    daemon_threads = True

    def __init__(self, root: Path) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.root = root
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        self.asked: list[tuple[str, int]] = []  #: path and first byte of each GET of a file
        self.stall: tuple[str, int] | None = None  #: a file's name, and after how many bytes it stops coming
        self.stalled = threading.Event()
        self.damage = ""  #: a file's name: it is sent with other bytes than announced

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes away is no news: tests kill them."""


@contextmanager
def hub(root: Path) -> Iterator[HubServer]:
    """Serve `root` as long as the context lasts."""
    server = HubServer(root)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.stalled.set()
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    server: HubServer
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """Metadata of a repository, its tree, or a file."""
        path = unquote(urlsplit(self.path).path)
        if match := re.fullmatch(r"/api/models/([^/]+/[^/]+)/(revision|tree)/([^/]+)", path):
            self._describe(match[1], match[2], match[3])
        elif match := re.fullmatch(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", path):
            self._send_file(match[1], match[2], match[3])
        else:
            self.send_error(404)

    do_HEAD = do_GET  # noqa: N815 - its base's name

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its base's name
        """Nothing."""

    def _describe(self, repo: str, what: str, revision: str) -> None:
        root = self.server.root / repo
        if not root.is_dir():
            self.send_error(404)
            return
        files = sorted(path for path in root.rglob("*") if path.is_file())
        described = [_describe(path, str(path.relative_to(root))) for path in files]
        if what == "tree":
            entries = [{"type": "file", "path": one["rfilename"], "oid": one["blobId"], **one} for one in described]
            self._send_json(
                [
                    {**one, "lfs": {**one["lfs"], "oid": one["lfs"]["sha256"]}} if "lfs" in one else one
                    for one in entries
                ]
            )
        else:
            self._send_json({"id": repo, "modelId": repo, "sha": _commit(revision), "siblings": described})

    def _send_json(self, value: object) -> None:
        data = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(data)

    def _send_file(self, repo: str, revision: str, name: str) -> None:
        path = self.server.root / repo / name
        if not path.is_file():
            self.send_error(404)
            return
        facts, data = _describe(path, name), path.read_bytes()
        begin = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        first = int(begin[1]) if begin else 0
        if self.command == "GET":
            self.server.asked.append((name, first))
            if path.name == self.server.damage:
                data = bytes(len(data))
        self.send_response(206 if begin else 200)
        self.send_header("ETag", f'"{facts["lfs"]["sha256"] if "lfs" in facts else facts["blobId"]}"')
        self.send_header("X-Repo-Commit", _commit(revision))
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Length", str(len(data) - first))
        if begin:
            self.send_header("Content-Range", f"bytes {first}-{len(data) - 1}/{len(data)}")
        self.end_headers()
        if self.command == "GET":
            self._send_bytes(path.name, data[first:])

    def _send_bytes(self, name: str, data: bytes) -> None:
        for begin in range(0, len(data), _PIECE):
            if self.server.stall and self.server.stall[0] == name and begin >= self.server.stall[1]:
                self.wfile.flush()
                self.server.stalled.set()
                self.connection.settimeout(60)
                self.connection.recv(1)  # until the client is gone
                return
            self.wfile.write(data[begin : begin + _PIECE])


def _describe(path: Path, name: str) -> dict[str, Any]:
    data = path.read_bytes()
    git = hashlib.sha1(f"blob {len(data)}\0".encode() + data, usedforsecurity=False).hexdigest()
    facts: dict[str, Any] = {"rfilename": name, "size": len(data), "blobId": git}
    if path.suffix in _LARGE:
        facts["lfs"] = {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data), "pointerSize": 130}
    return facts


def _commit(revision: str) -> str:
    return revision if re.fullmatch(r"[0-9a-f]{40}", revision) else "f" * 40
