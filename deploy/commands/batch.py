"""The command batch: a video for each photo of a folder, or for each row of a table."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from deploy.commands.connect import Json, Storage, Url, connect
from deploy.terminal.flags import request_flags, with_flags
from deploy.terminal.screen import put_json, say

_PATIENCE_S = 5.0  #: a farm that is silent for longer is away


def register(app: typer.Typer) -> None:
    """Add the command of this file."""
    app.command()(batch)


@with_flags(request_flags(whole=False))
def batch(
    source: Annotated[
        Path,
        typer.Argument(
            metavar="FOLDER|TABLE",
            help="photos, each with a .txt of prompts beside it, one a line; or a .csv or .jsonl, one video a row",
        ),
    ],
    *,
    out: Annotated[Path, typer.Option("-o", "--out", metavar="FOLDER", help="folder for the mp4 files and the report")],
    pairs: Annotated[bool, typer.Option("--pairs", help="NAME_end.png is the last picture of NAME.png")] = False,
    url: Url = None,
    storage: Storage = None,
    as_json: Json = False,
    **given: Any,
) -> None:
    """Make a video for each photo of a folder, or for each row of a table. --prompt is for those without their own.

    It names each photo that cannot be used, makes the others, and then ends with exit code 1. It skips hidden files.
    Ctrl-C leaves the videos to the farm. Run it again to continue: what is made stays, the farm knows the videos that
    it was asked for before, and a changed prompt, photo or flag becomes a new take beside the old one.
    """
    from rich.console import Console

    from deploy.batch.board import BatchBoard
    from deploy.batch.report import put_report, write_report
    from deploy.batch.run import Batch, run_patiently
    from deploy.batch.takes import Takes
    from deploy.batch.wishes import wishes_of
    from deploy.commands.feasible import check_workers

    wishes = wishes_of(source, given, pairs=pairs)
    takes = Takes(out)
    board = BatchBoard(Console(stderr=True, highlight=False), paths=not as_json)
    made = Batch(wishes, takes, board, check_workers)
    try:
        with board:
            run_patiently(made, lambda: connect(url=url, storage=storage, patience_s=_PATIENCE_S))
    except KeyboardInterrupt:
        left = f"{made.unfinished - made.unsent} videos are left to the farm"
        more = f", {made.unsent} are not sent yet" if made.unsent else ""
        say(f"stopped watching: {left}{more}; run the same command to come back")
        raise
    finally:
        write_report(out, made.rows)
    rows = made.rows
    if as_json:
        put_json(rows)
    else:
        put_report(rows)
        say(f"report: {out / 'report.csv'}")
    if any(row["status"] != "completed" for row in rows):
        raise typer.Exit(1)
