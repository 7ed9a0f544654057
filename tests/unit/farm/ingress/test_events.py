"""The event stream: durable events replayed once each, in order, and progress in between."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sse_starlette import ServerSentEvent

from farm.ingress.events import follow
from farm.ingress.watches import Watches
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


async def _until(stream: AsyncIterator[ServerSentEvent], name: str) -> Seen:
    """The next event called `name`."""
    async for event in stream:
        (seen,) = parse(event.encode().decode())
        if seen[1] == name:
            return seen
    raise AssertionError(name)


async def test_progress_comes_while_a_section_is_made(
    jobs: Jobs, accept: Accept, hand: Hand, door: DispatcherHere
) -> None:
    """Steps appear as they happen; their ids keep rising after the client was away."""
    record = accept()
    hand.dispatcher.nudge(record.job.id)
    hand.commit(hand.take(), conditioning=b"c")
    order = hand.take()
    hand.report(order, step=3)
    stream = await follow(record, watches=Watches(jobs, door), last_event_id=None)
    first = await _until(stream, "progress")
    assert (first[2]["stage"], first[2]["section"], first[2]["step"], first[2]["steps"]) == ("section", 0, 3, 25)
    record = jobs.get(record.job.id, owner="local")
    again = await follow(record, watches=Watches(jobs, door), last_event_id=first[0])
    hand.report(order, step=4)
    second = await _until(again, "progress")
    assert (second[2]["step"], second[0]) == (4, f"{order.attempt}.{int(first[0].split('.')[1]) + 1}")
    hand.commit(order, section=b"s")
    assert (await _until(again, "section"))[2]["sections_done"] == 1
    jobs.wish(record.job.id, "cancel", owner="local")
    await door.nudge(record.job.id)
    assert (await _until(again, "end"))[2]["status"] == "cancelled"


async def test_without_a_dispatcher_the_ledger_is_followed(
    jobs: Jobs, accept: Accept, hand: Hand, door: DispatcherHere
) -> None:
    """Without the dispatcher, the stream lacks progress, but no section and no status."""
    record = accept()
    hand.dispatcher.nudge(record.job.id)
    door.answers = False
    stream = await follow(record, watches=Watches(jobs, door), last_event_id=None)
    assert (await _until(stream, "status"))[2]["status"] == "queued"
    hand.finish()
    assert (await _until(stream, "section"))[2]["section"] == 0
    assert (await _until(stream, "end"))[2]["status"] == "completed"


async def test_a_watcher_hears_what_a_video_waits_for(accept: Accept, jobs: Jobs, door: DispatcherHere) -> None:
    """If no worker can take the video, the progress event says why."""
    record = accept()
    await door.nudge(record.job.id)
    stream = await follow(record, watches=Watches(jobs, door), last_event_id=None)
    _, _, news = await _until(stream, "progress")
    assert (news["stage"], news["waiting_for"]) == (None, "a worker to start")
    await stream.aclose()  # type: ignore[attr-defined]  # an async generator
