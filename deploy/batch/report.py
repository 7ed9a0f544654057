"""The report of a batch: report.csv and report.json beside the videos, and a table for people."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

COLUMNS = ("file", "id", "status", "seconds", "seed", "error")
Row = dict[str, Any]


def row_of(source: str, file: Path | None, video: Mapping[str, Any] | None, *, status: str, error: str = "") -> Row:
    """Return the row of a wish. seconds: of the video's length."""
    return {
        "file": file.name if file else None,
        "id": video["id"] if video else None,
        "status": status,
        "seconds": round(video["frames"] / video["fps"], 2) if video else None,
        "seed": video["seed"] if video else None,
        "error": error or None,
        "path": str(file) if file else None,
        "photo": source,
    }


def write_report(folder: Path, rows: Sequence[Row]) -> None:
    """Write both files, replacing those of an earlier run. Raises: OSError."""
    (folder / "report.json").write_text(json.dumps(rows, indent=1, ensure_ascii=False), encoding="utf-8")
    with (folder / "report.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS, extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)


def put_report(rows: Sequence[Row]) -> None:
    """Show the rows on stderr."""
    from rich.console import Console

    from deploy.terminal.screen import table_of

    console = Console(stderr=True, highlight=False)
    shown = [{**row, "file": row["file"] or row["photo"]} for row in rows]
    console.print(table_of(COLUMNS, shown, width=console.width, dispensable=("seed", "seconds", "id"), least=40))
