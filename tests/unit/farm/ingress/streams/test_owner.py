"""The stream of all that belongs to an owner: what it tells, to whom, how often, and at what cost."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable
from typing import Any

import httpx
from fastapi.testclient import TestClient

from farm.client import Event, read_events
from farm.contract import JobId, Preview, Progress
from farm.ingress.streams.feed import Feed
from farm.ingress.streams.owner import Stream
from farm.ingress.streams.subjects import Viewer
from farm.jobs import Jobs, Record
from tests.patience import patient
from tests.unit.conftest import DispatcherHere, Hand
from tests.unit.farm.ingress.streams.conftest import CountingStore, feed_of

Accept = Callable[..., Record]


class Page:
    """A browser's page that follows a stream and keeps all that it hears."""

    def __init__(self, feed: Feed, viewer: Viewer, last_event_id: str | None) -> None:
        """Follow as `viewer`."""
        hello = {"owner": viewer.owner}
        self._stream = Stream(feed, viewer, hello=hello, last_event_id=last_event_id).events()
        self.events: list[Event] = []
        self._at = Counter[str]()  # event name -> how many events were searched for it
        self._more = asyncio.Event()
        self._task = asyncio.create_task(self._read())

    async def until(self, name: str, **facts: object) -> Event:
        """Return the next event of the name whose data has these facts."""
        async with asyncio.timeout(patient(10)):
            while True:
                while self._at[name] < len(self.events):
                    event = self.events[self._at[name]]
                    self._at[name] += 1
                    if event.name == name and facts.items() <= event.data.items():
                        return event
                self._more.clear()
                await self._more.wait()

    async def leave(self) -> None:
        """Close the page."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        await self._stream.aclose()  # type: ignore[attr-defined]  # an async generator

    async def _read(self) -> None:
        async for chunk in self._stream:
            self.events += read_events([*chunk.decode().splitlines(), ""])
            self._more.set()

    def names(self) -> list[str]:
        """Return the names of all events so far."""
        return [event.name for event in self.events]


@contextlib.asynccontextmanager
async def page(
    feed: Feed, owner: str = "local", *, after: str | None = None, sees_all: bool = False, watched: Iterable[JobId] = ()
) -> AsyncIterator[Page]:
    """A page that is closed at the end."""
    opened = Page(feed, Viewer(owner, sees_all, frozenset(watched)), after)
    try:
        yield opened
    finally:
        await opened.leave()


def rising(events: list[Event]) -> bool:
    """Whether the ids rise."""
    ids = [tuple(map(int, event.id.split("."))) for event in events if event.id]
    return ids == sorted(set(ids))


async def test_a_page_hears_the_whole_life_of_a_video(feed: Feed, accept: Accept, hand: Hand) -> None:
    """Accepted, leased, each section, the end: the whole object each time, without the request; then it is gone."""
    async with page(feed) as seen:
        hello = await seen.until("hello")
        assert hello.data == {"owner": "local", "counts": {"queued": 0, "in_progress": 0, "paused": 0}}
        made = accept().job.id
        hand.dispatcher.nudge(made)
        queued = await seen.until("video", id=made, status="queued")
        assert "request" not in queued.data
        assert queued.data["prompt"] == "a cat"
        assert (await seen.until("queue", ids=[made])).data["positions"] == [0]
        hand.commit(hand.take(), conditioning=b"c")
        order = hand.take()
        hand.report(order, step=3)
        assert (await seen.until("progress", id=made, step=3)).data["section"] == 0
        assert (await seen.until("worker", id="hand", video=made)).data["stage"] == "section"
        await seen.until("queue", ids=[])
        hand.commit(order, section=b"s")
        await seen.until("video", id=made, sections_done=1)
        hand.finish()
        assert (await seen.until("video", id=made, status="completed")).data["progress"] == 100
        hand.jobs.delete(made, owner="local")
        hand.dispatcher.nudge(made, "local")
        assert (await seen.until("gone")).data == {"id": made, "object": "video"}
        assert rising(seen.events)


async def test_a_video_that_cannot_be_read_goes_until_it_can(
    feed: Feed, store: CountingStore, accept: Accept, hand: Hand
) -> None:
    """Its newest entry is damaged: the stream tells `gone`, as no list shows it. Restored, the video comes again."""
    made = accept().job.id
    hand.dispatcher.nudge(made)
    async with page(feed) as seen:
        await seen.until("queue", ids=[made])
        key = f"jobs/{made}/log/00000001.json"
        hand.jobs.wish(made, "pause", owner="local")
        whole = (store.root / key).read_bytes()
        (store.root / key).write_bytes(b"{")
        hand.dispatcher.sweep()
        assert (await seen.until("gone")).data == {"id": made, "object": "video"}
        (store.root / key).write_bytes(whole)
        hand.dispatcher.sweep()
        await seen.until("video", id=made, status="paused")
    async with page(feed, after=seen.events[0].id) as back:
        await back.until("video", id=made, status="paused")
        assert "gone" not in back.names()


async def test_a_place_is_known_at_every_replica(jobs: Jobs, door: DispatcherHere, accept: Accept, hand: Hand) -> None:
    """A client that comes back elsewhere hears of all that changed meanwhile, ended and gone ones too, once each."""
    ended, erased, kept = (accept().job.id for _ in range(3))
    for each in (ended, erased, kept):
        hand.dispatcher.nudge(each)
    async with page(feed_of(jobs, door)) as seen:
        await seen.until("queue")
        place = seen.events[-1].id
    for each, owner in ((ended, "local"), (erased, "local")):
        jobs.wish(each, "cancel", owner=owner)
        await door.nudge(each, owner)
    jobs.delete(erased, owner="local")
    await door.nudge(erased, "local")
    async with page(feed_of(jobs, door), after=place) as seen:
        await seen.until("queue", ids=[kept])
        told = [(event.name, event.data["id"]) for event in seen.events if event.name in {"video", "gone"}]
        assert sorted(told) == sorted([("video", ended), ("gone", erased)])
        assert seen.names()[0] == "hello"
        assert "reset" not in seen.names()
        assert rising(seen.events)
    for unknown in ("999.0.0", "0.5.0", "nonsense", "12.0"):
        async with page(feed_of(jobs, door), after=unknown) as seen:
            await seen.until("reset")
            assert not seen.events[0].id  # or a client that breaks off before `reset` would never hear of it


async def test_a_new_dispatcher_resets_nobody_who_stays(
    jobs: Jobs, door: DispatcherHere, feed: Feed, accept: Accept, hand: Hand
) -> None:
    """While it is away `farm` says so. Then what did not change is not told again, and what ended meanwhile is."""
    ended, kept = accept().job.id, accept().job.id
    for each in (ended, kept):
        hand.dispatcher.nudge(each)
    async with page(feed) as seen:
        await seen.until("queue")
        door.answers = False
        await seen.until("farm", dispatcher="the dispatcher does not answer")
        jobs.wish(ended, "cancel", owner="local")
        heir = DispatcherHere(jobs)
        door.dispatcher, door.answers = heir.dispatcher, True
        assert (await seen.until("video")).data["id"] == ended
        await seen.until("farm", dispatcher="ok")
        jobs.wish(kept, "pause", owner="local")
        await door.nudge(kept)
        assert (await seen.until("video")).data["status"] == "paused"
        assert "reset" not in seen.names()
        assert rising(seen.events)


async def test_a_page_opened_without_a_dispatcher_lists_again_later(
    jobs: Jobs, door: DispatcherHere, feed: Feed, accept: Accept
) -> None:
    """It hears at once that the dispatcher is away, and `reset` when it is back: what it listed may be old by then."""
    door.answers = False
    async with page(feed) as seen:
        await seen.until("hello")
        await seen.until("farm", dispatcher="the dispatcher does not answer")
        made = accept().job.id
        door.answers = True
        await door.nudge(made)
        await seen.until("reset")
        await seen.until("queue", ids=[made])


async def test_two_owners_never_hear_of_each_other(feed: Feed, accept: Accept, hand: Hand) -> None:
    """Ann's page names no video of Bob; his worker is busy there, and named operators alone see with what."""
    bobs = accept(owner="bob").job.id
    hand.dispatcher.nudge(bobs)
    async with page(feed, "ann") as ann, page(feed, "bob") as bob, page(feed, "op", sees_all=True) as operator:
        for each in (ann, bob, operator):
            await each.until("hello")
        hand.commit(hand.take(), conditioning=b"c")
        order = hand.take()
        hand.report(order, step=5)
        busy = await ann.until("worker", state="busy", stage="section")
        assert (busy.data["video"], busy.data["order"]) == (None, None)
        assert busy.data["progress"] > 0
        assert (await bob.until("worker", stage="section")).data["video"] == bobs
        assert (await operator.until("worker", stage="section")).data["video"] == bobs
        hand.commit(order, section=b"s")
        await bob.until("video", sections_done=1)
        hand.jobs.wish(bobs, "cancel", owner="bob")
        hand.dispatcher.nudge(bobs)
        hand.jobs.delete(bobs, owner="bob")
        hand.dispatcher.nudge(bobs, "bob")
        await bob.until("gone")
        assert ann.events[0].data["counts"] == {"queued": 0, "in_progress": 0, "paused": 0}
        anns = accept(owner="ann").job.id
        hand.dispatcher.nudge(anns)
        await ann.until("video", id=anns)  # what came before is told by then
        assert bobs not in json.dumps([event.data for event in ann.events])
        assert {event.name for event in operator.events} <= {"hello", "farm", "worker", "queue"}


