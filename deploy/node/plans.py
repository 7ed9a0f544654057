"""The memory plans of a card, size by size: what a worker would choose there. Loads no torch."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from typing import Any

from framepack_engine.errors import DeviceTooSmall
from framepack_engine.memory.ladder import GIB, MemoryPlan, Workload, largest_workload, size_of
from framepack_engine.memory.plan_book import PlanBook
from framepack_engine.models.catalog import ModelEntry

_SMALLER = (320, 480)  #: classes of size that are shown beside a model's own
_DECODES = ("framewise", "tiled")
_FEWER_BITS = ("fp8", "int4")  #: int8 and fp8-dynamic are as large as fp8, and not for every card
_PRICE = "it makes another picture (docs/explanation/memory-plans.md), and needs framepack-farm[precision]"


@dataclass(frozen=True, slots=True, kw_only=True)
class CardPlan:
    """What a card does with one size of picture. GiB are predicted peaks, copied_gb (10^9 bytes) is of a forward.

    tile_px: the size of tiles that a video gets which begins on this card and leaves it open; None without tiles.
    plan: in words; None where not even sections fit, and `why` says what they need. hint: the precision that would
    copy nothing, or less than half, or that has a plan where this one has none.
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
    hint: str = ""

    def row(self) -> dict[str, Any]:
        """As a line of a table."""
        return asdict(self)


def card_plans(
    device: str, *, device_bytes: int, host_bytes: int, preserve_bytes: int, model: ModelEntry, precision: str = "bf16"
) -> Iterator[CardPlan]:
    """The plans of one card for the sizes that `model` is made for and smaller ones, by mode of decoding."""
    book = PlanBook(
        size=size_of(model.name, precision),
        device_bytes=device_bytes,
        host_bytes=host_bytes,
        preserve_bytes=preserve_bytes,
        counted=False,
    )
    packed = [replace(book, size=size_of(model.name, each)) for each in _FEWER_BITS]
    lighter = [each for each in packed if each.size.transformer_bytes < book.size.transformer_bytes]
    for resolution in sorted({model.resolution, *(each for each in _SMALLER if each < model.resolution)}, reverse=True):
        for decode in _DECODES:
            work = replace(largest_workload(resolution), decode=decode, tile_px=None)
            yield _card_plan(device, book, work, lighter=lighter)


def _card_plan(device: str, book: PlanBook, work: Workload, *, lighter: list[PlanBook]) -> CardPlan:
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
        return replace(found, why=str(err), hint=_way_in(work, lighter))
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
        hint=_hint(plan, work, lighter),
    )


def _hint(plan: MemoryPlan, work: Workload, lighter: list[PlanBook]) -> str:
    """The first precision, most bits first, that streams nothing, else the one that copies least; "" without gain."""
    found = dict[int, str]()
    for book in lighter:
        with suppress(DeviceTooSmall):
            copied = book.plan(work).streamed_bytes
            found.setdefault(copied, book.size.precision)
    least = min(found, default=plan.streamed_bytes)
    if 2 * least >= plan.streamed_bytes:
        return ""
    of = f"{least / 1e9:.2f} GB" if least else "nothing"
    source = " from file" if plan.mapped else ""
    return (
        f"FARM_PRECISION={found[least]} copies {of} in a forward, where {plan.precision} copies "
        f"{plan.streamed_bytes / 1e9:.2f} GB{source}; {_PRICE}"
    )


def _way_in(work: Workload, lighter: list[PlanBook]) -> str:
    """The first precision, most bits first, that has a plan; "" where none has."""
    for book in lighter:
        with suppress(DeviceTooSmall):
            tile_px = book.tile_px(work) if work.decode == "tiled" else None
            book.plan(replace(work, tile_px=tile_px))
            return f"FARM_PRECISION={book.size.precision} has a plan for it; {_PRICE}"
    return ""


def _held(plan: MemoryPlan) -> str:
    """A plan's words without its peak, which has a column of its own."""
    return plan.words.rpartition(",")[0]


def _left_to_others(plan: MemoryPlan) -> str:
    return f"its decodes take {plan.decode_bytes / GIB:.1f} GiB: a larger card's work, or ask for decode=tiled"


def _gib(size: int) -> float:
    return round(size / GIB, 1)
