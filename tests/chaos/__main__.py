"""`make chaos`: a farm under faults. The table goes to stdout, talk to stderr; exit 1 where a promise was broken."""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import tempfile
from pathlib import Path

from framepack_engine.models.tiny import ensure_tiny
from framepack_engine.models.weights import quiet
from tests.chaos.faults import KINDS
from tests.chaos.run import Wanted, run
from tests.s3_servers import KEYS


def main() -> int:
    """Read the flags, run, print."""
    flags = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    flags.add_argument("--seed", type=int, default=0, help="of which faults happen, when, and to whom")
    flags.add_argument("--faults", type=int, default=200, help="stop after so many")
    flags.add_argument("--minutes", type=float, default=120, help="stop after so long, however many there were")
    flags.add_argument("--workers", type=int, default=2, help="on the head")
    flags.add_argument("--nodes", default="v8,v24", help="VRAM classes of the machines that join, a worker each")
    flags.add_argument("--hosts", action="store_true", help="machines with networks of their own, which are cut (root)")
    flags.add_argument("--pause", type=float, default=2.0, help="mean seconds between two faults")
    names = sorted(kind.name for kind in KINDS)
    flags.add_argument("--only", action="append", choices=names, metavar="FAULT", help=f"this kind: {', '.join(names)}")
    flags.add_argument("--json", action="store_true", help="JSON on stdout")
    flags.add_argument("--keep", type=Path, help="a folder for logs and the store; it stays")
    given = flags.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # everything that was started is stopped
    os.environ.update(KEYS)  # of the emulator; nothing here may meet a real account
    with tempfile.TemporaryDirectory() as cache:
        with quiet():
            ensure_tiny(Path(cache))
        wanted = Wanted(
            seed=given.seed,
            faults=given.faults,
            minutes=given.minutes,
            workers=given.workers,
            pause_s=given.pause,
            on_hosts=given.hosts,
            kinds=[kind for kind in KINDS if given.only is None or kind.name in given.only],
            nodes={f"node-{number}": name for number, name in enumerate(filter(None, given.nodes.split(",")), 1)},
        )
        report = run(wanted, cache=Path(cache), keep=given.keep)
    print(json.dumps(report.as_json(), indent=2) if given.json else report.as_text())
    return 1 if report.broken else 0


if __name__ == "__main__":
    sys.exit(main())
