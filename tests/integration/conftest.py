"""Stores of every kind, a new prefix for each test. Servers start when the first test needs one."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from farm.contract import JobPlan
from farm.jobs import Jobs, Record, Submission
from farm.request import VideoRequest
from farm.store import Store
from tests.s3_servers import BUCKET, KEYS, Place, Relay, ceph, ministack, seaweedfs, weed

CEPH = ("ceph-mon", "ceph-osd", "radosgw", "radosgw-admin", "ceph")


@pytest.fixture(autouse=True)
def keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """Set the keys of the test servers, so that no test can reach a real account."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)


@pytest.fixture(scope="session")
def ministack_endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Run the emulator for this session."""
    with ministack(tmp_path_factory.mktemp("ministack")) as endpoint:
        yield endpoint


@pytest.fixture(scope="session")
def ceph_endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Run the Ceph gateway for this session. Skip if it is not installed, unless TEST_CEPH=1."""
    missing = [name for name in CEPH if not shutil.which(name)]
    if missing:
        assert os.environ.get("TEST_CEPH") != "1", f"TEST_CEPH=1, but {missing} are not installed: make ceph"
        pytest.skip("Ceph is not installed: make ceph")
    folder = tmp_path_factory.mktemp("ceph")
    with ceph(folder) as endpoint:
        yield endpoint
    shutil.rmtree(folder)  # its disk is large


@pytest.fixture(scope="session")
def seaweedfs_endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Run SeaweedFS for this session. Skip if it is not installed."""
    if weed() is None:
        pytest.skip("SeaweedFS is not installed: make weed")
    with seaweedfs(tmp_path_factory.mktemp("seaweedfs")) as endpoint:
        yield endpoint


@pytest.fixture(params=["folder", "ministack", "ceph", "seaweedfs"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """Return the place of an empty store of each kind."""
    if request.param == "folder":
        return Place(str(tmp_path / "storage"))
    return Place(f"s3://{BUCKET}/test/{uuid4().hex}", request.getfixturevalue(f"{request.param}_endpoint"))


@pytest.fixture
def store(place: Place) -> Store:
    """Open that store."""
    return place.open()


@pytest.fixture
def relay(ministack_endpoint: str) -> Iterator[Relay]:
    """Run a relay in front of the emulator, without faults at first."""
    relay = Relay(ministack_endpoint)
    yield relay
    relay.close()


@pytest.fixture
def relayed(relay: Relay) -> Store:
    """Open an empty store behind the relay."""
    return Place(f"s3://{BUCKET}/test/{uuid4().hex}", relay.endpoint).open()


@pytest.fixture
def accept(png: bytes) -> Callable[..., Record]:
    """Accept a video of two sections into the store of some jobs."""
    plan = JobPlan(
        kind="i2v", sections=2, latent_window_size=9, fps=30, height=96, width=128, frames=73, final_frames=(0, 73)
    )

    def accept(jobs: Jobs, *, key: str | None = None) -> Record:
        request = VideoRequest.model_validate({"prompt": "a cat", "model": "tiny", "seed": 1})
        return jobs.accept(Submission(request, plan, {"start": png}, "local", fingerprint="a", idempotency_key=key))

    return accept
