"""Output of the command line: data on stdout, talk on stderr."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.table import Table

_HARMLESS = "\n\u200c\u200d"  #: line ends, and the joiners of scripts and emoji
_TALLIES = {"queued": "cyan", "in_progress": "yellow", "paused": "magenta", "completed": "green", "failed": "red"}


def say(message: str, *, style: str = "") -> None:
    """Print a line for people on stderr."""
    from rich.console import Console

    Console(stderr=True, highlight=False).print(visible(message), style=style, markup=False, soft_wrap=True)


def visible(text: str) -> str:
    """Return text from outside with its control characters shown, so that the terminal does not obey them."""
    return "".join(char if char.isprintable() or char in _HARMLESS else json.dumps(char)[1:-1] for char in text)


def put_json(value: object) -> None:
    """Print data for programs."""
    print(json.dumps(value, indent=2 if sys.stdout.isatty() else None))


def put_table(columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> None:
    """Print rows: a table on a terminal, tab-separated lines into a pipe."""
    if not sys.stdout.isatty():
        for row in rows:
            put_line(columns, row)
        return
    from rich.console import Console

    Console(highlight=False).print(table_of(columns, rows))


def put_rows(rows: Sequence[Mapping[str, Any]], *, as_json: bool) -> None:
    """Print rows with the columns that have values, or print them for programs."""
    if as_json:
        put_json(rows)
    else:
        put_table([name for name in rows[0] if any(row[name] is not None for row in rows)], rows)


def put_line(columns: Sequence[str], row: Mapping[str, Any]) -> None:
    """Print a row for a pipe, and flush it: its reader may wait."""
    print("\t".join(_cell(row.get(column)) for column in columns), flush=True)


def table_of(columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> Table:
    """Return a table for a terminal, each row in the colour of its status."""
    from rich.table import Table

    table = Table(*columns, box=None, header_style="bold", pad_edge=False)
    for row in rows:
        table.add_row(*(_cell(row.get(column)) for column in columns), style=_TALLIES.get(str(row.get("status"))))
    return table


def _cell(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, list):
        return visible(",".join(map(str, value)))
    return visible(" ".join(str(value).split()))
