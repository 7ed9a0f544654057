"""`ray start` for framefarm join: it ends with its parent, and 127.0.0.1 is 127.0.0.1. Run by deploy/join.py."""

from __future__ import annotations

import ctypes
import signal

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
