"""The stream of all that belongs to an owner: videos, the queue, the workers and the farm, for as long as one likes.

An id is `<epoch>.<version>.<n>`: a place in the dispatcher's news, and the count of events since then. Every process
knows these places, so a client may come back at any of them.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from typing import Any

from farm.dispatch.news import Place
from farm.ingress.streams.feed import Feed
from farm.ingress.streams.subjects import Key, Subject, Viewer, encoded

_LAST_ID = re.compile(r"(\d{1,12})\.(\d{1,15})\.(\d{1,15})")
_RETRY_MS = 1000  #: a browser comes back after this
_NOW = (
    "farm",
    "worker",
    "queue",
    "progress",
    "preview",
)  #: told to each client that comes; of these only the newest counts
_SINCE = ("video", "gone")  #: told to a client that comes back, if they changed since


class Stream:
    """The events for one client."""

    def __init__(self, feed: Feed, viewer: Viewer, *, hello: dict[str, Any], last_event_id: str | None) -> None:
        """`hello`: the viewer's facts, which the first event sends."""
        self._feed, self._viewer, self._hello = feed, viewer, hello
        self._asked = last_event_id is not None
        self._from, self._n = parse_id(last_event_id)
        self._place = self._from

    async def events(self) -> AsyncIterator[bytes]:
        """Yield encoded events for ever; those that come together are one text."""
        feed = self._feed
        with feed.following(self._viewer.watched):
            await feed.heard()
            news, turn, is_placed = feed.news, feed.subjects.turn, feed.place is not None
            batch = [*self._greet(), *(self._catch_up() if is_placed else self._told(list(feed.subjects.of("farm"))))]
            while True:
                if batch:
                    yield b"".join(batch)
                await news.wait()
                news = feed.news
                found, turn = feed.subjects.after(turn), feed.subjects.turn
                if is_placed or feed.place is None:
                    batch = self._told(found)
                    self._arrive()
                else:  # the dispatcher did not answer before
                    is_placed, self._asked = True, True
                    batch = self._catch_up()

    def _greet(self) -> list[bytes]:
        feed = self._feed
        if not self._asked:
            self._arrive()  # else the client would come back without a place, and miss what happens until then
        elif not self._is_known():
            self._place = None
        hello = self._hello | {"counts": feed.counts(self._viewer.owner)}
        return [f"retry: {_RETRY_MS}\r\n".encode() + self._placed(encoded("hello", hello))]

    def _catch_up(self) -> list[bytes]:
        """Return what a client gets that comes, or comes back."""
        feed, since, events = self._feed, self._from, list[bytes]()
        is_known = self._is_known()
        if since is not None and is_known:
            missed = [each for each in feed.subjects.of(*_SINCE) if each[1].version > since.version]
            events = self._told(sorted(missed, key=lambda each: each[1].version))
        self._arrive()
        if self._asked and not is_known:
            events.append(self._placed(encoded("reset", {})))
        return events + self._told(list(feed.subjects.of(*_NOW)))

    def _is_known(self) -> bool:
        """Whether the feed knows all that changed since the place that the client asked for."""
        feed, since = self._feed, self._from
        return (
            since is not None
            and feed.place is not None
            and since.epoch == feed.place.epoch
            and feed.floor <= since.version <= feed.place.version
        )

    def _told(self, subjects: list[tuple[Key, Subject]]) -> list[bytes]:
        events = []
        for key, subject in subjects:
            if key.kind == "preview" and key.name not in self._viewer.watched:
                continue
            event = subject.event_for(key.kind, self._viewer)
            if event is not None:
                events.append(self._placed(event))
        return events

    def _arrive(self) -> None:
        """Take the feed's place: all up to there is told."""
        if self._place != self._feed.place:
            self._place, self._n = self._feed.place, 0

    def _placed(self, event: bytes) -> bytes:
        place = b"id: %d.%d.%d\r\n" % (*self._place, self._n) if self._place else b""
        self._n += 1
        return place + event


def parse_id(last_event_id: str | None) -> tuple[Place | None, int]:
    """Return the place that an id names (None: it names none), and the next count there."""
    match = _LAST_ID.fullmatch(last_event_id or "")
    return (Place(int(match[1]), int(match[2])), int(match[3]) + 1) if match else (None, 0)
