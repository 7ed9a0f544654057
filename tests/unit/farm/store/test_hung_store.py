"""A store that accepts connections and never answers: the ingress answers all the same."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from typing_extensions import override

from actors import door as ray_door
from deploy.planner import EngineMedia, EnginePlanner
from farm.errors import Damaged, StoreError
from farm.ingress import create_app
from farm.jobs import Jobs
from farm.settings import FarmSettings
from farm.store import FolderStore, open_store, s3
from farm.store.s3 import HASTY, PATIENT, S3Store
from farm.store.wrapped import HastyStore
from tests import patience
from tests.clock import Clock
from tests.s3_servers import KEYS
from tests.unit.conftest import DispatcherHere
from tests.unit.farm.ingress.test_ingress import FILES

_MOST_S = 10  #: from a request to its answer
_READ_S = 0.2


class Silent:
    """A server that accepts connections, notes each one and never answers."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.endpoint = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.accepted: list[socket.socket] = []
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                self.accepted.append(self._listener.accept()[0])

    def close(self) -> None:
        """Hang up."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()
        for connection in self.accepted:
            connection.close()


def received(connection: socket.socket) -> bytes:
    """Return the beginning of what the client sent."""
    connection.settimeout(patience.patient(10))
    return connection.recv(4096)


@pytest.fixture
def silent(monkeypatch: pytest.MonkeyPatch) -> Iterator[Silent]:
    """Run such a server, with keys for it."""
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)
    server = Silent()
    yield server
    server.close()


@pytest.fixture
def quick(silent: Silent, monkeypatch: pytest.MonkeyPatch) -> FarmSettings:
    """Give the settings for that server; the ingress waits for less than a second, with as many attempts as ever."""
    monkeypatch.setattr(s3, "HASTY", HASTY._replace(read_s=_READ_S))
    return FarmSettings(model="tiny", storage="s3://bucket/farm", s3_endpoint=silent.endpoint)


def test_the_waits_add_up_to_less_than_ten_seconds(silent: Silent) -> None:
    """A call waits for the dispatcher once and for one operation of the store; workers wait longer for the store."""
    assert ray_door._ANSWER_S + HASTY.longest_s < _MOST_S < PATIENT.longest_s
    assert ray_door._ANSWER_S + HASTY.attempts * HASTY.connect_s + 1 < _MOST_S
    for kind in (HASTY, PATIENT):
        store = S3Store("s3://bucket/farm", endpoint=silent.endpoint, patience=kind)
        config = store._s3.meta.config
        assert (config.connect_timeout, config.read_timeout) == kind[:2]
        assert config.retries["total_max_attempts"] == kind.attempts
    hasty = open_store(FarmSettings(storage="s3://bucket/farm", s3_endpoint=silent.endpoint), is_hasty=True)
    assert isinstance(hasty, HastyStore)


@pytest.mark.parametrize(
    "ask",
    [
        lambda client: client.get("/v1/videos"),
        lambda client: client.get("/v1/videos?status=queued"),
        lambda client: client.get(f"/v1/videos/video_{'0' * 32}"),
        lambda client: client.get(f"/v1/videos/video_{'0' * 32}/content"),
        lambda client: client.post(f"/v1/videos/video_{'0' * 32}/cancel"),
        lambda client: client.delete(f"/v1/videos/video_{'0' * 32}"),
        lambda client: client.post("/v1/videos", data={"prompt": "a cat"}, files=FILES),
        lambda client: client.post("/v1/videos", data={"prompt": "a"}, files=FILES, headers={"Idempotency-Key": "k"}),
        lambda client: client.get("/readyz"),
    ],
)
def test_every_call_is_answered_after_one_operation(
    quick: FarmSettings, silent: Silent, door: DispatcherHere, ask: Callable[[TestClient], object]
) -> None:
    """Each call fails with its first silent operation: 503 with Retry-After, after HASTY's attempts and no more."""
    with ingress(quick, door) as client:
        answer = ask(client)
    assert answer.status_code == 503  # type: ignore[attr-defined]
    assert "/readyz" in str(answer.request.url) or int(answer.headers["Retry-After"]) > 0  # type: ignore[attr-defined]
    assert len(silent.accepted) == HASTY.attempts
    assert not [sent for sent in map(received, silent.accepted) if b"expect" in sent.lower()]  # a second each


