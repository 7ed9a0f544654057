"""Files that commands write: an existing one stays, links are followed, devices and pipes are written into."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from farm.errors import ConfigError
from framefarm_client.names import free_neighbour

STDOUT = Path("-")
Out = Annotated[
    str | None, typer.Option("-o", "--out", metavar="FILE", help="a file, a folder (with a / at its end), - for stdout")
]
Force = Annotated[bool, typer.Option("--force", help="replace an existing file")]


def target_of(out: str | None, *, name: str, force: bool, any_suffix: bool = False) -> Path:
    """Return the file to write: `out`, or `name` in the folder `out`, or `name` here without `out`; "-" is stdout.

    An existing file stays: the result is then its first free neighbour, cat-2.mp4, unless `force` is set.
    any_suffix: whether a file may end otherwise than `name` does.
    Raises: ConfigError if it cannot be written.
    """
    if out == str(STDOUT):
        return STDOUT
    is_folder = out is not None and (out.endswith("/") or Path(out).is_dir())
    target = Path(name) if out is None else Path(out) / name if is_folder else Path(out)
    if target.is_symlink():
        target = target.resolve()
    if not any_suffix and not _is_device(target):
        _check_suffix(target, Path(name).suffix)
    if not target.parent.is_dir():
        raise ConfigError(f"cannot write {target}: the folder {target.parent} does not exist")
    if target.is_dir():
        raise ConfigError(f"cannot write {target}: it is a folder")
    if not os.access(target if target.exists() else target.parent, os.W_OK):
        raise ConfigError(f"cannot write {target}: permission denied; choose another place")
    return target if force or not target.is_file() else free_neighbour(target)


def deliver(target: Path, write: Callable[[Path], object]) -> Path | None:
    """Call `write` with a file to write, and see to it that the bytes end in `target`. Return the path to print.

    A device, a pipe and stdout get the bytes of a temporary file; stdout has no path.
    """
    if target != STDOUT and (target.is_file() or not target.exists()):
        write(target)
        return target
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder, "made")
        write(made)
        with made.open("rb") as source:
            if target == STDOUT:
                shutil.copyfileobj(source, sys.stdout.buffer)
                return None
            with target.open("wb") as sink:
                shutil.copyfileobj(source, sink)
    return target


def _check_suffix(target: Path, suffix: str) -> None:
    """Raises: ConfigError if the file would be named for a format that it does not have."""
    if target.suffix.lower() != suffix:
        wrong = f"{target.suffix} files are not made here" if target.suffix else "its name says no format"
        raise ConfigError(
            f"cannot write {target}: {wrong}; let it end in {suffix}, or name a folder with a / at its end"
        )


def _is_device(target: Path) -> bool:
    """Whether it is there and no plain file: a device or a pipe, which have no suffix."""
    return target.exists() and not target.is_file() and not target.is_dir()
