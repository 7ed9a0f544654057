"""A command's options as a dataclass: argparse reads it here, typer in deploy/terminal/option_flags.py."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Sequence
from dataclasses import MISSING, dataclass, field, fields
from types import UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

Options = TypeVar("Options")


def option(help: str, *, default: Any = None, least: float | None = None, flag: str | None = None) -> Any:  # noqa: A002
    """Make a field of an options class. least: the smallest number allowed. flag: its name, if not the field's."""
    return field(default=default, metadata={"help": help, "least": least, "flag": flag})


@dataclass(frozen=True, slots=True, kw_only=True)
class Flag:
    """One option as a command line shows it. many: it may be repeated. choices: of a Literal, else empty."""

    field: str
    name: str
    kind: Any
    help: str
    default: Any
    many: bool
    choices: tuple[str, ...]
    least: float | None


def flags_of(options: type[Any]) -> Iterator[Flag]:
    """Yield a flag for each field of an options class."""
    hints = get_type_hints(options)
    for each in fields(options):
        kind = hints[each.name]
        if get_origin(kind) in {Union, UnionType}:
            kind = next(arg for arg in get_args(kind) if arg is not type(None))
        many = get_origin(kind) is tuple
        if many:
            kind = get_args(kind)[0]
        yield Flag(
            field=each.name,
            name=each.metadata["flag"] or f"--{each.name.replace('_', '-')}",
            kind=kind,
            help=each.metadata["help"],
            default=None if each.default is MISSING else each.default,
            many=many,
            choices=get_args(kind) if get_origin(kind) is Literal else (),
            least=each.metadata["least"],
        )


def parse_options(options: type[Options], argv: Sequence[str], *, program: str, about: str) -> Options:
    """Read a command line without typer. A wrong one ends the process with exit 2, as argparse does."""
    parser = argparse.ArgumentParser(prog=program, description=about, allow_abbrev=False)
    for flag in flags_of(options):
        settings: dict[str, Any] = {"dest": flag.field, "default": flag.default, "help": flag.help.replace("%", "%%")}
        if flag.kind is bool:
            settings["action"] = argparse.BooleanOptionalAction if flag.default else "store_true"
        else:
            settings |= {"type": str, "choices": flag.choices} if flag.choices else {"type": _number(flag)}
            if flag.many:
                settings["action"] = "append"
                settings["default"] = None
        parser.add_argument(flag.name, **settings)
    given = vars(parser.parse_args(argv))
    return taken(options, given)


def taken(options: type[Options], given: dict[str, Any]) -> Options:
    """Make an options class of what a command line gave; None means the field's default, a list becomes a tuple."""
    values = {name: tuple(value) if isinstance(value, list) else value for name, value in given.items()}
    return options(**{name: value for name, value in values.items() if value is not None})


def _number(flag: Flag) -> Callable[[str], Any]:
    """Convert a flag's text, and refuse a number that is too small."""

    def convert(text: str) -> Any:
        value = flag.kind(text)
        if flag.least is not None and value < flag.least:
            raise argparse.ArgumentTypeError(f"{text} is less than {flag.least:g}")
        return value

    convert.__name__ = flag.kind.__name__  # argparse names it in its refusal
    return convert
