"""A replica's feed, and the watches that follow it."""

from __future__ import annotations

from pathlib import Path

import pytest
from typing_extensions import override

from farm.ingress.ready import Readiness
from farm.ingress.streams.feed import Feed
from farm.ingress.streams.watches import Watches
from farm.jobs import Jobs
from farm.store import FolderStore
from tests.unit.conftest import DispatcherHere


class Steady(Readiness):
    """A store that is well without a trial."""

    @override
    async def store(self) -> str:
        return "ok"


class CountingStore(FolderStore):
    """Counts what is asked of it."""

    reads = 0

    @override
    def get(self, key: str) -> bytes:
        self.reads += 1
        return super().get(key)

    @override
    def list(self, prefix: str, *, after: str = "", limit: int | None = None) -> list[str]:
        self.reads += 1
        return super().list(prefix, after=after, limit=limit)


@pytest.fixture
def store(tmp_path: Path) -> CountingStore:
    """An empty store."""
    return CountingStore(tmp_path / "storage")


def feed_of(jobs: Jobs, door: DispatcherHere) -> Feed:
    """The feed of another replica."""
    return Feed(jobs, door, Steady(jobs.store, door))


@pytest.fixture
def feed(jobs: Jobs, door: DispatcherHere) -> Feed:
    """A replica's feed."""
    return feed_of(jobs, door)


@pytest.fixture
def watches(jobs: Jobs, feed: Feed) -> Watches:
    """The watches of that replica."""
    return Watches(jobs, feed)
