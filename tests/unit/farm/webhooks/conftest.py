"""A farm whose webhooks go to a real receiver."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest
from fastapi.testclient import TestClient

from deploy.planner import EngineMedia, EnginePlanner
from farm.ingress import create_app
from farm.jobs import Jobs
from farm.receiver import Resolve
from farm.settings import FarmSettings
from farm.webhooks.post import resolve
from farm.webhooks.sender import WebhookSender
from tests.hook_receiver import SECRET, HookReceiver, hook_receiver
from tests.unit.conftest import DispatcherHere, Hand

ALLOWED = FarmSettings(model="tiny", webhook_allow_private=True, webhook_secret=SECRET)


class Clock:
    """A clock that a test turns."""

    def __init__(self) -> None:
        """Begin now: receivers check the timestamp."""
        self.now = time.time()

    def __call__(self) -> float:
        """Return the time."""
        return self.now


@pytest.fixture
def receiver() -> Iterator[HookReceiver]:
    """Run a receiver that answers 204."""
    with hook_receiver() as receiver:
        yield receiver


def door_of(jobs: Jobs, door: DispatcherHere, settings: FarmSettings) -> TestClient:
    """Make the HTTP API of a farm with these settings."""
    app = create_app(settings=settings, jobs=jobs, door=door, planner=EnginePlanner(), media=EngineMedia())
    return TestClient(app, base_url="http://127.0.0.1:8000", client=("127.0.0.1", 50000))


class Scene:
    """A farm whose webhooks may go to this machine, a worker that the test drives, and a receiver."""

    def __init__(self, hand: Hand, door: DispatcherHere, receiver: HookReceiver, png: bytes) -> None:
        self.jobs, self.hand, self.receiver, self.clock, self._door = hand.jobs, hand, receiver, Clock(), door
        self._files = {"input_reference": ("a.png", png)}
        self.settings = ALLOWED
        self.farm = door_of(hand.jobs, door, ALLOWED)

    def use(self, settings: FarmSettings) -> None:
        """Restart the farm with other settings."""
        self.settings, self.farm = settings, door_of(self.jobs, self._door, settings)

    def post(self, *, key: str | None = None, **fields: str) -> Any:
        """Submit a video."""
        headers = {"Idempotency-Key": key} if key else {}
        return self.farm.post("/v1/videos", data={"prompt": "a cat", **fields}, files=self._files, headers=headers)

    def ask(self, *, key: str | None = None, **fields: str) -> dict[str, Any]:
        """Submit a video that must be accepted; its webhook goes to the receiver unless a field says otherwise."""
        answer = self.post(key=key, **{"webhook_url": self.receiver.url, **fields})
        assert answer.status_code == 200, answer.text
        video: dict[str, Any] = answer.json()
        return video

    def told(self, video_id: str) -> dict[str, Any]:
        """Return GET /v1/videos/{id}/webhook."""
        answer: dict[str, Any] = self.farm.get(f"/v1/videos/{video_id}/webhook").json()
        return answer

    def sender(self, *, resolve: Resolve = resolve, try_s: float = 5.0) -> WebhookSender:
        """Make a new sender, which knows only the store."""
        return WebhookSender(self.jobs, self.settings, clock=self.clock, resolve=resolve, try_s=try_s)


@pytest.fixture
def scene(hand: Hand, door: DispatcherHere, receiver: HookReceiver, png: bytes) -> Scene:
    """Set the scene."""
    return Scene(hand, door, receiver, png)


def owed(jobs: Jobs) -> list[str]:
    """Return the markers of pending webhooks."""
    return jobs.store.list("hooks/")
