"""The memory plans of a card, size by size, as a worker there chooses them. Loads no torch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

from framepack_engine.errors import DeviceTooSmall
from framepack_engine.memory.ladder import GIB, MemoryPlan, Workload, largest_workload, size_of
from framepack_engine.memory.plan_book import PlanBook
from framepack_engine.models.catalog import ModelEntry

_SMALLER = (320, 480)  #: size classes that are shown as well
_DECODES = ("framewise", "tiled")
_FEWER_BITS = ("fp8", "int4")  #: int8 and fp8-dynamic are as large as fp8, and not for every card
PRICE = "it makes another picture (docs/explanation/memory-plans.md), and needs framepack-farm[precision]"


@dataclass(frozen=True, slots=True, kw_only=True)
class CardPlan:
    """A card's plan for one size of picture. GiB are predicted peaks; a forward copies copied_gb (10^9 bytes).

    tile_px: tiles of a video that begins on this card and leaves them open; None without tiles.
    plan: in words; None if not even sections fit (`why` says what they need).
    hint: a precision that copies nothing or less than half, or that has a plan if this one has none.
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


def by_size(plans: Sequence[CardPlan]) -> Iterator[tuple[str, list[tuple[str, str]]]]:
    """Yield each card with its sizes: how each works there, and what makes it faster or possible."""
    for device in dict.fromkeys(plan.device for plan in plans):
        own = [plan for plan in plans if plan.device == device]
        sizes = dict.fromkeys(plan.size for plan in own)
        yield device, [(size, _in_words([plan for plan in own if plan.size == size])) for size in sizes]


def _in_words(plans: Sequence[CardPlan]) -> str:
    """Say how a size works on a card. plans: one for each way to decode, the plainest first."""
    hint = next((plan.hint.partition(" ")[0] for plan in plans if plan.hint), "")
    for plan in plans:
        if plan.decode_fits:
            how = "" if plan.decode == _DECODES[0] else f" with --decode {plan.decode}"
            return f"works{how}, peak {plan.peak_gib} GiB" + (f". Faster: {hint}" if hint else "")
    if any(plan.plan for plan in plans):
        return f"sections work, but {plans[-1].why}"
    why = plans[-1].why.removeprefix(f"{plans[-1].size} ")
    return f"does not fit: it {why}" + (f". {hint} fits" if hint else "")


def card_plans(
    device: str, *, device_bytes: int, host_bytes: int, preserve_bytes: int, model: ModelEntry, precision: str = "bf16"
) -> Iterator[CardPlan]:
    """Yield the card's plans for the sizes of `model` and for smaller ones, each with both modes of decoding."""
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
        plan, tile_px = _plan(book, work)
    except DeviceTooSmall as err:
        return replace(found, why=str(err), hint=_hint(None, work, lighter))
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


def _plan(book: PlanBook, work: Workload) -> tuple[MemoryPlan, int | None]:
    """Return the card's plan for that work, and the tiles that a video gets if it leaves them open.

    Raises: DeviceTooSmall.
    """
    tile_px = book.tile_px(work) if work.decode == "tiled" else None
    return book.plan(replace(work, tile_px=tile_px)), tile_px


def _hint(plan: MemoryPlan | None, work: Workload, lighter: list[PlanBook]) -> str:
    """Name the precision that copies least, or "" if none copies less than half of what `plan` does.

    plan: the card's own, or None if it has none; then name the first precision that has one.
    """
    copied = dict[int, str]()  # the most bits come first, and stay
    for book in lighter:
        with suppress(DeviceTooSmall):
            copied.setdefault(_plan(book, work)[0].streamed_bytes, book.size.precision)
    if plan is None:
        return f"FARM_PRECISION={next(iter(copied.values()))} has a plan for it; {PRICE}" if copied else ""
    least = min(copied, default=plan.streamed_bytes)
    if 2 * least >= plan.streamed_bytes:
        return ""
    of = f"{least / 1e9:.2f} GB" if least else "nothing"
    source = " from file" if plan.mapped else ""
    return (
        f"FARM_PRECISION={copied[least]} copies {of} in a forward, where {plan.precision} copies "
        f"{plan.streamed_bytes / 1e9:.2f} GB{source}; {PRICE}"
    )


def _held(plan: MemoryPlan) -> str:
    return plan.words.rpartition(",")[0]  # the peak has a column of its own


def _left_to_others(plan: MemoryPlan) -> str:
    return f"its decodes take {plan.decode_bytes / GIB:.1f} GiB; leave them to a larger card, or use decode=tiled"


def _gib(size: int) -> float:
    return round(size / GIB, 1)
