"""Output of the command line: data on stdout, talk on stderr."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from deploy.terminal.video_ids import shorts

if TYPE_CHECKING:
    from rich.table import Table

_HARMLESS = "\n\u200c\u200d"  #: line ends, and the joiners of scripts and emoji
_TALLIES = {
    "queued": "cyan",
    "in_progress": "yellow",
    "rendering": "yellow",
    "paused": "magenta",
    "completed": "green",
    "failed": "red",
}
_IDS = ("id", "video")  #: columns that a terminal shows shortened
_ONE_LINE = ("prompt",)  #: as a last column; another one takes as many lines as it needs
_GAP = 2
_ENDLESS = 10_000  #: columns of a pipe
_LEAST = 18  #: letters of the last column; other columns are left out to make room for them


def say(message: str, *, style: str = "") -> None:
    """Print a line for people on stderr."""
    from rich.console import Console

    Console(stderr=True, highlight=False).print(visible(message), style=style, markup=False, soft_wrap=True)


def talk(message: str) -> None:
    """Print a line on stderr at once, also from a process that is about to end."""
    print(message, file=sys.stderr, flush=True)


def visible(text: str) -> str:
    """Return text from outside with its control characters shown, so that the terminal does not obey them."""
    return "".join(char if char.isprintable() or char in _HARMLESS else json.dumps(char)[1:-1] for char in text)


def put_json(value: object) -> None:
    """Print data for programs."""
    print(json.dumps(value, indent=2 if sys.stdout.isatty() else None))


def put_table(
    columns: Sequence[str], rows: Iterable[Mapping[str, Any]], *, dispensable: Sequence[str] = (), least: int = _LEAST
) -> None:
    """Print rows: a table on a terminal, tab-separated lines into a pipe. See `table_of`."""
    if not sys.stdout.isatty():
        for row in rows:
            put_line(columns, row)
        return
    from rich.console import Console

    console = Console(highlight=False)
    console.print(table_of(columns, rows, width=console.width, dispensable=dispensable, least=least))


def put_answer(answer: object, columns: Sequence[str], rows: Iterable[Mapping[str, Any]], *, as_json: bool) -> None:
    """Print an answer for programs, or its rows for people."""
    if as_json:
        put_json(answer)
    else:
        put_table(columns, rows)


def put_rows(rows: Sequence[Mapping[str, Any]], *, as_json: bool) -> None:
    """Print rows with the columns that have values, or print them for programs."""
    columns = [name for name in ([] if as_json else rows[0]) if any(row[name] is not None for row in rows)]
    put_answer(rows, columns, rows, as_json=as_json)


def put_aligned(rows: Sequence[Sequence[str]]) -> None:
    """Print texts in columns for people; a terminal folds the last one."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    grid = Table.grid(padding=(0, _GAP, 0, 0))
    for number in range(max(map(len, rows), default=0)):
        grid.add_column(no_wrap=number < len(rows[0]) - 1)
    for row in rows:
        grid.add_row(*(Text(visible(cell)) for cell in row))
    console = Console(highlight=False, width=None if sys.stdout.isatty() else _ENDLESS)
    with console.capture() as shown:
        console.print(grid)
    print("\n".join(line.rstrip() for line in shown.get().splitlines()))


def put_line(columns: Sequence[str], row: Mapping[str, Any]) -> None:
    """Print a row for a pipe, and flush it: its reader may wait."""
    print("\t".join(_cell(row.get(column)) for column in columns), flush=True)


def table_of(
    columns: Sequence[str],
    rows: Iterable[Mapping[str, Any]],
    *,
    width: int,
    dispensable: Sequence[str] = (),
    least: int = _LEAST,
) -> Table:
    """Return a table for a terminal of that width, each row in the colour of its status.

    Where the columns leave less room than `least` to the last one, leave out those of `dispensable` in turn, then the
    last but one; never cut a cell, except the end of a prompt.
    """
    from rich.table import Table

    rows = list(rows)
    short = shorts(str(row[name]) for row in rows for name in _IDS if name in columns and row.get(name))
    cells = {name: [_shown(name, row.get(name), short) for row in rows] for name in columns}
    kept, room = _fitting(cells, width, dispensable, least)
    table = Table(box=None, header_style="bold", pad_edge=False, padding=(0, _GAP, 0, 0))
    for name in kept:
        table.add_column(_head(name), no_wrap=name != kept[-1], overflow="fold")
    if kept[-1] in _ONE_LINE:
        cells[kept[-1]] = [_cut(cell, room) for cell in cells[kept[-1]]]
    for number, row in enumerate(rows):
        table.add_row(*(cells[name][number] for name in kept), style=_TALLIES.get(str(row.get("status"))))
    return table


def _fitting(
    cells: Mapping[str, Sequence[str]], width: int, dispensable: Sequence[str], least: int
) -> tuple[list[str], int]:
    """Return the columns that fit beside the last one, and the room that is left for that one."""
    from rich.cells import cell_len

    kept = list(cells)
    needs = {name: max(map(cell_len, (_head(name), *column))) for name, column in cells.items()}
    leave_out = [name for name in dispensable if name in kept] + kept[-2:0:-1]
    room = width - sum(needs[each] + _GAP for each in kept[:-1])
    for name in dict.fromkeys(leave_out):
        if room >= min(needs[kept[-1]], least):
            break
        kept.remove(name)
        room += needs[name] + _GAP
    return kept, max(room, 1)


def _cut(text: str, room: int) -> str:
    from rich.text import Text

    cut = Text(text)
    cut.truncate(room, overflow="ellipsis")
    return cut.plain


def _head(column: str) -> str:
    return column.replace("_", " ").upper()


def _shown(column: str, value: object, short: Mapping[str, str]) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return _cell(short.get(value, value) if column in _IDS and isinstance(value, str) else value)


def _cell(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        value = int(value) if value.is_integer() else round(value, 2) or f"{value:.1g}"
    if isinstance(value, list):
        return visible(",".join(map(str, value)))
    return visible(" ".join(str(value).split()))
