"""A store, its jobs and videos to put into them, for tests without Ray."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import pytest
import uvicorn
from fastapi.testclient import TestClient

from deploy.planner import EngineMedia, EnginePlanner
from farm.contract import (
    Artifact,
    JobId,
    JobPlan,
    LiveJob,
    Load,
    Order,
    Progress,
    WorkerState,
    WorkerWish,
)
from farm.dispatch.dispatcher import Dispatcher
from farm.dispatch.news import DispatcherDoor, News, Place
from farm.errors import Unavailable
from farm.ingress import create_app
from farm.jobs import Jobs, Record, Submission
from farm.ledger.states import Event
from farm.request import Move, VideoRequest
from farm.settings import FarmSettings
from farm.store import FolderStore
from tests.clock import Clock
from tests.hands import card

#: Files that take more than 5 s each, by their folder: they render, train, compile, start programs or serve HTTP. They
#: are four fifths of these tests' minutes; `make unit` leaves them out.
SLOW = {
    f"{folder}/test_{name}.py"
    for folder, names in {
        "actors": "cache_farm lora_farm orders",
        "deploy": "batch_command batch_troubles child cli cluster_aws every_command until_ctrl_c wheel",
        "docs": "curl_in_docs library_in_docs site",
        "farm/ingress/gradio": "clients protocol",
        "farm/ingress/streams": "owner",
        "farm/ingress": "bad_input content ingress lists openai_client openapi pictures",
        "farm/intake": "derive inspect_file prompt_settings",
        "farm/jobs": "fsck scale",
        "farm/store": "hung_store",
        "farm": "client typed_client",
        "farm/transfer": "transfer",
        "farm/webhooks": "webhooks",
        "framepack_engine/frames": "decode frugal_decode",
        "framepack_engine/kernels": "exact_blocks fused",
        "framepack_engine/memory": "memory placement plans_combined",
        "framepack_engine/models": "kernels models precision shipping",
        "framepack_engine/sampling": "step_caches",
        "framepack_engine": "conformance modes renderer",
        "lab/bench": "gpu_bench gpu_supervisor peers scheduler",
        "lab": "bare_doors",
        "lab/training": "commands evaluation pocket training_pocket",
    }.items()
    for name in names.split()
}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests of those files as slow."""
    here = Path(__file__).parent
    for item in items:
        if item.path.is_relative_to(here) and str(item.path.relative_to(here)) in SLOW:
            item.add_marker(pytest.mark.slow)


@pytest.fixture(scope="module", autouse=True)
def unsynced() -> Iterator[None]:
    """Nothing here outlives the machine's power, and waiting for its disk would be most of these tests' time.

    That a folder store syncs, and when, is in test_store.py; the integration tests wait for the disk.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda _handle: None)
        yield


@pytest.fixture
def clock() -> Clock:
    """A clock that stands still."""
    return Clock()


@pytest.fixture
def store(tmp_path: Path) -> FolderStore:
    """An empty folder store."""
    return FolderStore(tmp_path / "storage")


@pytest.fixture
def jobs(store: FolderStore) -> Jobs:
    """The videos of that store."""
    return Jobs(store)


@pytest.fixture
def plan() -> JobPlan:
    """Two sections of window 9."""
    return JobPlan(
        kind="i2v", sections=2, latent_window_size=9, fps=30, height=96, width=128, frames=73, final_frames=(0, 73)
    )


@pytest.fixture
def accept(jobs: Jobs, plan: JobPlan, png: bytes) -> Callable[..., Record]:
    """Accept a video; `key` is an Idempotency-Key, `sent` stands for the request as it was sent."""

    def accept(
        *, owner: str = "local", key: str | None = None, sent: str = "a", plan: JobPlan = plan, **fields: object
    ) -> Record:
        request = VideoRequest.model_validate({"prompt": "a cat", "model": "tiny", "seed": 1, **fields})
        return jobs.accept(Submission(request, plan, {"start": png}, owner, fingerprint=sent, idempotency_key=key))

    return accept


class DispatcherHere(DispatcherDoor):
    """The farm's own dispatcher in this process; with `answers` off it is one that is dead."""

    def __init__(self, jobs: Jobs) -> None:
        """Take charge of the store."""
        self.dispatcher = Dispatcher(jobs, FarmSettings())
        self.answers = True
        self.asked_for_news = 0

    def _here(self) -> Dispatcher:
        if not self.answers:
            raise Unavailable("the dispatcher does not answer")
        return self.dispatcher

    async def nudge(self, job: JobId, owner: str | None = None) -> None:
        """See DispatcherDoor."""
        self._here().nudge(job, owner)

    async def move(self, job: JobId, move: Move) -> None:
        """See DispatcherDoor."""
        self._here().move(job, move)

    async def watch(self, jobs: frozenset[JobId]) -> None:
        """See DispatcherDoor."""
        self._here().watch(jobs)

    async def news(self, after: Place | None, *, timeout_s: float) -> News:
        """See DispatcherDoor. Waits, like the real one."""
        until = asyncio.get_running_loop().time() + timeout_s
        self.asked_for_news += 1
        while True:
            news = self._here().news(after)
            if news.is_news or asyncio.get_running_loop().time() >= until:
                return news
            await asyncio.sleep(0.01)

    async def live(self, job: JobId) -> LiveJob | None:
        """See DispatcherDoor."""
        return self._here().live(job)

    async def lives(self, jobs: Sequence[JobId]) -> Mapping[JobId, LiveJob]:
        """See DispatcherDoor."""
        return self._here().lives(jobs)

    async def workers(self) -> Sequence[WorkerState]:
        """See DispatcherDoor."""
        return self._here().workers()

    async def waiting_for(self, request: VideoRequest) -> str | None:
        """See DispatcherDoor."""
        return self._here().waiting_for(request)

    async def load(self, owner: str) -> Load:
        """See DispatcherDoor."""
        return self._here().load(owner)

    async def worker_wish(self, worker_id: str, wish: WorkerWish) -> WorkerState:
        """See DispatcherDoor."""
        return self._here().worker_wish(worker_id, wish)


