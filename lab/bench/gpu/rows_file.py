"""The measured rows on disk: a line of JSON each, on the disk before the next row begins.

A line with "part" is a part of its row; the line without it ends the row.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any


class RowsFile:
    """A file of rows that only grows: a later line of the same row takes the earlier one's place."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def append(self, cells: Mapping[str, Any]) -> None:
        """Write a line and wait until the disk has it."""
        whole = not self.path.exists() or self.path.read_bytes()[-1:] in {b"", b"\n"}
        with self.path.open("a") as file:
            file.write(("" if whole else "\n") + json.dumps(cells) + "\n")
            file.flush()
            os.fsync(file.fileno())

    def lines(self) -> list[dict[str, Any]]:
        """Return all whole lines; the power may have gone while the last was written."""
        found = list[dict[str, Any]]()
        if self.path.exists():
            for line in self.path.read_text().splitlines():
                with suppress(ValueError):
                    found.append(json.loads(line))
        return found

    def ended(self) -> dict[str, dict[str, Any]]:
        """Return the last line that ended each row, by the row's name."""
        return {line["row"]: line for line in self.lines() if "part" not in line}

    def finished(self) -> set[str]:
        """Return the rows that ended without an error."""
        return {row for row, line in self.ended().items() if not line.get("error")}

    def parts(self, row: str) -> list[dict[str, Any]]:
        """Return the parts of a row, each as it was measured last."""
        return list({line["part"]: line for line in self.lines() if line["row"] == row and "part" in line}.values())
