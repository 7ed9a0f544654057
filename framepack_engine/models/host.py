"""The machine beside its GPUs: the memory that this process may use, and the CPU's name. Loads no torch.

The total is what Linux reports. On some small virtual machines it grows with use: plans take the host's memory as an
argument, and `--host-gb` sets it.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

_CGROUPS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))  #: of v2 and v1


def host_bytes(limits: tuple[Path, ...] = _CGROUPS) -> int:
    """Return the memory of the machine or of the container, the smaller. limits: files that may name the latter."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for path in limits:
        with suppress(OSError, ValueError):  # not there, or "max"
            total = min(total, int(path.read_text()))
    return total


def cpu_name(threads: int) -> str:
    """Name a CPU that computes in so many threads, as workers and measurements show it."""
    return f"CPU, {threads} thread{'' if threads == 1 else 's'}"


def available_bytes(meminfo: str | None = None) -> int:
    """Return what is free without swapping: MemAvailable of /proc/meminfo, or of the text; 0 if it is not named."""
    text = Path("/proc/meminfo").read_text() if meminfo is None else meminfo
    lines = dict(line.split(":", 1) for line in text.splitlines() if ":" in line)
    return int(lines.get("MemAvailable", "0 kB").split()[0]) * 1024
