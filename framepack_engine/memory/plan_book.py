"""The memory plans of one model on one device: chosen by the video, and by what did not fit before. Loads no torch."""

from __future__ import annotations

import hashlib
import json
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4

from framepack_engine.memory.ladder import (
    GIB,
    RESERVE_BYTES,
    RESERVE_SHARE,
    MemoryPlan,
    Workload,
    choose_plan,
    decode_work_bytes,
    ladder,
    largest_workload,
    usable_bytes,
)
from framepack_engine.models.model_size import ModelSize
from framepack_engine.planning.tiles import choose_tile_px

log = logging.getLogger(__name__)
KEEP_S = 7 * 24 * 3600.0
_VERSION = 2  #: raise it when rungs or keys change

Tried = tuple[int, int, int, int]  #: height, width, window, bytes that a plan could take


class PlanNotes:
    """A file that keeps, for one model on one kind of device, the highest rung that failed, by size and room."""

    def __init__(self, folder: Path, facts: Mapping[str, object], *, now: Callable[[], float] = time.time) -> None:
        """facts: what the notes are about (device, memory, model); other facts have another file. now: unix seconds."""
        self._facts, self._now = {**facts, "version": _VERSION}, now
        digest = hashlib.sha256(json.dumps(self._facts, sort_keys=True).encode()).hexdigest()
        self.path = folder / f"{digest[:16]}.json"

    def read(self) -> dict[Tried, int]:
        """Return the notes of the last seven days; none if the file is missing or cannot be read."""
        return {tried: rung for tried, (rung, _) in self._entries().items()}

    def add(self, tried: Tried, rung: int) -> None:
        """Note that `rung` is too large. If the file cannot be written, log it."""
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
            log.warning("plan_not_noted: %s", err, extra={"path": self.path})

    def _entries(self) -> dict[Tried, tuple[int, float]]:
        try:
            lines = json.loads(self.path.read_text())["too_large"]
            entries = {
                (e["height"], e["width"], e["window"], int(e["room"])): (int(e["rung"]), float(e["at"])) for e in lines
            }
        except (OSError, ValueError, KeyError, TypeError):
            return {}
        return {tried: noted for tried, noted in entries.items() if 0 <= self._now() - noted[1] < KEEP_S}


@dataclass(slots=True, kw_only=True)
class PlanBook:
    """Chooses plans, and remembers for the life of the process what did not fit.

    preserve_bytes: of the device, left to others if the video does not say how much. counted: on the CPU, enforce plans
    by counting each tensor, which is slow. notes: keeps what did not fit for the next process.
    """

    size: ModelSize
    device_bytes: int
    host_bytes: int
    preserve_bytes: int = 0
    counted: bool = True
    notes: PlanNotes | None = None
    _too_large: dict[Tried, int] = field(default_factory=dict)  # -> rung

    def __post_init__(self) -> None:
        """Read what earlier processes noted."""
        if self.notes is not None:
            self._too_large = self.notes.read()

    def plan(self, work: Workload, *, preserve_bytes: int | None = None, below: int = -1) -> MemoryPlan:
        """Choose the best plan that fits and has not failed at this size with as much room. Raises: DeviceTooSmall.

        below: a rung; only later rungs are considered.
        """
        size, room = (work.height, work.width, work.window), self.room(preserve_bytes)
        failed = [rung for (*tried, had), rung in self._too_large.items() if tuple(tried) == size and room <= had]
        return choose_plan(
            self.size,
            work,
            device_bytes=self.device_bytes,
            host_bytes=self.host_bytes,
            preserve_bytes=self.preserve_bytes if preserve_bytes is None else preserve_bytes,
            below=max(below, *failed, -1),
        )

    def room(self, preserve_bytes: int | None = None) -> int:
        """Return the bytes that a plan may take."""
        preserved = self.preserve_bytes if preserve_bytes is None else preserve_bytes
        return usable_bytes(self.device_bytes, preserve_bytes=preserved)

    def tile_px(self, work: Workload, *, preserve_bytes: int | None = None) -> int:
        """Choose the largest tile that fits half of the room beside a decode's weights. Raises: DeviceTooSmall.

        work: without a size of tiles.
        """
        plan = self.plan(work, preserve_bytes=preserve_bytes)
        weights = plan.decode_bytes - decode_work_bytes(self.size, work)
        free = max(0, self.room(preserve_bytes) - weights)
        return choose_tile_px(free, channels=self.size.vae_channels, itemsize=self.size.vae_itemsize)

    def too_large(self, work: Workload, plan: MemoryPlan, *, preserve_bytes: int | None = None) -> None:
        """Remember that `plan` ran out of memory at this size and room; the book no longer chooses it there."""
        key = work.height, work.width, work.window, self.room(preserve_bytes)
        self._too_large[key] = max(plan.rung, self._too_large.get(key, -1))
        if self.notes is not None:
            self.notes.add(key, self._too_large[key])

    @property
    def remembered(self) -> str:
        """The plans that did not fit, in words."""
        return ", ".join(
            f"{width}x{height} w={window}: plan {rung + 1} ran out of memory in {room / GIB:.1f} GiB"
            for (height, width, window, room), rung in self._too_large.items()
        )

    def needs_gib(self, resolution: int) -> dict[str, float]:
        """Return the GPU memory that the smallest plans take at a model's usual size, without what is left to others.

        Returns: "" for encode and section, then each way to decode.
        """
        work = largest_workload(resolution)
        needs = {"": 0.0}
        for name, decode in (("", "framewise"), ("framewise", "framewise"), ("tiled", "tiled"), ("whole", "whole")):
            asked = Workload(height=work.height, width=work.width, decode=decode, tile_px=work.tile_px)
            least = self._least(asked, decode=bool(name))
            needs[name] = round(least / GIB, 2)
        return needs

    def _least(self, work: Workload, *, decode: bool) -> float:
        """Return the bytes of the smallest device on which some plan fits, reserve included."""
        plans = ladder(self.size, work)
        least = min(plan.decode_bytes if decode else max(plan.section_bytes, plan.encode_bytes) for plan in plans)
        return max(least + RESERVE_BYTES, least / (1 - RESERVE_SHARE))