def test_a_crowd_waits_as_long_as_one(quick: FarmSettings, silent: Silent, door: DispatcherHere) -> None:
    """Of more calls than threads, those that waited for a thread ask the server nothing: the store is known to hang."""
    threads = 40
    with ingress(quick, door) as client, ThreadPoolExecutor(3 * threads) as crowd:
        answers = list(crowd.map(client.get, ["/v1/videos"] * 3 * threads))
    assert {answer.status_code for answer in answers} == {503}
    assert len(silent.accepted) <= HASTY.attempts * threads


@contextlib.contextmanager
def ingress(settings: FarmSettings, door: DispatcherHere) -> Iterator[TestClient]:
    """Serve the ingress on the settings' store."""
    store = open_store(settings, is_hasty=True)
    app = create_app(settings=settings, jobs=Jobs(store), door=door, planner=EnginePlanner(), media=EngineMedia())
    with TestClient(app, base_url="http://127.0.0.1:8000", client=("127.0.0.1", 50000)) as client:
        yield client


class Scripted(FolderStore):
    """A store whose reads raise the next error of a list."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.errors: list[StoreError | None] = []
        self.asked = 0

    @override
    def get(self, key: str) -> bytes:
        self.asked += 1
        if error := self.errors.pop(0):
            raise error
        return b""


def test_the_breaker_rests_and_tries_again(tmp_path: Path, clock: Clock) -> None:
    """Only silence opens it; after the rest one call may ask, and an answer closes it."""
    inner = Scripted(tmp_path)
    store = HastyStore(inner, rest_s=3, clock=clock)
    inner.errors = [Damaged("bad"), StoreError("500"), StoreError("silent", hangs=True), None, None]
    for text in ("bad", "500", "silent"):
        with pytest.raises(StoreError, match=text):
            store.get("a")
    with pytest.raises(StoreError, match="without an answer") as caught:
        store.get("a")
    assert caught.value.facts["retry_after_s"] == 3
    assert inner.asked == 3
    clock.now += 3
    assert store.get("a") == store.get("a") == b""


class Losing(FolderStore):
    """A store that hangs at one write: it does the write or not, and its answer never arrives."""

    hangs_at = -1  #: this write
    keeps = True

    @override
    def put_if_absent(self, key: str, data: bytes | Path) -> bool:
        self.hangs_at -= 1
        if self.hangs_at != 0:
            return super().put_if_absent(key, data)
        if self.keeps:
            super().put_if_absent(key, data)
        raise StoreError("silent", key=key, hangs=True)


@pytest.mark.parametrize("keeps", [True, False])
@pytest.mark.parametrize("write", range(1, 7))
def test_the_key_settles_a_post(tmp_path: Path, door: DispatcherHere, write: int, *, keeps: bool) -> None:
    """The store hangs at any write of a POST. The same POST again under its key gives one video, and only one."""
    store = Losing(tmp_path / "storage")
    settings = FarmSettings(model="tiny")
    app = create_app(settings=settings, jobs=Jobs(store), door=door, planner=EnginePlanner(), media=EngineMedia())
    store.hangs_at, store.keeps = write, keeps
    with TestClient(app, base_url="http://127.0.0.1:8000", client=("127.0.0.1", 50000)) as client:
        answers = [
            client.post("/v1/videos", data={"prompt": "a cat"}, files=FILES, headers={"Idempotency-Key": "k"})
            for _ in range(3)
        ]
        listed = client.get("/v1/videos").json()["data"]
    first, *rest = [answer.status_code for answer in answers]
    assert first == 503
    assert rest == [200, 200]
    assert {answer.json()["id"] for answer in answers[1:]} == {video["id"] for video in listed}
    assert len(listed) == 1