async def test_many_changes_become_few_events(feed: Feed, accept: Accept, hand: Hand) -> None:
    """Steps: at most two events a second. Places in the queue: one event for many videos."""
    made = accept().job.id
    hand.dispatcher.nudge(made)
    hand.commit(hand.take(), conditioning=b"c")
    order = hand.take()
    async with page(feed) as seen:
        await seen.until("hello")
        begun = time.monotonic()
        for step in range(1, 25):
            hand.report(order, step=step)
            await asyncio.sleep(0.05)
        waiting = [accept().job.id for _ in range(30)]
        for each in waiting:
            hand.dispatcher.nudge(each)
        await seen.until("progress", step=24)  # the newest truth comes, however many were left out
        while set((await seen.until("queue")).data["ids"]) != set(waiting):
            pass
        spent = time.monotonic() - begun
        assert seen.names().count("progress") <= spent / 0.5 + 2
        assert seen.names().count("queue") <= spent + 2
        assert seen.names().count("video") <= len(waiting) + 1


async def test_a_section_is_shown_to_those_who_watch_it(
    http: TestClient, feed: Feed, accept: Accept, hand: Hand
) -> None:
    """The worker hears that it is watched, its preview reaches the watching page alone, and /content serves it."""
    made = accept().job.id
    hand.dispatcher.nudge(made)
    hand.commit(hand.take(), conditioning=b"c")
    order = hand.take()

    def report(step: int, webp: bytes | None = None) -> str:
        shown = None if webp is None else Preview(step=step, webp=webp)
        progress = Progress(
            job=made, key=order.key, attempt=order.attempt, worker="hand", step=step, steps=25, preview=shown
        )
        return hand.dispatcher.beat(hand.card, progress)

    assert report(1) == "go"
    path = f"/v1/videos/{made}/content?variant=live"
    assert http.get(path).json()["code"] == "not_ready"
    async with page(feed) as other, page(feed, watched=[made]) as seen, page(feed, "bob", watched=[made]) as bob:
        await seen.until("progress", step=1)
        while report(2) != "show":  # noqa: ASYNC110 - the dispatcher's answer has no event
            await asyncio.sleep(0.01)
        report(2, b"picture 2")
        shown = (await seen.until("preview", step=2)).data
        assert (shown["id"], shown["section"]) == (made, 0)
        answer = http.get(f"{path}&v={shown['etag']}")
        assert (answer.content, answer.headers["content-type"]) == (b"picture 2", "image/webp")
        assert "immutable" in answer.headers["cache-control"]
        report(3, b"picture 3")
        assert (await seen.until("preview", step=3)).data["etag"] != shown["etag"]
        hand.commit(order, section=b"s")
        for each in (seen, other):
            await each.until("video", sections_done=1)
        assert http.get(path).status_code == 409
        assert "preview" not in [*bob.names(), *other.names()]


