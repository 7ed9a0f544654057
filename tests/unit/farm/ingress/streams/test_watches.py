"""Followers of one video share its reads; news of a video wakes its followers only, and new orders wake workers."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from farm.bells import Bells, rings
from farm.contract import Order
from farm.dispatch.dispatcher import Dispatcher
from farm.ingress.streams.feed import Feed
from farm.ingress.streams.subjects import encoded
from farm.ingress.streams.video import follow
from farm.ingress.streams.watches import Watches
from farm.jobs import Jobs, Record
from farm.settings import FarmSettings
from tests.patience import patient
from tests.unit.conftest import DispatcherHere, Hand
from tests.unit.farm.ingress.streams.conftest import CountingStore

Accept = Callable[..., Record]
FOLLOWERS = 50


async def _story(stream: AsyncIterator[bytes], first: asyncio.Event | None = None) -> list[bytes]:
    """Collect the events that a follower receives, without progress; `first` is set with the first text."""
    story = []
    async for text in stream:
        if first:
            first.set()
        story += [event for event in text.split(b"\r\n\r\n") if event and b"event: progress" not in event]
    return story


async def test_many_followers_look_once(
    jobs: Jobs, watches: Watches, store: CountingStore, door: DispatcherHere, accept: Accept
) -> None:
    """Fifty followers receive the same events, and cause no more reads and calls than a few would."""
    costs = []
    for followers in (2, FOLLOWERS):
        record = accept()
        hand = Hand(jobs, door.dispatcher)
        await door.nudge(record.job.id)
        reads, asked = store.reads, door.asked_for_news
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
        costs.append((before - reads, door.asked_for_news - asked))
    (few_reads, few_asked), (many_reads, many_asked) = costs
    assert many_reads == few_reads
    assert many_asked <= few_asked + 5  # how often progress is told in between depends on the clock


async def test_an_event_is_encoded_once(
    watches: Watches, accept: Accept, hand: Hand, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many follow."""
    made = Counter[str]()

    def noting(kind: str, data: dict[str, Any]) -> bytes:
        made[kind] += 1
        return encoded(kind, data)

    monkeypatch.setattr("farm.ingress.streams.watches.encoded", noting)
    record = accept()
    tasks = [
        asyncio.create_task(_story(await follow(record, watches=watches, last_event_id=None))) for _ in range(FOLLOWERS)
    ]
    await asyncio.sleep(0)  # all of them read what there is
    hand.dispatcher.nudge(record.job.id)
    hand.finish()
    assert {len(story) for story in await asyncio.gather(*tasks)} == {made.total()}
    assert made == {"status": 3, "section": 2, "end": 1}


async def test_a_new_video_is_read_once(jobs: Jobs, store: CountingStore, door: DispatcherHere, accept: Accept) -> None:
    """Reporting a request that the ingress has just accepted costs no more than the sweep's own look."""
    costs = []
    for owner in (None, "local"):
        record = accept()
        before = store.reads
        await door.nudge(record.job.id, owner)
        costs.append(store.reads - before)
        assert door.dispatcher.live(record.job.id)
    assert costs[0] == costs[1] > 0


