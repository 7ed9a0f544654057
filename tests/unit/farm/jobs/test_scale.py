"""With ten thousand videos in the store, the cost follows the question, not the size of the store."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Collection
from pathlib import Path
from typing import Literal, NamedTuple

import pytest
from typing_extensions import override

from farm.contract import JobId
from farm.dispatch.dispatcher import Dispatcher
from farm.jobs import Jobs
from farm.jobs.catalog import Catalog
from farm.jobs.pages import Wanted, read_page
from farm.settings import FarmSettings
from farm.store import FolderStore
from lab.bench.full_storage import fill_storage

VIDEOS, OPEN = 10_000, 500


class CountingStore(FolderStore):
    """A folder store that counts its calls."""

    def __init__(self, root: Path) -> None:
        """Begin with all counts at 0."""
        super().__init__(root)
        self.asked: Counter[str] = Counter()
        self.names = 0  #: that LISTs gave

    @override
    def get(self, key: str) -> bytes:
        self.asked["get"] += 1
        return super().get(key)

    @override
    def existing(self, keys: Collection[str]) -> set[str]:
        self.asked["existing"] += 1
        return super().existing(keys)

    @override
    def list(self, prefix: str, *, after: str = "", limit: int | None = None) -> list[str]:
        self.asked["list"] += 1
        names = super().list(prefix, after=after, limit=limit)
        self.names += len(names)
        return names

    @override
    def put_if_absent(self, key: str, data: bytes | Path) -> bool:
        self.asked["put"] += 1
        return super().put_if_absent(key, data)


class Full(NamedTuple):
    """A folder store with many videos."""

    root: Path
    ids: list[str]  #: oldest first


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Full:
    """Fill a store with 10,000 videos of one owner: the newest 500 are paused, the others cancelled."""
    root = tmp_path_factory.mktemp("full")
    return Full(root, fill_storage(root, videos=VIDEOS, open_videos=OPEN, now_ms=int(time.time() * 1000)))


@pytest.fixture
def store(full: Full) -> CountingStore:
    """Open that folder as a counting store."""
    return CountingStore(full.root)


def test_a_restart_reads_the_open_videos_only(full: Full, store: CountingStore) -> None:
    """A new dispatcher reads each of the 500 open videos a few times and the 9,500 others never."""
    dispatcher = Dispatcher(Jobs(store), FarmSettings())
    assert all(dispatcher.live(JobId(name)) for name in full.ids[-OPEN:])
    assert dispatcher.live(JobId(full.ids[0])) is None
    looks = 16  # at videos that may have leftovers: farm/jobs/leftovers.py
    assert store.asked["get"] <= 3 * OPEN + 2 * looks  # request, newest entry, the entry that is not there
    assert store.asked["list"] <= OPEN + 8 + looks  # the ledger of each; besides, folders, as few as with no video
    assert store.asked["put"] == 1  # the epoch
    assert store.names <= 3 * OPEN + 10 + 6 * looks  # markers, and two ledger entries each


def catalog_of(store: CountingStore) -> Catalog:
    """A catalog that has seen no video; an answer is the video's id."""
    return Catalog(Jobs(store), lambda record, _: record.job.id.encode())


@pytest.mark.parametrize("order", ["desc", "asc"])
def test_a_page_reads_itself_and_no_more(full: Full, store: CountingStore, order: Literal["desc", "asc"]) -> None:
    """A page of twenty videos reads twenty videos; newest first, it lists no more names either."""
    expected, catalog = full.ids[::-1] if order == "desc" else full.ids, catalog_of(store)
    page = read_page(catalog, owner="local", order=order)
    assert ([listed.id for listed in page.videos], page.has_more) == (expected[:20], True)
    assert store.asked["get"] <= 3 * 21
    assert store.asked["list"] <= 1 + 21
    assert store.names <= (21 if order == "desc" else VIDEOS) + 2 * 21
    before = store.asked["get"]
    page = read_page(catalog, owner="local", after=expected[4999], order=order)
    assert [listed.id for listed in page.videos] == expected[5000:5020]
    assert store.asked["get"] - before <= 3 * 22


def test_a_page_that_was_shown_reads_the_index_alone(full: Full, store: CountingStore) -> None:
    """The second time, a page asks the index once, and once which of its videos have a later entry; it reads none."""
    catalog = catalog_of(store)
    first = read_page(catalog, owner="local")
    store.asked.clear()
    assert read_page(catalog, owner="local") == first
    assert store.asked == {"list": 1, "existing": 1}


def test_a_page_of_open_videos_asks_the_markers(full: Full, store: CountingStore) -> None:
    """A page of paused videos reads only videos with a marker, in both orders."""
    catalog = catalog_of(store)
    page = read_page(catalog, owner="local", order="asc", wanted=Wanted(status="paused"))
    assert [listed.id for listed in page.videos] == full.ids[-OPEN : 20 - OPEN]
    assert store.asked["get"] <= 3 * 21
    assert read_page(catalog, owner="local", wanted=Wanted(status="queued")) == ([], False, None)


def test_a_page_of_ended_videos_looks_at_so_many(full: Full, store: CountingStore) -> None:
    """If few videos match, a page ends after 500 looks and says where to go on. It reads a video once."""
    catalog, cancelled = catalog_of(store), Wanted(status="cancelled")
    first = read_page(catalog, owner="local", wanted=cancelled)
    assert (first.videos, first.has_more, first.last) == ([], True, full.ids[-OPEN])
    assert store.asked["get"] <= 3 * OPEN
    second = read_page(catalog, owner="local", wanted=cancelled, after=first.last)
    assert [listed.id for listed in second.videos] == full.ids[-OPEN - 1 : -OPEN - 21 : -1]
    assert second.has_more
    before = store.asked["get"]
    assert read_page(catalog, owner="local", wanted=cancelled).last == first.last
    assert store.asked["get"] == before
