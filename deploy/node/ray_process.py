"""Ray's own programs below `framefarm up` and `framefarm join`."""

from __future__ import annotations

import ctypes
import signal
from typing import Any

_VITAL = ("gcs_server", "raylet")


def dead_programs() -> list[str]:
    """Return the vital programs that this process started and that have ended.

    Ray itself would notice a minute later, and end this process from within.
    """
    node = _node()
    return [] if node is None else sorted({kind for kind, _ in node.dead_processes() if kind in _VITAL})


def end_programs() -> None:
    """Kill the programs that are left; the farm's actors end with their raylet."""
    node = _node()
    if node is not None:
        node.kill_all_processes(check_alive=False, allow_graceful=False, wait=True)


def _node() -> Any:
    import ray._private.worker  # Ray has no public name for it

    return ray._private.worker._global_node  # noqa: SLF001


_PR_SET_PDEATHSIG = 1


def main() -> None:
    """Run Ray's command line with this process's arguments; end when the parent ends.

    127.0.0.1 stays 127.0.0.1: Ray would replace it by the machine's address.
    """
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    from ray.scripts.scripts import main as ray_main

    from actors.cluster import stay_on_loopback

    stay_on_loopback()
    ray_main()


if __name__ == "__main__":
    main()
