"""The event stream of a video: its ledger entries, replayed and then followed, and progress from the dispatcher.

An id is `<seq>.<n>`: n counts the events since ledger entry `seq`. An entry's own events (`status`, `section`, `end`)
always have the same n. A client that reconnects with Last-Event-ID therefore misses none and sees none twice. Progress
lives in memory only, so it continues from now.
"""

from __future__ import annotations

import json
import re
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Any, NamedTuple

from sse_starlette import ServerSentEvent

from farm.ingress.views import progress_view, video_view
from farm.ingress.watches import Watches
from farm.jobs import Record
from farm.ledger import Entry
from farm.ledger.states import ENDED, OPEN

_LAST_ID = re.compile(r"(\d{1,10})\.(\d{1,10})")


class EventId(NamedTuple):
    """The position of an event in the stream."""

    seq: int
    n: int


async def follow(
    record: Record, *, watches: Watches, last_event_id: str | None, keep_days: float | None = None
) -> AsyncIterator[ServerSentEvent]:
    """Return the events after `last_event_id`, up to `end`. An unknown id counts as none: return all events.

    Raises: StoreError if the entries up to now cannot be read, so that this is an answer and no broken stream.
    """
    events = _events(record, watches=watches, last_event_id=last_event_id, keep_days=keep_days)
    await anext(events)

    async def told() -> AsyncIterator[ServerSentEvent]:
        async with aclosing(events):
            async for event in events:
                if event is not None:
                    yield event

    return told()


async def _events(
    record: Record, *, watches: Watches, last_event_id: str | None, keep_days: float | None
) -> AsyncGenerator[ServerSentEvent | None]:
    """Yield None once the entries up to the record's head are read, then the events."""
    job = record.asked
    seen = parse_id(last_event_id, head_seq=record.head.seq) or EventId(0, -1)
    shown, n = None, 0
    with watches.following(job.id) as watch:
        before = await watch.entry(seen.seq - 1) if seen.seq else None
        await watch.after(before.seq if before else -1, head_seq=record.head.seq)
        yield None
        while True:
            news = watch.news
            entries = await watch.after(before.seq if before else -1, head_seq=record.head.seq)
            for entry in entries:
                n = 0
                for name, data in _events_of(
                    Record(job, entry), before, is_last=entry.seq == entries[-1].end, keep_days=keep_days
                ):
                    if (entry.seq, n) > seen:
                        yield _event(name, data, EventId(entry.seq, n))
                    n += 1
                n = max(n, seen.n + 1) if entry.seq == seen.seq else n
                before = entry
            if before is None or before.state.status not in OPEN:
                return
            told = progress_view(Record(job, before), watch.live)
            if told is not None and told != shown:
                shown = told
                yield _event("progress", told, EventId(before.seq, n))
                n += 1
            await watch.changed(news)


def parse_id(text: str | None, *, head_seq: int) -> EventId | None:
    """Parse a Last-Event-ID. Return None for other texts, and for an id beyond this ledger's head."""
    match = _LAST_ID.fullmatch(text or "")
    if not match or int(match[1]) > head_seq:
        return None
    return EventId(int(match[1]), int(match[2]))


def has_seen_end(record: Record, last_event_id: str | None) -> bool:
    """Whether a client that reconnects has seen the `end` of an ended video, its last end's second event."""
    seen = parse_id(last_event_id, head_seq=record.head.seq)
    return seen is not None and record.head.state.status not in OPEN and seen >= (record.head.end, 1)


def _events_of(
    record: Record, before: Entry | None, *, is_last: bool, keep_days: float | None
) -> list[tuple[str, dict[str, Any]]]:
    """Return the events of one ledger entry, at most one of each kind. An end before a retry does not count."""
    entry, job = record.head, record.job
    state = entry.state
    events: list[tuple[str, dict[str, Any]]] = []
    done = len(before.state.sections) if before else 0
    if len(state.sections) > done:
        news = {
            "section": len(state.sections) - 1,
            "sections_done": len(state.sections),
            "attempt": entry.event.attempt,
        }
        events.append(("section", {"id": job.id, **news, "sections_total": job.plan.sections, "at": entry.at}))
    if before is None or before.state.status != state.status:
        error = state.error.model_dump() if state.error else None
        events.append(("status", {"id": job.id, "status": state.status, "error": error, "at": entry.at}))
        if state.status in ENDED and is_last:
            events.append(("end", video_view(record, keep_days=keep_days)))
    return events


def _event(name: str, data: dict[str, Any], at: EventId) -> ServerSentEvent:
    return ServerSentEvent(json.dumps(data), event=name, id=f"{at.seq}.{at.n}")
