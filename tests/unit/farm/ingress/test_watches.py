"""Followers of one video share its reads; news of a video wakes its followers only, and new orders wake workers."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from sse_starlette import ServerSentEvent
from typing_extensions import override

from actors.dispatcher import Bell, heard
from farm.contract import JobId, LiveJob
from farm.dispatch.dispatcher import Dispatcher
from farm.ingress.events import follow
from farm.ingress.watches import Watches
from farm.jobs import Jobs, Record
from farm.settings import FarmSettings
from farm.store import FolderStore
from tests.unit.conftest import DispatcherHere, Hand

Accept = Callable[..., Record]
FOLLOWERS = 50


class CountingDoor(DispatcherHere):
    """A dispatcher in this process; `live` waits for a newer version, like the real one, and is counted."""

    asked = 0

    @override
    async def live(self, job: JobId, *, after_version: int = -1, timeout_s: float = 0.0) -> LiveJob | None:
        self.asked += 1
        until = asyncio.get_running_loop().time() + timeout_s
        while True:
            live = self._here().live(job)
            if live is None or live.version > after_version or asyncio.get_running_loop().time() >= until:
                return live
            await asyncio.sleep(0.005)


class CountingStore(FolderStore):
    """Counts what is read."""

    reads = 0

    @override
    def get(self, key: str) -> bytes:
        self.reads += 1
        return super().get(key)


@pytest.fixture
def store(tmp_path: Path) -> CountingStore:
    """An empty store."""
    return CountingStore(tmp_path / "storage")


@pytest.fixture
def door(jobs: Jobs) -> CountingDoor:
    """The dispatcher of that store."""
    return CountingDoor(jobs)


async def _story(stream: AsyncIterator[ServerSentEvent], first: asyncio.Event | None = None) -> list[bytes]:
    """Collect what a follower receives; `first` is set with the first event."""
    story = []
    async for event in stream:
        if first:
            first.set()
        if event.event != "progress":
            story.append(event.encode())
    return story


async def test_many_followers_look_once(jobs: Jobs, store: CountingStore, door: CountingDoor, accept: Accept) -> None:
    """Fifty followers receive the same events, and cause no more reads and calls than a few would."""
    costs = []
    for followers in (2, FOLLOWERS):
        record = accept()
        hand = Hand(jobs, door.dispatcher)
        await door.nudge(record.job.id)
        watches, reads, asked = Watches(jobs, door), store.reads, door.asked
        begun = [asyncio.Event() for _ in range(followers)]
        tasks = [
            asyncio.create_task(_story(await follow(record, watches=watches, last_event_id=None), first))
            for first in begun
        ]
        await asyncio.gather(*(first.wait() for first in begun))
        assert watches.followers == followers
        before = store.reads
        hand.finish()  # its own reads are as many each time
        stories = await asyncio.gather(*tasks)
        assert stories == [stories[0]] * followers
        assert b"event: end" in stories[0][-1]
        assert watches.followers == 0
        costs.append((before - reads, door.asked - asked))
    (few_reads, few_asked), (many_reads, many_asked) = costs
    assert many_reads == few_reads
    assert many_asked <= few_asked + 5  # how often progress is told in between depends on the clock


async def test_a_new_video_is_read_once(jobs: Jobs, store: CountingStore, door: CountingDoor, accept: Accept) -> None:
    """What the ingress says of a request that it has just accepted costs no more than the sweep's own look."""
    costs = []
    for owner in (None, "local"):
        record = accept()
        before = store.reads
        await door.nudge(record.job.id, owner)
        costs.append(store.reads - before)
        assert door.dispatcher.live(record.job.id)
    assert costs[0] == costs[1] > 0


