"""Server-Sent Events as a client reads them. Source: WHATWG HTML, section "Server-sent events"."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple


class Event(NamedTuple):
    """One event of a video's stream."""

    id: str
    name: str  #: status, progress, section or end
    data: dict[str, Any]


def read_events(lines: Iterable[str]) -> Iterator[Event]:
    """Events from the lines of a stream; comments (pings) and what a broken connection cut short are left out."""
    fields: dict[str, list[str]] = {}
    for line in lines:
        if line.startswith(":"):
            continue
        if line:
            name, _, value = line.partition(":")
            fields.setdefault(name, []).append(value.removeprefix(" "))
            continue
        if "data" in fields:
            data = json.loads("\n".join(fields["data"]))
            yield Event(fields.get("id", [""])[-1], fields.get("event", ["message"])[-1], data)
        fields = {}