def test_only_own_videos_are_shown(http: TestClient, accept: Accept) -> None:
    """A preview of another owner's video is 404 before the stream begins; a fifth one is too much."""
    bobs = accept(owner="bob").job.id
    assert http.get("/v1/events", params={"preview": [bobs]}).status_code == 404
    refused = http.get("/v1/events", params={"preview": [accept().job.id] * 5})
    assert (refused.status_code, refused.json()["errors"][0]["field"]) == (422, "preview")


async def test_five_hundred_pages_ask_no_more_than_one(
    jobs: Jobs, store: CountingStore, door: DispatcherHere, accept: Accept
) -> None:
    """Pages, open videos and ended videos cost neither questions to the dispatcher nor reads of the store."""
    costs = []
    for pages, videos in ((1, 1), (500, 50)):
        for _ in range(videos):
            await door.nudge(accept().job.id)
        for _ in range(videos):
            old = accept().job.id
            jobs.wish(old, "cancel", owner="local")
            await door.nudge(old, "local")
        feed = feed_of(jobs, door)
        asked, reads = door.asked_for_news, store.reads
        async with contextlib.AsyncExitStack() as stack:
            opened = [await stack.enter_async_context(page(feed)) for _ in range(pages)]
            await asyncio.gather(*(each.until("queue") for each in opened))
            costs.append((door.asked_for_news - asked, store.reads - reads))
    (few_asked, few_reads), (many_asked, many_reads) = costs
    assert few_reads == many_reads == 0
    assert many_asked <= few_asked + 2  # how often it asks meanwhile depends on the clock


def test_a_browser_can_read_it(farm_url: str, accept: Accept, door: DispatcherHere) -> None:
    """Over HTTP: the type that an EventSource wants, one line each, an id to come back with."""
    made = accept().job.id
    door.dispatcher.nudge(made)
    with httpx.Client(base_url=farm_url, trust_env=False, timeout=patient(10)) as http:
        with http.stream("GET", "/v1/events") as answer:
            assert answer.headers["content-type"].startswith("text/event-stream")
            lines = []
            for line in answer.iter_lines():
                lines.append(line)
                if line.startswith("event: queue"):
                    break
        assert lines[0].startswith("retry: ")
        hello = json.loads(lines[3].removeprefix("data: "))
        assert hello["owner"] == "local"
        assert hello["operator"] is True
        assert hello["counts"]["queued"] == 1
        last = next(line for line in reversed(lines) if line.startswith("id: ")).removeprefix("id: ")
        with http.stream("GET", "/v1/events", headers={"Last-Event-ID": last}) as answer:
            seen: list[Any] = []
            for event in read_events(answer.iter_lines()):
                seen.append(event.name)
                if event.name == "queue":
                    break
        assert "reset" not in seen
