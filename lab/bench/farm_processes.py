"""What the processes of a farm's ingress have used so far, from /proc. Only Linux has that."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

_TITLE = b"ray::ServeReplica"  #: what Ray writes over the command line of an ingress


class Used(NamedTuple):
    """What all ingresses together have used."""

    cpu_s: float
    events: int = 0


def ingresses() -> list[int]:
    """Return the ids of the ingress processes that descend from this process."""
    parents = {int(path.parent.name): parent for path in Path("/proc").glob("[0-9]*/stat") for parent in _parent(path)}
    family = {os.getpid()}
    while more := {pid for pid, parent in parents.items() if parent in family} - family:
        family |= more
    return sorted(pid for pid in family if _title(pid).startswith(_TITLE))


def cpu_s(pid: int) -> float:
    """Return the processor time that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def rss_mib(pid: int) -> float:
    """Return the memory of a process."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def _parent(stat: Path) -> Iterator[int]:
    with suppress(OSError):
        yield int(stat.read_text().rpartition(")")[2].split()[1])


def _title(pid: int) -> bytes:
    with suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    return b""