async def test_while_nothing_happens_nothing_is_read(
    jobs: Jobs, store: CountingStore, door: CountingDoor, accept: Accept
) -> None:
    """A waiting video causes no ledger reads, because the dispatcher reports no newer entry."""
    record = accept()
    await door.nudge(record.job.id)
    begun = [asyncio.Event() for _ in range(3)]
    tasks = [
        asyncio.create_task(_story(await follow(record, watches=Watches(jobs, door), last_event_id=None), first))
        for first in begun
    ]
    await asyncio.gather(*(first.wait() for first in begun))
    while door.asked < len(begun):  # noqa: ASYNC110 - a counter has no event
        await asyncio.sleep(0.01)
    before = store.reads
    await asyncio.sleep(0.5)
    assert store.reads == before
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_who_comes_late_or_comes_back_gets_all_of_it(
    jobs: Jobs, door: CountingDoor, accept: Accept, hand: Hand
) -> None:
    """A follower from the start, beside one that resumed, receives every event; neither receives one twice."""
    record = accept()
    await door.nudge(record.job.id)
    hand.commit(hand.take(), conditioning=b"c")
    hand.commit(hand.take(), section=b"s")
    record, watches = jobs.get(record.job.id, owner=None), Watches(jobs, door)
    late = await follow(record, watches=watches, last_event_id=f"{record.head.seq}.0")
    rest = asyncio.create_task(_story(late))
    await asyncio.sleep(0.1)
    whole = asyncio.create_task(_story(await follow(record, watches=watches, last_event_id=None)))
    await asyncio.sleep(0.1)
    hand.finish()
    ids = [event.split(b"\r\n")[0] for event in await whole]
    assert ids[0] == b"id: 0.0"
    assert ids == sorted(set(ids), key=lambda id_: [int(part) for part in id_[4:].split(b".")])
    assert [event.split(b"\r\n")[0] for event in await rest] == [
        id_ for id_ in ids if int(id_[4:].split(b".")[0]) > record.head.seq
    ]


async def test_who_comes_after_a_failed_look_does_not_wait_in_vain(
    jobs: Jobs, door: CountingDoor, accept: Accept, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If a watch fails, its followers get the error, and so does a follower that joins them."""

    async def broken(*_: object, **__: object) -> None:
        raise RuntimeError("no such thing should be")

    monkeypatch.setattr(door, "live", broken)
    watches, job_id = Watches(jobs, door), accept().job.id
    with watches.following(job_id) as watch:
        for _ in range(2):
            with pytest.raises(RuntimeError, match="no such thing"):
                await asyncio.wait_for(watch.changed(watch.news), 5)


def test_news_of_a_video_are_its_own_and_a_heartbeat_gives_no_order(jobs: Jobs, accept: Accept) -> None:
    """A heartbeat wakes one video's followers; a commit also wakes workers; a new worker wakes all followers."""
    news: list[JobId | None] = []
    orders: Counter[str] = Counter()
    dispatcher = Dispatcher(jobs, FarmSettings(), on_news=news.append, on_orders=lambda: orders.update(["rung"]))
    first, second = accept().job.id, accept().job.id
    dispatcher.nudge(first)
    dispatcher.nudge(second)
    assert (news, orders["rung"]) == ([first, second], 2)
    hand = Hand(jobs, dispatcher)
    order = hand.take()
    assert news[2:] == [None, order.job.id]
    news.clear()
    rung = orders["rung"]
    hand.report(order, step=1)
    assert (news, orders["rung"]) == ([order.job.id], rung)
    hand.commit(order, conditioning=b"c")
    assert (set(news), orders["rung"]) == ({order.job.id}, rung + 1)
    dispatcher.worker_died(hand.card.id)
    assert news[-1] is None


async def test_a_bell_wakes_all_who_listen() -> None:
    """A listener gets the next ring, even one between its check and its wait; other listeners keep waiting."""
    bell = Bell()
    with bell.listening() as one, bell.listening() as two:
        bell.ring()
        assert await heard(one, 1)
        assert await heard(two, 0)
    assert not bell.listeners
    with bell.listening() as three:
        assert not await heard(three, 0.01)
