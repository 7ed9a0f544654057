"""The memory plans of devices of many sizes, as docs/ shows them; `python -m lab.bench.plan_table` prints any others.

This module needs neither torch nor the farm, so that a bare GPU machine can ask for its plans too.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace

from framepack_engine.errors import DeviceTooSmall
from framepack_engine.memory.ladder import GIB, MemoryPlan, Workload, size_of
from framepack_engine.memory.plan_book import PlanBook

USUAL_GIB = (6.0, 8.0, 10.0, 12.0, 16.0, 24.0, 48.0, 80.0, 141.0)
_PACKED_HELPS_GIB = 24  #: a larger device holds the step loop in bf16
_HEAD = (
    "| GPU | precision | decode | plan | section | encode | decode needs | copied a forward |",
    "|---|---|---|---|---|---|---|---|",
)


def plan_table(gibs: Sequence[float] = USUAL_GIB, *, host_gib: float = 64) -> str:
    """Return a table of the plans of devices of so many GiB at 640x608, with the tile size that each would choose."""
    rows = (f"| {' | '.join(cells)} |" for gib in gibs for cells in _rows(gib, host_gib=host_gib))
    return "\n".join((*_HEAD, *rows)) + "\n"


def _rows(gib: float, *, host_gib: float) -> Iterator[tuple[str, ...]]:
    packed = ("fp8", "int8", "int4") if gib <= _PACKED_HELPS_GIB else ()
    for precision, decode in [("bf16", "framewise"), ("bf16", "tiled"), *((each, "tiled") for each in packed)]:
        book = PlanBook(
            size=size_of("framepack", precision), device_bytes=int(gib * GIB), host_bytes=int(host_gib * GIB)
        )
        work = Workload(decode=decode)
        try:
            if decode == "tiled":
                work = replace(work, tile_px=book.tile_px(work))
            cells = _cells(book.plan(work))
        except DeviceTooSmall as err:
            cells = f"none: {str(err).partition(':')[0]}", "", "", "", ""
        named = decode if work.tile_px is None else f"{decode} {work.tile_px}"
        yield f"{gib:g} GiB", precision, named, *cells


def _cells(plan: MemoryPlan) -> tuple[str, ...]:
    """Return a plan's cells, without its precision."""
    held = plan.words.rpartition(",")[0].removeprefix(f"{plan.precision}, ")
    sizes = [f"{taken / GIB:.1f}" for taken in (plan.section_bytes, plan.encode_bytes, plan.decode_bytes)]
    fits = "" if plan.decodes else ": does not fit"
    copied = f"{plan.streamed_bytes / 1e9:.2f} GB" if plan.streamed else "0"
    return held, sizes[0], sizes[1], f"{sizes[2]}{fits}", copied


def main(argv: Sequence[str]) -> None:
    """Print the plans of the devices that are asked for."""
    parser = argparse.ArgumentParser(prog="python -m lab.bench.plan_table", description="Print memory plans.")
    parser.add_argument("--device-gb", type=float, action="append", help="a device of so many GiB; may be repeated")
    parser.add_argument("--host-gb", type=float, default=64.0, help="in a machine with so many GiB (default: 64)")
    given = parser.parse_args(argv)
    sys.stdout.write(plan_table(given.device_gb or USUAL_GIB, host_gib=given.host_gb))


if __name__ == "__main__":
    main(sys.argv[1:])