@pytest.fixture
def door(jobs: Jobs) -> DispatcherHere:
    """The dispatcher of that store."""
    return DispatcherHere(jobs)


@pytest.fixture
def http(jobs: Jobs, door: DispatcherHere) -> Iterator[TestClient]:
    """The HTTP API, with the engine's planner; its default model is `tiny`."""
    settings = FarmSettings(model="tiny", max_upload_mb=4)
    app = create_app(settings=settings, jobs=jobs, door=door, planner=EnginePlanner(), media=EngineMedia())
    with TestClient(app, base_url="http://127.0.0.1:8000", client=("127.0.0.1", 50000)) as client:
        yield client


@contextlib.contextmanager
def serving(http: TestClient, port: int = 0) -> Iterator[int]:
    """A door on a real port, which it gives, for as long as the context lasts. 0: any free one."""
    config = uvicorn.Config(http.app, port=port, ws="none", log_level="critical", timeout_graceful_shutdown=1)
    server = uvicorn.Server(config)  # that second is for streams of events, which have no end
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        assert thread.is_alive(), "the port is taken"
        time.sleep(0.01)
    yield server.servers[0].sockets[0].getsockname()[1]
    server.should_exit = True
    thread.join()


@pytest.fixture
def farm_url(http: TestClient, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The same door on a real port; FARM_URL names it."""
    with serving(http) as port:
        url = f"http://127.0.0.1:{port}"
        monkeypatch.setenv("FARM_URL", url)
        yield url


class Hand:
    """A worker by hand: takes orders and commits artifacts whose bytes the test gives."""

    def __init__(self, jobs: Jobs, dispatcher: Dispatcher) -> None:
        """Works for `dispatcher`."""
        self.jobs, self.dispatcher = jobs, dispatcher
        self.card = card("hand", models=("tiny", "tiny-f1"), s_per_section=2.0)

    def take(self) -> Order:
        """The next order, which must be there."""
        order = self.dispatcher.ask(self.card)
        assert isinstance(order, Order)
        return order

    def report(self, order: Order, *, step: int, steps: int = 25) -> None:
        """Say how far the order is."""
        progress = Progress(
            job=order.job.id, key=order.key, attempt=order.attempt, worker=self.card.id, step=step, steps=steps
        )
        self.dispatcher.beat(self.card, progress)

    def commit(self, order: Order, **parts: bytes) -> None:
        """Store the parts and name them in the ledger."""
        artifacts = {}
        for name, data in parts.items():
            key = f"jobs/{order.job.id}/{name}.{str(order.key).replace('/', '-')}.a{order.attempt}"
            self.jobs.store.put_if_absent(key, data)
            artifacts[name] = Artifact(key=key, sha256=hashlib.sha256(data).hexdigest(), bytes=len(data))
        event = Event(
            name="committed",
            key=str(order.key),
            attempt=order.attempt,
            worker=self.card.id,
            artifacts=artifacts,
            numeric_class=self.card.numeric_class,
            seconds=1.5,
        )
        self.jobs.ledger.append(order.job.id, event)
        self.dispatcher.nudge(order.job.id)

    def finish(self) -> None:
        """Do every order there is, with short made-up artifacts; the video is `mp4 bytes`."""
        names = {"encode": "conditioning", "section": "section", "decode": "clip", "finish": "video"}
        while isinstance(order := self.dispatcher.ask(self.card), Order):
            self.commit(order, **{names[order.key.stage]: b"mp4 bytes" if order.key.stage == "finish" else b"x"})


@pytest.fixture
def hand(jobs: Jobs, door: DispatcherHere) -> Hand:
    """A worker by hand."""
    return Hand(jobs, door.dispatcher)
