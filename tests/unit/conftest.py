"""A store, its jobs and videos to put into them, for tests without Ray."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from farm.contract import JobPlan
from farm.jobs import Jobs, Record
from farm.request import VideoRequest
from farm.store import FolderStore


@pytest.fixture
def store(tmp_path: Path) -> FolderStore:
    """An empty folder store."""
    return FolderStore(tmp_path / "storage")


@pytest.fixture
def jobs(store: FolderStore) -> Jobs:
    """The videos of that store."""
    return Jobs(store)


@pytest.fixture
def png() -> bytes:
    """A small picture."""
    data = io.BytesIO()
    Image.new("RGB", (64, 64), "teal").save(data, "PNG")
    return data.getvalue()


@pytest.fixture
def plan() -> JobPlan:
    """Two sections of window 9."""
    return JobPlan(kind="i2v", sections=2, latent_window_size=9, height=96, width=128, frames=73, final_frames=(0, 73))


@pytest.fixture
def accept(jobs: Jobs, plan: JobPlan, png: bytes) -> Callable[..., Record]:
    """Accept a video; `key` is an Idempotency-Key, `sent` stands for the request as it was sent."""

    def accept(
        *, owner: str = "local", key: str | None = None, sent: str = "a", plan: JobPlan = plan, **fields: object
    ) -> Record:
        request = VideoRequest.model_validate({"prompt": "a cat", "model": "tiny", "seed": 1, **fields})
        return jobs.accept(request, plan, images={"start": png}, owner=owner, fingerprint=sent, idempotency_key=key)

    return accept
