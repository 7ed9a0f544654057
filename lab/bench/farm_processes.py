"""Read from /proc how much CPU time and memory the processes of a farm's ingress use. Only Linux has /proc."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

_TITLE = b"ray::ServeReplica"  #: Ray's title of an ingress, in place of its command line


def ingresses() -> list[int]:
    """Return the ids of the ingress processes that descend from this process."""
    parents = dict[int, int]()
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            parents[int(stat.parent.name)] = int(_fields(stat)[1])
    family = {os.getpid()}
    while more := {pid for pid, parent in parents.items() if parent in family} - family:
        family |= more
    return sorted(pid for pid in family if _title(pid).startswith(_TITLE))


def cpu_s(pid: int) -> float:
    """Return the processor time that a process has used."""
    user, system = _fields(Path(f"/proc/{pid}/stat"))[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


def memory_mib(pid: int) -> float:
    """Return the resident memory of a process."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def _fields(stat: Path) -> list[str]:
    """Return what follows the process's name, which may hold any character."""
    return stat.read_text().rpartition(")")[2].split()


def _title(pid: int) -> bytes:
    with suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    return b""
