"""Real S3 servers for tests, and a relay that stands before one and loses answers as networks do."""

from __future__ import annotations

import contextlib
import http.client
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Literal, NamedTuple
from urllib.parse import urlsplit

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from typing_extensions import override

from farm.settings import FarmSettings
from farm.store import Store, open_store
from tests.imports import ROOT
from tests.patience import patient

BUCKET = "farm"
KEYS = {
    "AWS_ACCESS_KEY_ID": "testkey",
    "AWS_SECRET_ACCESS_KEY": "testsecret-6f1d",
    "AWS_REGION": "us-east-1",
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    "AWS_EC2_METADATA_DISABLED": "true",
}
#: volumes of 1 GiB as far as the disk goes, and neither Iceberg nor Lance
SEAWEEDFS = ("-s3", "-volume.max=0", "-master.volumeSizeLimitMB=1024", "-s3.port.iceberg=0", "-s3.port.lance=0")
#: runs a command; ends its whole process group once the process $1 is gone, so that no killed test run leaves a server
_WATCH = 'parent=$1; shift; "$@" & while kill -0 $parent && kill -0 $!; do sleep 1; done 2>/dev/null; kill -9 0'


@dataclass(frozen=True)
class Place:
    """Where a store lies; picklable, so that other processes open it too."""

    storage: str
    s3_endpoint: str | None = None

    def open(self) -> Store:
        """The store, as the farm opens it."""
        return open_store(FarmSettings(storage=self.storage, s3_endpoint=self.s3_endpoint))


