"""The plans of devices of every size as a Markdown table; docs/memory.md holds it. Loads no torch."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from framepack_engine.errors import DeviceTooSmall
from framepack_engine.memory.ladder import GIB, Plan, Workload, size_of
from framepack_engine.memory.plan_book import PlanBook

_PACKED_HELPS_GIB = 24  #: a device with more holds bf16's step loop whole
_HEAD = (
    "| GPU | precision | decode | plan | section | encode | decode needs | copied a forward |",
    "|---|---|---|---|---|---|---|---|",
)


def plan_table(gibs: tuple[int, ...] = (6, 8, 10, 12, 16, 24, 48, 80, 141), *, host_gib: int = 64) -> str:
    """The plans of devices of so many GiB at 640x608; tiled decodes in tiles of the size that is chosen there.

    host_gib: of the machine's memory.
    """
    rows = (f"| {' | '.join(cells)} |" for gib in gibs for cells in _rows(gib, host_gib=host_gib))
    return "\n".join((*_HEAD, *rows)) + "\n"


def _rows(gib: int, *, host_gib: int) -> Iterator[tuple[str, ...]]:
    packed = ("fp8", "int8", "int4") if gib <= _PACKED_HELPS_GIB else ()
    for precision, decode in [("bf16", "framewise"), ("bf16", "tiled"), *((each, "tiled") for each in packed)]:
        book = PlanBook(size=size_of("framepack", precision), device_bytes=gib * GIB, host_bytes=host_gib * GIB)
        work = Workload(decode=decode)
        try:
            if decode == "tiled":
                work = replace(work, tile_px=book.tile_px(work))
            cells = _cells(book.plan(work))
        except DeviceTooSmall as err:
            cells = f"none: {str(err).partition(':')[0]}", "", "", "", ""
        named = decode if work.tile_px is None else f"{decode} {work.tile_px}"
        yield f"{gib} GiB", precision, named, *cells


def _cells(plan: Plan) -> tuple[str, ...]:
    """What a plan says of itself, without its precision."""
    held = plan.words.rpartition(",")[0].removeprefix(f"{plan.precision}, ")
    sizes = [f"{taken / GIB:.1f}" for taken in (plan.section_bytes, plan.encode_bytes, plan.decode_bytes)]
    fits = "" if plan.decodes else ": does not fit"
    copied = f"{plan.streamed_bytes / 1e9:.2f} GB" if plan.streamed else "0"
    return held, sizes[0], sizes[1], f"{sizes[2]}{fits}", copied
