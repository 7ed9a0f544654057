"""What ran out of memory on a device, in a small file that outlives the process. Loads no torch.

Losing it costs one more plan that is tried in vain. Notes pass: another program may have had the memory that day.
"""

from __future__ import annotations

import hashlib
import json
import logging
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from uuid import uuid4

log = logging.getLogger(__name__)
KEEP_S = 7 * 24 * 3600.0
_VERSION = 2  #: rungs of another ladder, or other keys, take the next number

Tried = tuple[int, int, int, int]  #: height, width, window, bytes that a plan could take


class PlanNotes:
    """Of one model on one kind of device: the highest rung that failed, by size of picture and room."""

    def __init__(self, folder: Path, facts: Mapping[str, object], *, now: Callable[[], float] = time.time) -> None:
        """facts: what the notes are about: device, memory, model; other facts are another file. now: unix seconds."""
        self._facts, self._now = {**facts, "version": _VERSION}, now
        digest = hashlib.sha256(json.dumps(self._facts, sort_keys=True).encode()).hexdigest()
        self.path = folder / f"{digest[:16]}.json"

    def read(self) -> dict[Tried, int]:
        """Of the last seven days: tried -> rung; nothing where there is no file, or one that cannot be read."""
        return {tried: rung for tried, (rung, _) in self._entries().items()}

    def add(self, tried: Tried, rung: int) -> None:
        """Note that `rung` is too large there. A disk that takes no file is logged, and no error."""
        known = {**self._entries(), tried: (rung, self._now())}
        lines = [
            {"height": height, "width": width, "window": window, "room": room, "rung": failed, "at": at}
            for (height, width, window, room), (failed, at) in known.items()
        ]
        aside = self.path.with_suffix(f".{uuid4().hex[:8]}")
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            aside.write_text(json.dumps({"facts": self._facts, "too_large": lines}, indent=1))
            aside.replace(self.path)
        except OSError as err:
            log.warning("action=plan_not_noted path=%s: %s", self.path, err)

    def _entries(self) -> dict[Tried, tuple[int, float]]:
        try:
            lines = json.loads(self.path.read_text())["too_large"]
            entries = {
                (e["height"], e["width"], e["window"], int(e["room"])): (int(e["rung"]), float(e["at"])) for e in lines
            }
        except (OSError, ValueError, KeyError, TypeError):
            return {}
        return {tried: noted for tried, noted in entries.items() if 0 <= self._now() - noted[1] < KEEP_S}
