"""Server-Sent Events, as a farm sends them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple


class Event(NamedTuple):
    """An event of a stream."""

    id: str
    name: str  #: of a video's stream: status, progress, section or end
    data: dict[str, Any]


class EventParser:
    """Makes events of lines. Skips comments (pings), and an event that a broken connection cut short."""

    def __init__(self) -> None:
        self._fields: dict[str, list[str]] = {}

    def take(self, line: str) -> Event | None:
        """Take the next line; return the event that it completes."""
        if line.startswith(":"):
            return None
        if line:
            name, _, value = line.partition(":")
            self._fields.setdefault(name, []).append(value.removeprefix(" "))
            return None
        fields, self._fields = self._fields, {}
        if "data" not in fields:
            return None
        data = json.loads("\n".join(fields["data"]))
        return Event(fields.get("id", [""])[-1], fields.get("event", ["message"])[-1], data)


def read_events(lines: Iterable[str]) -> Iterator[Event]:
    """Read events from the lines of a stream."""
    parser = EventParser()
    return (event for line in lines if (event := parser.take(line)))
