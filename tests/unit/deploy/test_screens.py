"""Screens at 80 and at 200 columns: tables leave out columns and cut no letters, times are in words."""

from __future__ import annotations

import io
from typing import Any

import pytest
import typer
from rich.console import Console

from deploy.cli import load_command
from deploy.commands.models import COLUMNS as MODEL_COLUMNS
from deploy.commands.models import DISPENSABLE
from deploy.terminal.durations import duration, length
from deploy.terminal.help import help_of
from deploy.terminal.progress import Board, Countdown
from deploy.terminal.screen import table_of
from deploy.terminal.starting import starting
from deploy.terminal.video_ids import short, shorts
from deploy.terminal.video_rows import details, table_of_videos
from framepack_engine.models.catalog import MODELS
from tests.clock import Clock

VIDEO: dict[str, Any] = {
    "id": "video_1e3f90c2aaaaaaaaaaaaaaaaaaaaaaaa",
    "status": "in_progress",
    "progress": 46,
    "stage": "section",
    "eta_s": 72.80009478124109,
    "worker": "worker-0.f4c414",
    "model": "pocket",
    "size": "160x96",
    "frames": 73,
    "fps": 30,
    "name": "cat",
    "prompt": "The camera pans to the left and the cat looks up at it.",
    "seed": 7,
    "waiting_for": None,
    "queue_position": None,
    "sections_done": 1,
    "sections_total": 2,
    "labels": [],
    "error": None,
    "step": 4,
    "attempt": 23,
    "gpu_seconds": 6.763999999999999,
    "forwards": 50,
    "seconds": "3",
    "numeric_class": "cpu",
    "batch": None,
    "webhook": None,
}
DONE = {
    **VIDEO,
    "id": "video_7ab34d01" + "b" * 24,
    "status": "completed",
    "progress": 100,
    "eta_s": None,
    "worker": None,
    "name": "",
    "frames": 2190,
    "prompt": "Rain.",
}


def screen(width: int, **how: Any) -> Console:
    """A terminal in memory."""
    return Console(file=io.StringIO(), width=width, highlight=False, force_terminal=True, color_system=None, **how)


def shown(console: Console, *things: object) -> str:
    """Return the text on the console after printing these things."""
    for thing in things:
        console.print(thing)
    file = console.file
    assert isinstance(file, io.StringIO)
    return "\n".join(line.rstrip() for line in file.getvalue().splitlines())


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0 s"),
        (6.763999999999999, "7 s"),
        (59.6, "1 min"),
        (73, "1 min 13 s"),
        (7500, "2 h 5 min"),
        (3601, "1 h"),
        (273600, "3 days 4 h"),
    ],
)
def test_times_are_in_words(seconds: float, words: str) -> None:
    """In the two largest units."""
    assert duration(seconds) == words


def test_lengths_keep_what_matters() -> None:
    """Two digits of a short one."""
    assert [length("2.43333"), length(3.0), length(73)] == ["2.43 s", "3 s", "1 min 13 s"]


def test_the_list_at_80_and_at_200_columns() -> None:
    """The narrow one has fewer columns, and only the prompt ends early."""
    narrow = screen(80)
    assert shown(narrow, table_of_videos([VIDEO, DONE], width=80)) == (
        "ID        STATUS     DONE   LEFT             WORKER    NAME  PROMPT\n"
        "1e3f90c2  rendering  46 %   1 min 13 s left  worker-0  cat   The camera pans to…\n"
        "7ab34d01  completed  100 %                                   Rain."
    )
    wide = screen(200)
    assert shown(wide, table_of_videos([VIDEO, DONE], width=200)) == (
        "ID        STATUS     DONE   LEFT             WORKER    LENGTH      SIZE    MODEL   NAME  PROMPT\n"
        "1e3f90c2  rendering  46 %   1 min 13 s left  worker-0  2.43 s      160x96  pocket  cat   "
        "The camera pans to the left and the cat looks up at it.\n"
        "7ab34d01  completed  100 %                             1 min 13 s  160x96  pocket        Rain."
    )


def test_other_tables_fold_their_last_column() -> None:
    """No letter is lost where the width is enough for the columns that stay."""
    row = {"name": "storage", "state": "ok", "value": "/root/.local/share/framepack-farm/storage, 75.3 GiB free"}
    assert shown(screen(40), table_of(("name", "state", "value"), [row], width=40)) == (
        "NAME     STATE  VALUE\n"
        "storage  ok     /root/.local/share/frame\n"
        "                pack-farm/storage, 75.3\n"
        "                GiB free"
    )


def test_ids_are_as_long_as_they_must_be() -> None:
    """Eight digits; more where two are alike; a batch keeps its kind; other words stay."""
    alike = ["video_" + "a" * 10 + end * 22 for end in "bc"]
    assert list(shorts(alike).values()) == ["aaaaaaaaaab", "aaaaaaaaaac"]
    assert [short("batch_" + "1" * 32), short("worker-0")] == ["batch_11111111", "worker-0"]


def test_a_video_in_detail_keeps_inner_numbers_to_itself() -> None:
    """`attempt` and its like come with --verbose only."""
    plain = {row["field"]: row["value"] for row in details(VIDEO)}
    assert plain == {
        "id": VIDEO["id"],
        "name": "cat",
        "status": "rendering",
        "progress": "46 %",
        "left": "1 min 13 s left",
        "sections": "1 of 2",
        "worker": "worker-0",
        "prompt": VIDEO["prompt"],
        "model": "pocket",
        "size": "160x96",
        "length": "2.43 s (73 frames)",
        "seed": 7,
    }
    verbose = {row["field"] for row in details(VIDEO, verbose=True)}
    assert verbose - plain.keys() >= {"attempt", "gpu_seconds", "forwards"}


