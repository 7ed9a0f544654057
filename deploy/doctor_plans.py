"""The memory plans of a card, size by size: what a worker would choose there. Loads no torch."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any

from framepack_engine.catalog import ModelEntry
from framepack_engine.errors import DeviceTooSmall
from framepack_engine.memory import GIB, Plan, Workload, largest_workload, size_of
from framepack_engine.plan_book import PlanBook

_SMALLER = (320, 480)  #: classes of size that are shown beside a model's own
_DECODES = ("framewise", "tiled")


@dataclass(frozen=True, slots=True, kw_only=True)
class CardPlan:
    """What a card does with one size of picture. GiB are predicted peaks, copied_gb (10^9 bytes) is of a forward.

    tile_px: the size of tiles that a video gets which begins on this card and leaves it open; None without tiles.
    plan: in words; None where not even sections fit, and `why` says what they need.
    """

    device: str
    device_gib: float
    size: str
    decode: str
    tile_px: int | None = None
    plan: str | None = None
    peak_gib: float | None = None
    encode_gib: float | None = None
    section_gib: float | None = None
    decode_gib: float | None = None
    decode_fits: bool = False
    copied_gb: float | None = None
    why: str = ""

    def row(self) -> dict[str, Any]:
        """As a line of a table."""
        return asdict(self)


def card_plans(
    device: str, *, device_bytes: int, host_bytes: int, preserve_bytes: int, model: ModelEntry, precision: str = "bf16"
) -> Iterator[CardPlan]:
    """The plans of one card for the sizes that `model` is made for and smaller ones, by mode of decoding."""
    size = size_of(model.name, precision)
    book = PlanBook(
        size=size, device_bytes=device_bytes, host_bytes=host_bytes, preserve_bytes=preserve_bytes, counted=False
    )
    for resolution in sorted({model.resolution, *(each for each in _SMALLER if each < model.resolution)}, reverse=True):
        for decode in _DECODES:
            yield _card_plan(device, book, replace(largest_workload(resolution), decode=decode, tile_px=None))


def _card_plan(device: str, book: PlanBook, work: Workload) -> CardPlan:
    found = CardPlan(
        device=device,
        device_gib=round(book.device_bytes / GIB, 1),
        size=f"{work.width}x{work.height}",
        decode=work.decode,
    )
    try:
        tile_px = book.tile_px(work) if work.decode == "tiled" else None
        plan = book.plan(replace(work, tile_px=tile_px))
    except DeviceTooSmall as err:
        return replace(found, why=str(err))
    return replace(
        found,
        tile_px=tile_px,
        plan=_held(plan),
        peak_gib=_gib(plan.peak_bytes),
        encode_gib=_gib(plan.encode_bytes),
        section_gib=_gib(plan.section_bytes),
        decode_gib=_gib(plan.decode_bytes),
        decode_fits=plan.decodes,
        copied_gb=round(plan.streamed_bytes / 1e9, 2),
        why="" if plan.decodes else _left_to_others(plan),
    )


def _held(plan: Plan) -> str:
    """A plan's words without its peak, which has a column of its own."""
    return plan.words.rpartition(",")[0]


def _left_to_others(plan: Plan) -> str:
    return f"its decodes take {plan.decode_bytes / GIB:.1f} GiB: a larger card's work, or ask for decode=tiled"


def _gib(size: int) -> float:
    return round(size / GIB, 1)
