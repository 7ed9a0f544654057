"""From noise to latents: the flow schedule and the UniPC solver, one resumable value a step.

The solver knows no model: it is given x0 = x - σ·v at the points it asks for. Coefficients are computed in Python
floats by plain elimination, so that every machine gets the same ones; tensors stay float32 where they are.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from framepack_engine.errors import InvalidSpec

MAX_ORDER = 3
_TOKENS_LOW, _TOKENS_HIGH = 256, 4096
_MU_LOW, _MU_HIGH = 0.5, 1.15
_MU_MAX = math.log(7.0)


def flow_mu(tokens: int, *, shift: float | None = None) -> float:
    """The schedule's shift as mu = ln(shift); None derives it from the number of noisy tokens, at most ln 7.

    Source: lllyasviel/FramePack diffusers_helper/k_diffusion/wrapper.py (calculate_flux_mu).
    """
    if shift is not None:
        return math.log(shift)
    slope = (_MU_HIGH - _MU_LOW) / (_TOKENS_HIGH - _TOKENS_LOW)
    return min(slope * tokens + _MU_LOW - slope * _TOKENS_LOW, _MU_MAX)


def flow_sigmas(steps: int, *, mu: float, exponent: float = 1.0) -> tuple[float, ...]:
    """The steps + 1 noise levels, falling from about 1 to exactly 0, each a float32 number.

    Raises: InvalidSpec where mu or exponent make two levels equal in float32.
    Source: arXiv:2403.03206 §5.3.2 (time shifting).
    """
    t = torch.linspace(1, 0, steps + 1)
    shift = math.exp(mu)
    sigmas = tuple((shift / (shift + (1 / t - 1) ** exponent)).tolist())
    if any(not later < earlier for earlier, later in zip(sigmas, sigmas[1:], strict=False)):
        raise InvalidSpec(
            f"flow_shift={shift:g} and flow_exponent={exponent:g} leave no distance between two of {steps} steps",
            field="flow_shift",
        )
    return sigmas


@dataclass(frozen=True, slots=True)
class SolverState:
    """Where the solver is after `step` finished steps.

    x: (1, 16, w, h, w) float32, the corrected sample at sigmas[step - 1] (at first: the noise). outputs: the newest
    x0 predictions, oldest first, at most 3.
    """

    step: int
    x: Tensor
    outputs: tuple[Tensor, ...] = ()


def begin(noise: Tensor) -> SolverState:
    """The state before the first step; `noise` is left unchanged."""
    return SolverState(0, noise)


def advance(state: SolverState, denoise: Callable[[Tensor, float], Tensor], *, sigmas: Sequence[float]) -> SolverState:
    """One step: go to sigmas[state.step], ask `denoise` once there, correct what was gone.

    denoise: (x, sigma) -> x0, both float32 and of x's shape.
    Returns: the next state; the one given is left unchanged. After the last step the clean latents are outputs[-1].
    Raises:  nothing of its own.
    Source:  UniPC, arXiv:2302.04867 algorithms 5-8: data prediction, variant bh1, λ = -log σ (alpha absorbed).
    """
    step, x, outputs = state.step, state.x, state.outputs
    if step == 0:
        return SolverState(1, x, (denoise(x, sigmas[0]),))
    order = min(step, MAX_ORDER, len(sigmas) - 2)
    known = outputs[-order:]
    weights = _weights([sigmas[step - i] for i in range(order, -1, -1)])
    base = x * weights.x + known[-1] * weights.output
    new = denoise(_shifted(base, weights.predictor, known), sigmas[step])
    corrected = _shifted(base, weights.corrector, (*known, new))
    return SolverState(step + 1, corrected, (*outputs, new)[-MAX_ORDER:])


def _shifted(base: Tensor, coefficients: Sequence[float], outputs: Sequence[Tensor]) -> Tensor:
    """Base + Σ coefficient · output, in the order given."""
    for coefficient, output in zip(coefficients, outputs, strict=True):
        base = torch.add(base, output, alpha=coefficient)
    return base


@dataclass(frozen=True, slots=True)
class _Weights:
    """One update as a linear combination: of x and the last output, then of all outputs (predictor; corrector)."""

    x: float
    output: float
    predictor: tuple[float, ...]
    corrector: tuple[float, ...]


def _weights(sigmas: Sequence[float]) -> _Weights:
    """Weights of the update from sigmas[-2] to sigmas[-1]; the earlier ones are where known outputs were taken.

    Outputs enter as differences D_m = (m - m0) / r to the last known output m0, r in units of the step h; written out
    here as weights of the outputs themselves.
    """
    order = len(sigmas) - 1
    lambdas = [-math.log(sigma) for sigma in sigmas]
    h = lambdas[-1] - lambdas[-2]
    ratios = [(value - lambdas[-2]) / h for value in lambdas[:-2]]
    phi = math.expm1(-h)
    targets = _targets(-h, order)
    predictor = [0.5] if order == 2 else _vandermonde(ratios, targets[: order - 1])
    corrector = [0.5] if order == 1 else _vandermonde([*ratios, 1.0], targets)
    return _Weights(
        x=1.0 + phi,
        output=-phi,
        predictor=_as_outputs(predictor, ratios, h, last=None),
        corrector=_as_outputs(corrector[:-1], ratios, h, last=corrector[-1]),
    )


def _targets(hh: float, order: int) -> list[float]:
    """Right-hand side of UniPC's order conditions for B(h) = hh (bh1)."""
    phi, factorial, values = math.expm1(hh) / hh - 1.0, 1.0, []
    for i in range(1, order + 1):
        values.append(phi * factorial / hh)
        factorial *= i + 1
        phi = phi / hh - 1.0 / factorial
    return values


def _as_outputs(rhos: Sequence[float], ratios: Sequence[float], h: float, *, last: float | None) -> tuple[float, ...]:
    """Turn weights of differences into weights of outputs; `last` is the new output's (None: not known yet)."""
    scaled = [h * rho / ratio for rho, ratio in zip(rhos, ratios, strict=True)]
    if last is None:
        return (*scaled, -sum(scaled))
    return (*scaled, -sum(scaled) - h * last, h * last)


def _vandermonde(points: Sequence[float], values: Sequence[float]) -> list[float]:
    """Solve Σ_j points[j]^i · a[j] = values[i] by elimination with pivoting: at most 3 unknowns."""
    rows = [[*(point**i for point in points), value] for i, value in enumerate(values)]
    size = len(rows)
    for column in range(size):
        pivot = max(range(column, size), key=lambda i: abs(rows[i][column]))
        rows[column], rows[pivot] = rows[pivot], rows[column]
        for i in range(column + 1, size):
            factor = rows[i][column] / rows[column][column]
            rows[i] = [a - factor * b for a, b in zip(rows[i], rows[column], strict=True)]
    solution = [0.0] * size
    for i in range(size - 1, -1, -1):
        rest = sum(rows[i][j] * solution[j] for j in range(i + 1, size))
        solution[i] = (rows[i][size] - rest) / rows[i][i]
    return solution