def client(endpoint: str) -> Any:
    """A plain boto3 client: for buckets, and for what our own store would never do."""
    return boto3.client(
        "s3",
        endpoint_url=endpoint,
        aws_access_key_id=KEYS["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=KEYS["AWS_SECRET_ACCESS_KEY"],
        region_name="us-east-1",
        config=Config(retries={"total_max_attempts": 1}, s3={"addressing_style": "path"}),
    )


def free_ports(number: int) -> int:
    """The first of `number` free ports in a row on the loopback."""
    while True:
        with contextlib.ExitStack() as held:
            probe = held.enter_context(socket.socket())
            probe.bind(("127.0.0.1", 0))
            first: int = probe.getsockname()[1]
            try:
                for port in range(first + 1, first + number):
                    held.enter_context(socket.socket()).bind(("127.0.0.1", port))
            except (OSError, OverflowError):
                continue
            return first


@contextlib.contextmanager
def ministack(folder: Path) -> Iterator[str]:
    """The emulator, with an empty bucket; gives its endpoint."""
    with running_ministack(folder) as server:
        yield server.endpoint


@contextlib.contextmanager
def running_ministack(folder: Path) -> Iterator[Server]:
    """The emulator as a server that may be killed: it keeps what it acknowledged."""
    port = free_ports(1)
    settings = {
        "HOST": "127.0.0.1",
        "GATEWAY_PORT": str(port),
        "SERVICES": "s3",
        "IOT_MTLS_ENABLED": "0",
        "S3_PERSIST": "1",
        "S3_DATA_DIR": str(folder / "s3"),
        "STATE_DIR": str(folder / "state"),
        **KEYS,
    }
    with _serving([str(Path(sys.executable).with_name("ministack"))], settings, folder, port, seconds=30) as server:
        yield server


@contextlib.contextmanager
def ceph(folder: Path) -> Iterator[str]:
    """A Ceph gateway, with an empty bucket; gives its endpoint."""
    port = free_ports(3)
    script = Path(__file__).with_name("ceph_rgw.sh")
    keys = {"AK": KEYS["AWS_ACCESS_KEY_ID"], "SK": KEYS["AWS_SECRET_ACCESS_KEY"]}
    with _serving(["bash", str(script), str(folder), str(port)], keys, folder, port, seconds=180) as server:
        yield server.endpoint


def weed() -> str | None:
    """Return the path of SeaweedFS's program, which `make weed` installs; None without it."""
    return shutil.which("weed", path=f"{ROOT / '.clients' / 'weed' / 'bin'}:{os.environ['PATH']}")


@contextlib.contextmanager
def seaweedfs(folder: Path) -> Iterator[str]:
    """SeaweedFS, with an empty bucket; gives its endpoint."""
    program, first = weed(), free_ports(8)
    assert program is not None
    parts = [part + kind for part in ("s3", "master", "volume", "filer") for kind in (".port", ".port.grpc")]
    ports = [f"-{name}={port}" for port, name in enumerate(parts, start=first)]
    command = [program, "server", "-ip=127.0.0.1", f"-dir={folder}", *SEAWEEDFS, *ports]
    with _serving(command, KEYS, folder, first, seconds=60) as server:
        yield server.endpoint


class Server:
    """A server in a process group of its own, on one port for all its lives."""

    def __init__(self, command: list[str], env: dict[str, str], *, log: Path, port: int) -> None:
        """Nothing runs before `start`."""
        self._command, self._env, self._log = command, env, log
        self.endpoint = f"http://127.0.0.1:{port}"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it; what an earlier life was told to keep is there."""
        with self._log.open("ab") as out:
            self._process = subprocess.Popen(
                ["bash", "-c", _WATCH, "watch", str(os.getpid()), *self._command],
                env=os.environ | self._env,
                stdout=out,
                stderr=out,
                start_new_session=True,
            )

    def await_bucket(self, seconds: float) -> None:
        """Make the bucket as soon as the server answers."""
        until, s3 = time.monotonic() + patient(seconds), client(self.endpoint)
        while True:
            try:
                s3.create_bucket(Bucket=BUCKET)
            except s3.exceptions.BucketAlreadyOwnedByYou:  # in an earlier life
                return
            except (BotoCoreError, ClientError) as err:
                if self._process is None or self._process.poll() is not None or time.monotonic() > until:
                    raise AssertionError(f"the server did not start: {err}\n{self._log.read_text()[-3000:]}") from err
                time.sleep(0.1)
            else:
                return

    def signal(self, number: int) -> None:
        """SIGSTOP and SIGCONT for all its processes."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, number)

    def kill(self) -> None:
        """SIGKILL all its processes."""
        self.signal(signal.SIGKILL)
        if self._process is not None:
            self._process.wait()


@contextlib.contextmanager
def _serving(command: list[str], env: dict[str, str], folder: Path, port: int, *, seconds: float) -> Iterator[Server]:
    folder.mkdir(parents=True, exist_ok=True)
    server = Server(command, env, log=folder / "server.out", port=port)
    server.start()
    try:
        server.await_bucket(seconds)
        yield server
    finally:
        server.kill()


Fault = Literal["lose", "conflict", "unconditional", "cut", "error", "hang", "reset"]


class Asked(NamedTuple):
    """A request that a relay passes on."""

    method: str
    path: str
    body: bytes
    port: int  #: of the client's end of the connection


class Relay:
    """Passes requests on to a real server, and does to them what `fault(method, path)` says.

    lose: the server does it, the answer never arrives. cut: the answer's body breaks off in its middle.
    conflict, error: 409 or 503 without asking the server. unconditional: `If-None-Match` is taken away.
    hang: nothing happens until `thawed` is set, then the connection breaks. reset: it breaks at once.
    """

    def __init__(self, upstream: str, *, address: str = "127.0.0.1") -> None:
        """`upstream`: the real server's endpoint. address: where the relay listens.

        `before` sees each request with its body, and may choose a fault too; `after` sees it once the server did it.
        """
        self.fault: Callable[[str, str], Fault | None] = lambda _method, _path: None
        self.before: Callable[[Asked], Fault | None] = lambda _asked: None
        self.after: Callable[[Asked], object] = lambda _asked: None
        self.thawed = threading.Event()
        self.seen: list[tuple[str, str]] = []
        self.upstream = urlsplit(upstream)
        relay = self

        class Handler(_Handler):
            owner = relay

        self._server = _QuietServer((address, 0), Handler)
        self._server.daemon_threads = True
        self.endpoint = f"http://{address}:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _QuietServer(ThreadingHTTPServer):
    @override
    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client or a server that goes away is what relays are made for."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    owner: Relay

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def relay(self) -> None:
        """Serve one request."""
        path = urlsplit(self.path).path
        self.owner.seen.append((self.command, path))
        fault = self.owner.fault(self.command, path)
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        asked = Asked(self.command, path, body, self.client_address[1])
        fault = fault or self.owner.before(asked)
        if fault == "hang":
            self.owner.thawed.wait()
        if fault in {"hang", "reset"}:
            self.close_connection = True
        elif fault == "conflict":
            self._answer(409, [], b"<Error><Code>ConditionalRequestConflict</Code></Error>")
        elif fault == "error":
            self._answer(503, [], b"<Error><Code>SlowDown</Code></Error>")
        else:
            status, headers, answer = self._ask(body, strip=fault == "unconditional")
            self.owner.after(asked)
            if fault == "lose":
                self.close_connection = True
            else:
                self._answer(status, headers, answer, cut=fault == "cut")

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = relay  # noqa: N815 - names of http.server

    def _ask(self, body: bytes, *, strip: bool) -> tuple[int, list[tuple[str, str]], bytes]:
        gone = {"expect", "connection"} | ({"if-none-match"} if strip else set())
        headers = {name: value for name, value in self.headers.items() if name.lower() not in gone}
        upstream = http.client.HTTPConnection(self.owner.upstream.netloc, timeout=patient(60))
        try:
            upstream.request(self.command, self.path, body, headers)
            answer = upstream.getresponse()
            return answer.status, answer.getheaders(), answer.read()
        finally:
            upstream.close()

    def _answer(self, status: int, headers: list[tuple[str, str]], body: bytes, *, cut: bool = False) -> None:
        self.send_response_only(status)
        length = str(len(body))
        for name, value in headers:
            if name.lower() == "content-length" and self.command == "HEAD":
                length = value
            if name.lower() not in {"content-length", "connection", "transfer-encoding"}:
                self.send_header(name, value)
        self.send_header("Content-Length", length)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body[: len(body) // 2] if cut else body)
        self.close_connection = self.close_connection or cut
