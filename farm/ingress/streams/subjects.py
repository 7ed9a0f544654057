"""The facts that streams send: the newest state of each subject, how often it may be sent, and to which callers."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from farm.contract import JobId

EVERY_S = {
    "progress": 0.5,
    "preview": 0.5,
    "queue": 1.0,
    "worker": 1.0,
}  #: a kind's least time between two events of one subject


class Key(NamedTuple):
    """A subject: the kind of its events, and which one of them it is."""

    kind: str
    name: str


class Viewer(NamedTuple):
    """A caller who follows a stream."""

    owner: str
    sees_all: bool = False  #: an operator whom the farm names
    watched: frozenset[JobId] = frozenset()  #: the videos whose previews it wants


@dataclass(slots=True)
class Subject:
    """The newest truth of something, encoded once for all streams that tell it."""

    owner: str | None  #: None: nobody's
    truth: Callable[[], dict[str, Any]]  #: for its owner, and for operators
    public: dict[str, Any] | None = None  #: for all others; None: nothing
    version: int = 0  #: the dispatcher's, of its last change
    turn: int = 0  #: counts what this process told
    _events: tuple[bytes | None, bytes | None] = (None, None)

    def event(self, kind: str) -> bytes:
        """Return the encoded event for its owner."""
        full, public = self._events
        if full is None:
            full = encoded(kind, self.truth())
            self._events = full, public
        return full

    def event_for(self, kind: str, viewer: Viewer) -> bytes | None:
        """Return the encoded event for this viewer; None: it is not for them."""
        if viewer.owner == self.owner or (viewer.sees_all and self.public is not None):
            return self.event(kind)
        full, public = self._events
        if self.public is not None and public is None:
            public = encoded(kind, self.public)
            self._events = full, public
        return public


def encoded(kind: str, data: dict[str, Any]) -> bytes:
    """Return an event as text, without its id."""
    return f"event: {kind}\r\ndata: {json.dumps(data)}\r\n\r\n".encode()


class Subjects:
    """All subjects, in the order in which they were told last."""

    def __init__(self, clock: Callable[[], float]) -> None:
        """`clock` is monotonic."""
        self._clock = clock
        self.turn = 0
        self._told: dict[Key, Subject] = {}
        self._told_at: dict[Key, float] = {}
        self._waiting: dict[Key, Subject] = {}  # told too recently

    def put(self, key: Key, subject: Subject) -> None:
        """Tell a subject's new truth: now, or when its kind allows."""
        self._waiting[key] = subject
        if self._due(key) <= self._clock():
            self._tell(key)

    def drop(self, key: Key) -> None:
        """Forget a subject."""
        for each in (self._told, self._told_at, self._waiting):
            each.pop(key, None)

    def flush(self) -> float | None:
        """Tell what may be told by now; return in how many seconds the next may. None: nothing waits."""
        now = self._clock()
        for key in [key for key in self._waiting if self._due(key) <= now]:
            self._tell(key)
        return min((self._due(key) - now for key in self._waiting), default=None)

    def get(self, key: Key) -> Subject | None:
        """Return the newest truth of a subject, told or not."""
        return self._waiting.get(key) or self._told.get(key)

    def told(self, key: Key) -> Subject | None:
        """Return a subject as it was told last."""
        return self._told.get(key)

    def after(self, turn: int) -> list[tuple[Key, Subject]]:
        """Return what was told after that turn, oldest first."""
        found = []
        for key, subject in reversed(self._told.items()):
            if subject.turn <= turn:
                break
            found.append((key, subject))
        return found[::-1]

    def of(self, *kinds: str) -> Iterator[tuple[Key, Subject]]:
        """Yield the subjects of these kinds as they were told last."""
        return ((key, subject) for key, subject in self._told.items() if key.kind in kinds)

    def _due(self, key: Key) -> float:
        return self._told_at.get(key, float("-inf")) + EVERY_S.get(key.kind, 0.0)

    def _tell(self, key: Key) -> None:
        self.turn += 1
        subject = self._waiting.pop(key)
        subject.turn = self.turn
        self._told.pop(key, None)
        self._told[key], self._told_at[key] = subject, self._clock()
