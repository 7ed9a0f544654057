"""The process that measures a group of rows, one after another, and tells its parent each line as it is measured.

It sends {"ready": true}, then the lines of each row. After a row that left the device unable to compute, it sends
{"lost": true} and ends.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol

from lab.bench.child import to_parent
from lab.bench.gpu.options import GpuOptions


class Rows(Protocol):
    """A meter of rows; see `MeasuredRows`."""

    def lines(self, row: str) -> Iterator[dict[str, Any]]:
        """Measure a row: its parts, then the line that ends it."""

    def lost(self) -> bool:
        """Tell whether an error left the device unable to compute."""


def measured_rows(options: GpuOptions) -> Rows:
    """Load the meter of rows: torch, diffusers and the model's code."""
    from lab.bench.gpu.measured_rows import MeasuredRows

    return MeasuredRows(options)


def main(argv: Sequence[str], measured: Callable[[GpuOptions], Rows] = measured_rows) -> int:
    """Measure rows. argv: the options as JSON, then the names of the rows."""
    tell = to_parent()
    rows = measured(GpuOptions.from_json(argv[0]))
    tell({"ready": True})
    for row in argv[1:]:
        line = dict[str, Any]()
        for line in rows.lines(row):
            tell(line)
        if line.get("error") and rows.lost():
            tell({"lost": True})
            return 3
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
