"""The memory plans of one model on one device: chosen by what is rendered, and by what did not fit before. No torch."""

from __future__ import annotations

from dataclasses import dataclass, field

from framepack_engine.memory import (
    GIB,
    RESERVE_BYTES,
    RESERVE_SHARE,
    Plan,
    Workload,
    choose_plan,
    decode_work_bytes,
    ladder,
    largest_workload,
    usable_bytes,
)
from framepack_engine.model_size import ModelSize
from framepack_engine.plan_notes import PlanNotes, Tried
from framepack_engine.tiles import choose_tile_px


@dataclass(slots=True, kw_only=True)
class PlanBook:
    """Kept for the process's life. preserve_bytes: of the device, left to others, where a video does not say.

    counted: on the CPU what a plan may take is kept to by counting each tensor, which is slow. notes: where what did
    not fit is kept for the next process.
    """

    size: ModelSize
    device_bytes: int
    host_bytes: int
    preserve_bytes: int = 0
    counted: bool = True
    notes: PlanNotes | None = None
    _too_large: dict[Tried, int] = field(default_factory=dict)  # -> rung

    def __post_init__(self) -> None:
        """Begin with what earlier processes learnt."""
        if self.notes is not None:
            self._too_large = self.notes.read()

    def plan(self, work: Workload, *, preserve_bytes: int | None = None, below: int = -1) -> Plan:
        """The best plan that fits and did not fail at this size with as much room, or more. Raises: DeviceTooSmall.

        below: a rung; only what follows it is looked at.
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
        """Bytes that a plan may take."""
        preserved = self.preserve_bytes if preserve_bytes is None else preserve_bytes
        return usable_bytes(self.device_bytes, preserve_bytes=preserved)

    def tile_px(self, work: Workload, *, preserve_bytes: int | None = None) -> int:
        """The largest tile that half of the room beside a decode's weights holds. Raises: DeviceTooSmall.

        work: with the size of its tiles open; the plan that is chosen so says which weights lie there.
        """
        plan = self.plan(work, preserve_bytes=preserve_bytes)
        weights = plan.decode_bytes - decode_work_bytes(self.size, work)
        free = max(0, self.room(preserve_bytes) - weights)
        return choose_tile_px(free, channels=self.size.vae_channels, itemsize=self.size.vae_itemsize)

    def too_large(self, work: Workload, plan: Plan, *, preserve_bytes: int | None = None) -> None:
        """`plan` ran out of memory at this size: it is not tried at it again with no more room than it had."""
        key = work.height, work.width, work.window, self.room(preserve_bytes)
        self._too_large[key] = max(plan.rung, self._too_large.get(key, -1))
        if self.notes is not None:
            self.notes.add(key, self._too_large[key])

    @property
    def remembered(self) -> str:
        """What did not fit, for people; empty where all did."""
        return ", ".join(
            f"{width}x{height} w={window}: plan {rung + 1} ran out of memory in {room / GIB:.1f} GiB"
            for (height, width, window, room), rung in self._too_large.items()
        )

    def needs_gib(self, resolution: int) -> dict[str, float]:
        """GPU memory that the smallest plans take at a model's usual size: "" for encode and section, then by decode.

        What is left to others, comes on top.
        """
        work = largest_workload(resolution)
        needs = {"": 0.0}
        for name, decode in (("", "framewise"), ("framewise", "framewise"), ("tiled", "tiled"), ("whole", "whole")):
            asked = Workload(height=work.height, width=work.width, decode=decode, tile_px=work.tile_px)
            least = self._least(asked, decode=bool(name))
            needs[name] = round(least / GIB, 2)
        return needs

    def _least(self, work: Workload, *, decode: bool) -> float:
        """Device bytes, reserve included, of which the smallest plan's peak is what may be used."""
        plans = ladder(self.size, work)
        least = min(plan.decode_bytes if decode else max(plan.section_bytes, plan.encode_bytes) for plan in plans)
        return max(least + RESERVE_BYTES, least / (1 - RESERVE_SHARE))
