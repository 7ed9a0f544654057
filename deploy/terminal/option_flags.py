"""Typer's flags made from an options class of lab/, so that both doors of a command take the same."""

from __future__ import annotations

import inspect
from typing import Annotated, Any

import typer

from deploy.terminal.flags import Flag
from lab.options import flags_of


def option_flags(options: type[Any]) -> list[Flag]:
    """Return a flag for each field of an options class; one that is not set is None."""
    found = []
    for flag in flags_of(options):
        names = [f"{flag.name}/--no-{flag.name[2:]}"] if flag.kind is bool and flag.default else [flag.name]
        limits: dict[str, Any] = {} if flag.least is None else {"min": flag.least}
        kind: Any = list[flag.kind] if flag.many else flag.kind  # type: ignore[name-defined]
        annotation: Any = Annotated[kind | None, typer.Option(*names, help=flag.help, **limits)]
        found.append(inspect.Parameter(flag.field, Flag.KEYWORD_ONLY, default=None, annotation=annotation))
    return found
