"""The event stream: durable events replayed once each, in order, and progress in between."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from fastapi.testclient import TestClient

from farm.ingress.streams.video import follow
from farm.ingress.streams.watches import Watches
from farm.jobs import Jobs, Record
from tests.unit.conftest import DispatcherHere, Hand

Accept = Callable[..., Record]
Seen = tuple[str, str, dict[str, Any]]


def parse(text: str) -> list[Seen]:
    """(id, event, data) of each event in an SSE text."""
    blocks = [dict(line.split(": ", 1) for line in block.splitlines()) for block in text.split("\r\n\r\n") if block]
    return [(block["id"], block["event"], json.loads(block["data"])) for block in blocks]


@pytest.fixture
def finished(accept: Accept, hand: Hand) -> str:
    """The id of a finished video."""
    record = accept()
    hand.dispatcher.nudge(record.job.id)
    hand.finish()
    return record.job.id


def test_a_finished_video_tells_its_story(http: TestClient, finished: str) -> None:
    """Every status and section in order, then the end with the whole video object; then the stream closes."""
    events = parse(http.get(f"/v1/videos/{finished}/events").text)
    names = [name for _, name, _ in events]
    assert names == ["status", "status", "section", "section", "status", "end"]
    assert [data["status"] for _, name, data in events if name == "status"] == ["queued", "in_progress", "completed"]
    assert [data["section"] for _, name, data in events if name == "section"] == [0, 1]
    assert events[-1][2]["progress"] == 100
    numbers = [tuple(map(int, at.split("."))) for at, _, _ in events]
    assert numbers == sorted(set(numbers))


def test_coming_back_anywhere_misses_nothing_and_repeats_nothing(http: TestClient, finished: str) -> None:
    """From the id of any event, the rest follows; after the end, the client must not reconnect."""
    path = f"/v1/videos/{finished}/events"
    events = parse(http.get(path).text)
    for number, (at, _, _) in enumerate(events[:-1], start=1):
        assert parse(http.get(path, headers={"Last-Event-ID": at}).text) == events[number:]
    assert http.get(path, headers={"Last-Event-ID": events[-1][0]}).status_code == 204
    for odd in ("nonsense", "999999.0", "-1.0"):
        assert parse(http.get(path, headers={"Last-Event-ID": odd}).text) == events


def test_an_end_that_a_retry_followed_was_none(http: TestClient, accept: Accept, hand: Hand) -> None:
    """A client that connects late sees the cancellation, and then only the final end."""
    path = f"/v1/videos/{accept().job.id}"
    http.post(f"{path}/cancel")
    cancelled = parse(http.get(f"{path}/events").text)
    http.post(f"{path}/retry")
    hand.finish()
    whole = parse(http.get(f"{path}/events").text)
    statuses = [data["status"] for _, name, data in whole if name == "status"]
    assert statuses == ["queued", "cancelled", "queued", "in_progress", "completed"]
    assert [name for _, name, _ in whole].count("end") == 1
    rest = parse(http.get(f"{path}/events", headers={"Last-Event-ID": cancelled[-1][0]}).text)
    assert rest == whole[2:]


class Client:
    """A client of a video's stream."""

    def __init__(self, stream: AsyncIterator[bytes]) -> None:
        """Read nothing yet."""
        self._stream, self._read = stream, list[Seen]()

    async def until(self, name: str, **facts: object) -> Seen:
        """Return the next event of the name whose data has these facts."""
        while True:
            while self._read:
                seen = self._read.pop(0)
                if seen[1] == name and facts.items() <= seen[2].items():
                    return seen
            self._read += parse((await anext(self._stream)).decode())

    async def leave(self) -> None:
        """Close the stream."""
        await self._stream.aclose()  # type: ignore[attr-defined]  # an async generator


async def follows(watches: Watches, record: Record, *, after: str | None = None) -> Client:
    """Return a new client of the video's stream."""
    return Client(await follow(record, watches=watches, last_event_id=after))


async def test_progress_comes_while_a_section_is_made(
    jobs: Jobs, watches: Watches, accept: Accept, hand: Hand, door: DispatcherHere
) -> None:
    """Steps appear as they happen; their ids keep rising after the client was away."""
    record = accept()
    hand.dispatcher.nudge(record.job.id)
    hand.commit(hand.take(), conditioning=b"c")
    order = hand.take()
    hand.report(order, step=3)
    first = await (await follows(watches, record)).until("progress")
    assert (first[2]["stage"], first[2]["section"], first[2]["step"], first[2]["steps"]) == ("section", 0, 3, 25)
    record = jobs.get(record.job.id, owner="local")
    again = await follows(watches, record, after=first[0])
    hand.report(order, step=4)
    second = await again.until("progress", step=4)
    seq, n = map(int, second[0].split("."))
    assert seq == order.attempt
    assert n > int(first[0].split(".")[1])
    hand.commit(order, section=b"s")
    assert (await again.until("section"))[2]["sections_done"] == 1
    jobs.wish(record.job.id, "cancel", owner="local")
    await door.nudge(record.job.id)
    assert (await again.until("end"))[2]["status"] == "cancelled"


async def test_without_a_dispatcher_the_ledger_is_followed(
    watches: Watches, accept: Accept, hand: Hand, door: DispatcherHere
) -> None:
    """Without the dispatcher, the stream lacks progress, but no section and no status."""
    record = accept()
    hand.dispatcher.nudge(record.job.id)
    door.answers = False
    client = await follows(watches, record)
    assert (await client.until("status"))[2]["status"] == "queued"
    hand.finish()
    assert (await client.until("section"))[2]["section"] == 0
    assert (await client.until("end"))[2]["status"] == "completed"


async def test_a_dispatcher_that_comes_back_is_heard_again(
    watches: Watches, accept: Accept, hand: Hand, door: DispatcherHere
) -> None:
    """Progress goes on after the dispatcher was away."""
    record = accept()
    client = await follows(watches, record)
    door.answers = False
    hand.dispatcher.nudge(record.job.id)
    assert (await client.until("status"))[2]["status"] == "queued"
    hand.commit(hand.take(), conditioning=b"c")
    assert (await client.until("status"))[2]["status"] == "in_progress"
    door.answers = True
    hand.report(hand.take(), step=7)
    assert (await client.until("progress", step=7))[2]["stage"] == "section"
    await client.leave()


async def test_a_watcher_hears_what_a_video_waits_for(watches: Watches, accept: Accept, door: DispatcherHere) -> None:
    """If no worker can take the video, the progress event says why."""
    record = accept()
    await door.nudge(record.job.id)
    client = await follows(watches, record)
    _, _, news = await client.until("progress")
    assert (news["stage"], news["waiting_for"]) == (None, "a worker to start")
    await client.leave()
