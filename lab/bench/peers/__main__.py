"""`python -m lab.bench.peers …`: the comparison without the farm's packages."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence

from framepack_engine.environment import prepare_process
from framepack_engine.errors import EngineError
from lab.bench.peers.contest import contest
from lab.bench.peers.options import ABOUT, PeersOptions
from lab.options import parse_options


def main(argv: Sequence[str]) -> int:
    """Print a row of JSON for each length, and return the exit status."""
    prepare_process()
    options = parse_options(PeersOptions, argv, program="python -m lab.bench.peers", about=ABOUT)
    try:
        for row in contest(options, say=lambda words: print(words, file=sys.stderr, flush=True)):
            print(json.dumps(row), flush=True)
    except EngineError as err:
        print(err, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
