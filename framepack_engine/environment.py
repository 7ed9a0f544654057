"""Environment variables that a process must have before it multiplies its first matrix. Loads no torch.

torch multiplies float32 matrices on a CPU with Intel's MKL. By default the sums of MKL may depend on where a matrix
begins in memory: on an AMD EPYC equal weights gave other bits. docs/decisions/0088.
"""

from __future__ import annotations

import logging
import os

MKL_MODE = "AUTO,STRICT"  #: the best kernels of the CPU, with the same sums at every address
log = logging.getLogger(__name__)


def prepare_process() -> None:
    """Set MKL's mode for this process and its children, unless it is set. Call it first in a program's `main`."""
    os.environ.setdefault("MKL_CBWR", MKL_MODE)


def warn_if_unprepared() -> None:
    """Log a warning if MKL's mode is not set. Changes nothing."""
    if "MKL_CBWR" not in os.environ:
        log.warning(
            "mkl_mode_missing: MKL_CBWR is not set. On some CPUs the same video can come out with other bits. "
            "Set MKL_CBWR=%s before Python starts, or call framepack_engine.prepare_process() first",
            MKL_MODE,
        )