def progress(stage: str, eta_s: float, *, step: int = 0, steps: int = 0, percent: int = 46) -> dict[str, Any]:
    """The data of an event."""
    return {
        "id": VIDEO["id"],
        "stage": stage,
        "section": 1,
        "sections_done": 1,
        "sections_total": 2,
        "step": step,
        "steps": steps,
        "eta_s": eta_s,
        "waiting_for": None,
        "progress": percent,
    }


def test_the_time_left_does_not_rise_during_a_decode(clock: Clock) -> None:
    """Work without steps is estimated once, and then the clock runs down; a section with steps is estimated again."""
    left = Countdown(clock)
    told = []
    for eta_s in (20.0, 24.0, 28.0):
        left.tell(progress("decode", eta_s))
        told.append(left.words)
        clock.now += 5
    assert told == ["20 s left", "15 s left", "10 s left"]
    left.tell(progress("section", 30.0, step=1, steps=25))
    assert left.words == "30 s left"


@pytest.mark.parametrize("width", [80, 200])
def test_a_bar_has_one_clock(width: int, clock: Clock) -> None:
    """Id, what is done now, how far, how long so far and still; whole at either width."""
    console = screen(width)
    with Board(console, [VIDEO], clock) as board:
        clock.now += 62
        board.show(VIDEO["id"], "progress", progress("section", 17.2, step=4, steps=25))
    last = [line for line in shown(console).splitlines() if "1e3f90c2" in line][-1].rpartition("\x1b[2K")[2]
    assert last.startswith("1e3f90c2 rendering section 2 of 2, step 4 of 25 ━")
    assert last.endswith(" 46% 1 min 2 s, 17 s left")
    assert len(last) <= width


def test_a_dumb_terminal_gets_lines(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    """One for each change, none twice."""
    monkeypatch.setenv("TERM", "dumb")
    console = screen(80)
    with Board(console, [VIDEO], clock) as board, starting("starting a farm", console) as step:
        step("Ray")
        for at in range(3):
            board.show(VIDEO["id"], "progress", progress("section", 17.2, step=at, steps=25))
        board.show(VIDEO["id"], "end", DONE)
    assert shown(console) == (
        "starting a farm; about 20 s is usual\n"
        "  Ray\n"
        "1e3f90c2 rendering section 2 of 2, 46 %, 17 s left\n"
        "1e3f90c2 completed"
    )


def test_without_colours_bars_still_move(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    """NO_COLOR takes the colours only."""
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm-256color")
    console = Console(file=io.StringIO(), width=80, force_terminal=True)
    with Board(console, [VIDEO], clock):
        pass
    assert "\x1b[3" not in shown(console)
    assert "rendering" in shown(console)


def test_models_leave_out_columns_where_their_descriptions_would_stack() -> None:
    """A row has at most three lines at 80 columns; what is wide enough has all columns. Truth is told in words."""
    same = {"kind": "i2v", "resolution": 640, "needs_image": True, "here": "complete"}
    rows = [same | {"id": entry.name, "description": entry.honest} for entry in MODELS.values()]
    how: dict[str, Any] = {"dispensable": DISPENSABLE, "least": 48}
    narrow, wide = (shown(screen(w), table_of(MODEL_COLUMNS, rows, width=w, **how)) for w in (80, 200))
    assert len(narrow.splitlines()) <= 1 + 3 * len(rows)
    assert narrow.splitlines()[0].split() == ["ID", "KIND", "HERE", "DESCRIPTION"]
    assert len(wide.splitlines()) == 1 + len(rows)
    assert wide.splitlines()[1].split()[:5] == ["framepack-i2v", "i2v", "640", "yes", "complete"]


@pytest.mark.parametrize("name", ["render", "submit", "up"])
@pytest.mark.parametrize("width", [80, 200])
def test_help_shows_what_most_people_need_first(name: str, width: int) -> None:
    """Basic options, then Picture, then Advanced; no name is cut, no line is too long."""
    command = load_command(name)
    told = shown(screen(width), *help_of(command, typer.Context(command, info_name=name), width=width))
    titles = [title for title in ("─ Basic ─", "─ Picture ─", "─ Advanced ─") if title in told]
    assert titles == sorted(titles, key=told.index)
    assert len(titles) == (2 if name == "up" else 3)
    assert max(map(len, told.splitlines())) <= width
    assert all(
        option in told
        for param in command.params
        for option in param.opts
        if option.startswith("--") and not param.hidden
    )
    assert "…-" not in told


def test_an_option_takes_two_lines_at_80_columns_and_one_at_200() -> None:
    """The option stands first, and its purpose below it or beside it."""
    command = load_command("render")
    told = {
        width: shown(screen(width), *help_of(command, typer.Context(command, info_name="render"), width=width))
        for width in (80, 200)
    }
    assert (
        "╭─ Basic ──────────────────────────────────────────────────────────────────────╮\n"
        "│ --prompt TEXT                                                                │\n"
        "│     what happens in the video; <lora:NAME:WEIGHT> and [2s-4s: TEXT] in       │\n"
        "│     it fill loras and prompts (required)                                     │\n"
        "│ -o, --out FILE                                                               │\n"
        "│     a file, a folder (with a / at its end), - for stdout                     │\n"
        "│ --seconds NUMBER                                                             │\n"
    ) in told[80]
    assert "│ -o, --out FILE                            a file, a folder (with a / at its end), - for" in told[200]
