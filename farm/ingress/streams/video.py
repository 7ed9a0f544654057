"""The event stream of a video: its ledger entries, replayed and then followed, and progress from the dispatcher.

An id is `<seq>.<n>`: n counts the events since ledger entry `seq`. An entry's own events (`status`, `section`, `end`)
always have the same n. A client that reconnects with Last-Event-ID therefore misses none and sees none twice. Progress
lives in memory only, so it continues from now.
"""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import NamedTuple

from farm.ingress.streams.watches import Watches
from farm.jobs import Record
from farm.ledger.states import OPEN

_LAST_ID = re.compile(r"(\d{1,10})\.(\d{1,10})")


class EventId(NamedTuple):
    """The position of an event in the stream."""

    seq: int
    n: int


async def follow(record: Record, *, watches: Watches, last_event_id: str | None) -> AsyncIterator[bytes]:
    """Return the encoded events after `last_event_id`, up to `end`; those that come together are one text.

    An unknown id counts as none: return all events.
    Raises: StoreError if the entries up to now cannot be read, so that this is an answer and no broken stream.
    """
    texts = _texts(record, watches=watches, last_event_id=last_event_id)
    await anext(texts)

    async def told() -> AsyncIterator[bytes]:
        async with aclosing(texts):
            async for text in texts:
                if text:
                    yield text

    return told()


async def _texts(record: Record, *, watches: Watches, last_event_id: str | None) -> AsyncGenerator[bytes]:
    """Yield nothing once the entries up to the record's head are read, then the events."""
    head_seq = record.head.seq
    seen = parse_id(last_event_id, head_seq=head_seq) or EventId(0, -1)
    n, shown = 0, None
    with watches.following(record.asked) as watch:
        before = await watch.entry(seen.seq - 1) if seen.seq else None
        await watch.after(before.seq if before else -1, head_seq=head_seq)
        yield b""
        while True:
            news, texts = watch.news, list[bytes]()
            entries = await watch.after(before.seq if before else -1, head_seq=head_seq)
            for entry in entries:
                events = watch.events(entry, before)
                if entry.seq != entries[-1].end:  # an end before a retry does not count
                    events = [event for event in events if not event.is_end]
                texts += [event.text for at, event in enumerate(events) if (entry.seq, at) > seen]
                n = max(len(events), seen.n + 1) if entry.seq == seen.seq else len(events)
                before = entry
            is_over = before is None or before.state.status not in OPEN
            if before and not is_over and watch.progress is not shown:
                shown = watch.progress
                if shown is not None:
                    texts.append(b"id: %d.%d\r\n%b" % (before.seq, n, shown.event("progress")))
                    n += 1
            yield b"".join(texts)
            if is_over:
                return
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
