"""Ray's own programs that `framefarm up` started: the farm cannot outlive them, and says so at once."""

from __future__ import annotations

import ctypes
import signal
from typing import Any

_VITAL = ("gcs_server", "raylet")


def dead_programs() -> list[str]:
    """Those without which nothing works and that have ended. Empty where this process started none.

    Without this look `up` would notice after a minute, when Ray ends it from within.
    """
    node = _node()
    return [] if node is None else sorted({kind for kind, _ in node.dead_processes() if kind in _VITAL})


def end_programs() -> None:
    """SIGKILL for what is left of them; the farm's actors end with their raylet."""
    node = _node()
    if node is not None:
        node.kill_all_processes(check_alive=False, allow_graceful=False, wait=True)


def _node() -> Any:
    """Ray has no public name for it; kept in this file."""
    import ray._private.worker

    return ray._private.worker._global_node  # noqa: SLF001


_PR_SET_PDEATHSIG = 1


def main() -> None:
    """Ray's own command line, with this process's arguments."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    from ray.scripts.scripts import main as ray_main

    from actors.cluster import stay_on_loopback

    stay_on_loopback()
    ray_main()


if __name__ == "__main__":
    main()
