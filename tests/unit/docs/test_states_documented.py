"""docs/reference/states.md says what farm/ledger/states.py does."""

from __future__ import annotations

import re
from typing import Any, get_args

import pytest

from farm.errors import Conflict, LeaseLost
from farm.ledger.states import OPEN, EventName, JobState, Lease, Status, advance
from farm.ledger.states import Event as LedgerEvent
from farm.request import VideoEdit
from tests.imports import ROOT

TEXT = (ROOT / "docs" / "reference" / "states.md").read_text()
PICTURE = (ROOT / "docs" / "reference" / "states.svg").read_text()
ROWS = [[cell.strip() for cell in line.strip("|").split("|")] for line in TEXT.splitlines() if line.startswith("| ")]
HEAD, *_ = ROWS
TABLE = {row[0]: row[1:] for row in ROWS[1:] if len(row) == len(HEAD)}
CELLS = [(event, status, cell) for event, cells in TABLE.items() for status, cell in zip(HEAD[1:], cells, strict=True)]


def outcome(event: str, status: Any) -> str:
    """Return the outcome of `advance` for the event in a video of this state, in the words of the table."""
    name: Any
    name, _, stage = event.partition(" (")
    edit = None if name != "edited" else VideoEdit(labels=("a",)) if stage else VideoEdit(prompt="a dog")
    held = (stage.rstrip(")") if edit is None else "") or "section/0"
    leases = {held: Lease(attempt=3, worker="w")} if status in OPEN else {}
    key: Any = "decode/0" if name == "leased" else held
    lost = {}
    if name == "lost":
        key, lost = None, {"encode": 1}
    try:
        return advance(
            JobState(status=status, leases=leases, conditioning=1),
            LedgerEvent(name=name, key=key, attempt=3, worker="w", edit=edit, lost=lost),
            seq=9,
            at=1.0,
        ).status
    except Conflict:
        return "409"
    except LeaseLost:
        return "lost"


@pytest.mark.parametrize(("event", "status", "cell"), CELLS, ids=lambda value: value.replace(" ", ""))
def test_each_cell_is_what_the_code_does(event: str, status: str, cell: str) -> None:
    """The state that follows, or the refusal, is the one in the table."""
    assert outcome(event, status) == cell


def test_the_table_is_whole() -> None:
    """Every event and every state of the code has its row and its column."""
    assert set(HEAD[1:]) == set(get_args(Status))
    assert {event.partition(" (")[0] for event in TABLE} == set(get_args(EventName))


def test_the_picture_shows_what_the_table_says() -> None:
    """Each arrow of the drawing leads where the table leads."""
    arrows = re.findall(r"<title>(\w+) --&gt; (\w+): (.+?)</title>", PICTURE)
    assert len(arrows) > 10
    for before, after, events in arrows:
        for event in events.split(", "):
            assert TABLE[event][HEAD[1:].index(before)] == after
