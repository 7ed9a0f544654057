"""The UniPC solver and its noise levels: from noise to latents, with a resumable value after each step.

The solver knows no model: it asks for x0 = x - σ·v at points of its choice. Tensors stay float32 on their device.
Coefficients are float32 as well, like the reference's. With small steps they cancel so far that float64 coefficients,
though better, move the latents by 6.5e-4 in 25 steps; float32 ones move them by 3e-6. They come from float64
logarithms, rounded, and plain elimination, so that every machine computes the same ones.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from framepack_engine.planning.schedule import check_flow

MAX_ORDER = 3


def flow_sigmas(steps: int, *, mu: float, exponent: float = 1.0) -> tuple[float, ...]:
    """Return the steps + 1 noise levels, falling from about 1 to exactly 0, each a float32 number.

    Raises: InvalidSpec if mu or exponent make two levels equal in float32.
    Source: arXiv:2403.03206 §5.3.2 (time shifting).
    """
    check_flow(steps, mu=mu, exponent=exponent)
    t = torch.linspace(1, 0, steps + 1)
    shift = math.exp(mu)
    return tuple((shift / (shift + (1 / t - 1) ** exponent)).tolist())


@dataclass(frozen=True, slots=True)
class SolverState:
    """The solver after `step` finished steps.

    x: (1, 16, w, h, w) float32, the corrected sample at sigmas[step - 1] (at first: the noise). outputs: the newest
    x0 predictions, oldest first, at most 3.
    """

    step: int
    x: Tensor
    outputs: tuple[Tensor, ...] = ()


def begin(noise: Tensor) -> SolverState:
    """Return the state before the first step; `noise` is left unchanged."""
    return SolverState(0, noise)


def advance(state: SolverState, denoise: Callable[[Tensor, float], Tensor], *, sigmas: Sequence[float]) -> SolverState:
    """Make one step: predict x at sigmas[state.step], ask `denoise` once there, correct the prediction.

    denoise: (x, sigma) -> x0, both float32 and of x's shape.
    Returns: the next state; `state` is left unchanged. After the last step the clean latents are outputs[-1].
    Raises:  nothing of its own.
    Source:  UniPC, arXiv:2302.04867 algorithms 5-8: data prediction, variant bh1, λ = -log σ (alpha absorbed).
    """
    step, x, outputs = state.step, state.x, state.outputs
    if step == 0:
        return SolverState(1, x, (denoise(x, sigmas[0]),))
    order = min(step, MAX_ORDER, len(sigmas) - 2)
    weights = _weights([np.float32(sigmas[step - i]) for i in range(order, -1, -1)])
    known = outputs[-order:]
    slopes = [(output - known[-1]).div_(ratio) for output, ratio in zip(known[:-1], weights.ratios, strict=True)]
    base = (weights.x * x).sub_(known[-1], alpha=weights.phi)
    new = denoise(_moved(base, weights.predictor, slopes, scale=weights.scale), sigmas[step])
    corrected = _moved(base, weights.corrector, [*slopes, new - known[-1]], scale=weights.scale)
    return SolverState(step + 1, corrected, (*outputs, new)[-MAX_ORDER:])


def _moved(base: Tensor, rhos: Sequence[float], slopes: Sequence[Tensor], *, scale: float) -> Tensor:
    """Return base - scale · Σ rho · slope in few passes over the numbers, which are most of a step's cost."""
    if not slopes:
        return base
    total = rhos[0] * slopes[0]
    for rho, slope in zip(rhos[1:], slopes[1:], strict=True):
        total.add_(slope, alpha=rho)
    return torch.sub(base, total, alpha=scale, out=total)


@dataclass(frozen=True, slots=True)
class _Weights:
    """One update: x·σ'/σ - phi·m0 - scale·Σ rho·D, with D = (m - m0) / ratio for known outputs, oldest first."""

    x: float
    phi: float
    scale: float
    ratios: tuple[float, ...]
    predictor: tuple[float, ...]
    corrector: tuple[float, ...]


def _weights(sigmas: Sequence[np.float32]) -> _Weights:
    """Return the weights of the update from sigmas[-2] to sigmas[-1]; earlier ones are those of the known outputs."""
    order = len(sigmas) - 1
    lambdas = [-np.float32(math.log(sigma)) for sigma in sigmas]
    h = lambdas[-1] - lambdas[-2]
    ratios = [(value - lambdas[-2]) / h for value in lambdas[:-2]]
    one, half = np.float32(1), np.float32(0.5)
    targets = _targets(-h, order)
    predictor = [half] if order == 2 else _vandermonde(ratios, targets[: order - 1])
    corrector = [half] if order == 1 else _vandermonde([*ratios, one], targets)
    return _Weights(
        x=float(sigmas[-1] / sigmas[-2]),
        phi=float(np.float32(math.expm1(-h))),
        scale=float(-h),
        ratios=tuple(map(float, ratios)),
        predictor=tuple(map(float, predictor)),
        corrector=tuple(map(float, corrector)),
    )


def _targets(hh: np.float32, order: int) -> list[np.float32]:
    """Return the right-hand side of UniPC's order conditions for B(h) = hh (bh1)."""
    one, factorial, values = np.float32(1), 1, []
    phi = np.float32(math.expm1(hh)) / hh - one
    for i in range(1, order + 1):
        values.append(phi * np.float32(factorial) / hh)
        factorial *= i + 1
        phi = phi / hh - one / np.float32(factorial)
    return values


def _vandermonde(points: Sequence[np.float32], values: Sequence[np.float32]) -> list[np.float32]:
    """Solve Σ_j points[j]^i · a[j] = values[i] by elimination with pivoting: at most 3 unknowns."""
    rows = [[*(np.float32(point**i) for point in points), value] for i, value in enumerate(values)]
    size = len(rows)
    for column in range(size):
        pivot = max(range(column, size), key=lambda i: abs(rows[i][column]))
        rows[column], rows[pivot] = rows[pivot], rows[column]
        for i in range(column + 1, size):
            factor = rows[i][column] / rows[column][column]
            rows[i] = [a - factor * b for a, b in zip(rows[i], rows[column], strict=True)]
    solution = [np.float32(0)] * size
    for i in range(size - 1, -1, -1):
        rest = sum((rows[i][j] * solution[j] for j in range(i + 1, size)), start=np.float32(0))
        solution[i] = (rows[i][size] - rest) / rows[i][i]
    return solution
