"""`python -m lab.bench.gpu …`: the bench without the farm's packages (no Ray, pydantic, typer or PyAV)."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence

from framepack_engine.environment import prepare_process
from framepack_engine.errors import EngineError
from lab.bench.gpu.options import ABOUT, GpuOptions
from lab.bench.gpu.supervisor import NoGpu, run_bench
from lab.options import parse_options


def main(argv: Sequence[str]) -> int:
    """Run the bench, print each line as soon as it is measured, and return the exit status."""
    prepare_process()
    options = parse_options(GpuOptions, argv, program="python -m lab.bench.gpu", about=ABOUT)
    try:
        run_bench(
            options,
            say=lambda words: print(words, file=sys.stderr, flush=True),
            on_line=lambda line: print(json.dumps(line), flush=True),
        )
    except EngineError as err:
        print(err, file=sys.stderr)
        return 1 if isinstance(err, NoGpu) else 2
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
