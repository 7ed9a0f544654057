"""A command's options, defined once: both command lines read the same values and refuse the same mistakes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pytest
import typer
from typer.testing import CliRunner

from deploy.terminal.flags import with_flags
from deploy.terminal.option_flags import option_flags
from lab.options import option, parse_options, taken


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """One option of each kind."""

    model: Literal["small", "large"] = option("which", default="small")
    rows: tuple[str, ...] = option("only these, 100 % of them", default=())
    steps: int = option("how many", default=6, least=3)
    size_gb: float | None = option("how large")
    out: Path | None = option("where")
    compiled: bool = option("compile", default=True, flag="--compile")
    resume: bool = option("continue", default=False)


def by_argparse(argv: Sequence[str]) -> Wanted | None:
    """Return what argparse reads; None if it refuses."""
    try:
        return parse_options(Wanted, argv, program="it", about="what it does")
    except SystemExit:
        return None


def by_typer(argv: Sequence[str]) -> Wanted | None:
    """Return what typer reads; None if it refuses."""
    app, seen = typer.Typer(), list[Wanted]()

    @app.command()
    @with_flags(option_flags(Wanted))
    def command(**given: Any) -> None:
        seen.append(taken(Wanted, given))

    assert CliRunner().invoke(app, list(argv)).exit_code in {0, 2}
    return seen[0] if seen else None


@pytest.mark.parametrize(
    ("argv", "wanted"),
    [
        ([], Wanted()),
        (
            ["--model", "large", "--rows", "a", "--rows", "b", "--size-gb", "1.5"],
            Wanted(model="large", rows=("a", "b"), size_gb=1.5),
        ),
        (
            ["--out", "x", "--no-compile", "--resume", "--steps", "3"],
            Wanted(out=Path("x"), compiled=False, resume=True, steps=3),
        ),
        (["--model", "none"], None),
        (["--steps", "2"], None),
        (["--steps", "many"], None),
    ],
)
def test_both_command_lines_read_the_same(argv: list[str], wanted: Wanted | None) -> None:
    """Each kind of option, its default, and what is refused."""
    assert by_argparse(argv) == wanted
    assert by_typer(argv) == wanted
