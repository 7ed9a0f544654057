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

STDOUT = Path("-")
Force = Annotated[bool, typer.Option("--force", help="replace an existing file")]


def target_of(out: Path | None, *, name: str, force: bool) -> Path:
    """Return the file to write: `out`, or `name` in the folder `out`, or `name` here without `out`; "-" is stdout.

    An existing file stays: the result is then its first free neighbour, cat-2.mp4, unless `force` is set.
    Raises: ConfigError if it cannot be written.
    """
    if out == STDOUT:
        return STDOUT
    target = Path(name) if out is None else out / name if out.is_dir() else out
    if target.is_symlink():
        target = target.resolve()
    if not target.parent.is_dir():
        raise ConfigError(f"cannot write {target}: the folder {target.parent} does not exist")
    if target.is_dir():
        raise ConfigError(f"cannot write {target}: it is a folder")
    if not os.access(target if target.exists() else target.parent, os.W_OK):
        raise ConfigError(f"cannot write {target}: permission denied; choose another place")
    return target if force or not target.is_file() else _free_neighbour(target)


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


def _free_neighbour(path: Path) -> Path:
    number, free = 1, path
    while free.exists() or free.is_symlink():
        number += 1
        free = path.with_stem(f"{path.stem}-{number}")
    return free
