"""`python -m lab.training pocket …`: training without the farm's packages (no Ray, pydantic, typer or PyAV)."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from framepack_engine.environment import prepare_process
from framepack_engine.errors import EngineError
from lab.options import parse_options
from lab.training.pocket_run import ABOUT, PocketOptions, train_stages

if TYPE_CHECKING:
    from lab.training.loop import StepReport

_EVERY = 50  #: steps between two lines


def main(argv: Sequence[str]) -> int:
    """Run the command and return the exit status."""
    if argv[:1] != ["pocket"]:
        sys.stderr.write("usage: python -m lab.training pocket [--help]\n")
        return 2
    prepare_process()
    options = parse_options(PocketOptions, argv[1:], program="python -m lab.training pocket", about=ABOUT)
    from lab.training.loop import save_on_signals

    save_on_signals()
    try:
        model = train_stages(options, _say)
    except EngineError as err:
        sys.stderr.write(f"{err}\n")
        return 2
    except KeyboardInterrupt:
        return 130
    sys.stdout.write(f"{model}\n")
    return 0


def _say(report: StepReport) -> None:
    if report.step % _EVERY == 0:
        sys.stderr.write(f"{report.stage}: step {report.step} of {report.steps}, loss {report.loss:.4g}\n")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
