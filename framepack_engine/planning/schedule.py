"""The shift of the noise levels, as a function of the number of tokens. Loads no torch."""

from __future__ import annotations

import math
from itertools import pairwise

from framepack_engine.errors import InvalidSpec

MU_MAX = math.log(7.0)
_TOKENS_LOW, _TOKENS_HIGH = 256, 4096
_MU_LOW, _MU_HIGH = 0.5, 1.15
_DISTANCE = 2.0**-22  # float32 tells numbers near 1 apart at 2^-24


def token_mu(tokens: int) -> float:
    """Return mu for a number of noisy tokens, without its limit: a straight line."""
    slope = (_MU_HIGH - _MU_LOW) / (_TOKENS_HIGH - _TOKENS_LOW)
    return slope * tokens + _MU_LOW - slope * _TOKENS_LOW


def flow_mu(tokens: int, *, shift: float | None = None) -> float:
    """Return mu = ln(shift); without a shift, mu for a number of noisy tokens, at most ln 7.

    Source: lllyasviel/FramePack diffusers_helper/k_diffusion/wrapper.py (calculate_flux_mu).
    """
    return min(token_mu(tokens), MU_MAX) if shift is None else math.log(shift)


def check_flow(steps: int, *, mu: float, exponent: float, field: str = "flow_shift") -> None:
    """Check without torch that float32 can tell the noise levels of `flow_sigmas` apart, with a small margin.

    field: the one to blame. Raises: InvalidSpec.
    """
    shift = math.exp(mu)
    levels = [1.0]
    levels += [shift / (shift + (steps / (steps - step) - 1) ** exponent) for step in range(1, steps)]
    levels.append(0.0)
    if min(earlier - later for earlier, later in pairwise(levels)) < _DISTANCE:
        raise InvalidSpec(
            f"flow_shift={shift:g} and flow_exponent={exponent:g} leave no distance between two of {steps} steps",
            field=field,
        )
