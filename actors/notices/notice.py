"""A cloud's word that a machine ends, as the machine's own process tells the farm."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any, NamedTuple


class CloudNotice(NamedTuple):
    """One notice. docs/reference/protocol.md lists the kinds."""

    cloud: str
    kind: str
    is_hint: bool = False  #: the machine may end; else it does
    deadline_s: float | None = None  #: unix seconds; None: the cloud named no time
    event: str = ""  #: tells it from the next one of its kind

    @property
    def deadline(self) -> str:
        """Return the time of the end for people."""
        if self.deadline_s is None:
            return "unknown"
        return datetime.fromtimestamp(self.deadline_s, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")

    def to_bytes(self) -> bytes:
        """Write it for `read`."""
        return json.dumps(self._asdict()).encode()

    @classmethod
    def read(cls, data: bytes) -> CloudNotice:
        """Read what `to_bytes` wrote, of another version too: it may say more."""
        said: dict[str, Any] = json.loads(data)
        return cls(**{name: said[name] for name in cls._fields if name in said})