async def test_while_nothing_happens_nothing_is_read(
    watches: Watches, store: CountingStore, door: DispatcherHere, accept: Accept
) -> None:
    """A waiting video causes no ledger reads, because the dispatcher reports no newer entry."""
    record = accept()
    await door.nudge(record.job.id)
    begun = [asyncio.Event() for _ in range(3)]
    tasks = [
        asyncio.create_task(_story(await follow(record, watches=watches, last_event_id=None), first)) for first in begun
    ]
    await asyncio.gather(*(first.wait() for first in begun))
    while door.asked_for_news < 2:  # noqa: ASYNC110 - a counter has no event
        await asyncio.sleep(0.01)
    before = store.reads
    await asyncio.sleep(1.2)
    assert store.reads == before
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_who_comes_late_or_comes_back_gets_all_of_it(
    jobs: Jobs, watches: Watches, door: DispatcherHere, accept: Accept, hand: Hand
) -> None:
    """A follower from the start, beside one that resumed, receives every event; neither receives one twice."""
    record = accept()
    await door.nudge(record.job.id)
    hand.commit(hand.take(), conditioning=b"c")
    hand.commit(hand.take(), section=b"s")
    record = jobs.get(record.job.id, owner=None)
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
    jobs: Jobs, watches: Watches, accept: Accept, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If a watch fails, its followers get the error, and so does a follower that joins them."""

    def broken(*_: object) -> None:
        raise RuntimeError("no such thing should be")

    record = accept()  # the dispatcher has not heard of it, so its ledger is read
    with watches.following(record.asked) as watch:
        await watch.after(-1, head_seq=record.head.seq)
        monkeypatch.setattr(jobs.ledger, "following", broken)
        for _ in range(2):
            with pytest.raises(RuntimeError, match="no such thing"):
                await asyncio.wait_for(watch.changed(watch.news), patient(5))


async def test_if_the_feed_cannot_be_followed_followers_hear_of_it_and_new_ones_begin_again(
    watches: Watches, feed: Feed, accept: Accept, hand: Hand, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One fault ends all streams that are open, and none that come later."""
    records = [accept(), accept()]
    for record in records:
        hand.dispatcher.nudge(record.job.id)
    begun = [asyncio.Event() for _ in records]
    tasks = [
        asyncio.create_task(_story(await follow(record, watches=watches, last_event_id=None), first))
        for record, first in zip(records, begun, strict=True)
    ]
    await asyncio.gather(*(first.wait() for first in begun))
    await feed.heard()

    def broken(*_: object) -> None:
        raise RuntimeError("no such thing should be")

    with monkeypatch.context() as broken_feed:
        broken_feed.setattr(feed, "known", broken)
        ends = await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), patient(10))
    assert [str(end) for end in ends] == ["no such thing should be"] * 2
    assert watches.followers == 0
    again = asyncio.create_task(_story(await follow(records[0], watches=watches, last_event_id=None)))
    hand.finish()
    assert b"event: end" in (await asyncio.wait_for(again, patient(10)))[-1]


def test_news_ring_for_streams_and_a_heartbeat_gives_no_order(jobs: Jobs, accept: Accept) -> None:
    """Requests, leases, heartbeats, commits and deaths ring for streams; what may be an order rings for workers."""
    rung = Counter[str]()
    dispatcher = Dispatcher(
        jobs,
        FarmSettings(),
        on_news=lambda: rung.update(["news"]),
        on_orders=lambda: rung.update(["orders"]),
    )

    def rings(act: Callable[[], object]) -> tuple[bool, int]:
        """Whether streams hear of it, and how often workers do."""
        rung.clear()
        act()
        return rung["news"] > 0, rung["orders"]

    job_id, hand = accept().job.id, Hand(jobs, dispatcher)
    assert rings(lambda: dispatcher.nudge(job_id)) == (True, 1)
    orders = list[Order]()
    assert rings(lambda: orders.append(hand.take()))[0]
    assert rings(lambda: hand.report(orders[0], step=1)) == (True, 0)
    assert rings(lambda: hand.commit(orders[0], conditioning=b"c")) == (True, 1)
    assert rings(lambda: dispatcher.worker_died(hand.card.id))[0]


async def test_a_bell_wakes_all_who_listen() -> None:
    """A listener gets the next ring, even one between its check and its wait; other listeners keep waiting."""
    bells = Bells()
    with bells.heard("one") as one, bells.heard("one") as two, bells.heard("other") as other:
        bells.ring("one")
        assert await rings(one, 1)
        assert await rings(two, 0)
        assert not await rings(other, 0)
    with bells.heard("one") as three:
        assert not await rings(three, 0.01)
