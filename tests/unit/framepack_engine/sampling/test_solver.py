"""The schedule and the solver, without a model: flows whose answer is known."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from framepack_engine.errors import InvalidSpec
from framepack_engine.planning.buckets import buckets
from framepack_engine.planning.schedule import check_flow, flow_mu
from framepack_engine.sampling import solver
from framepack_engine.sampling.solver import SolverState, flow_sigmas

NOISE = torch.randn((1, 16, 2, 4, 4), generator=torch.Generator().manual_seed(0))


def solve(steps: int, denoise: Callable[[Tensor, float], Tensor], x: Tensor = NOISE) -> SolverState:
    """Run all steps."""
    sigmas = flow_sigmas(steps, mu=math.log(3))
    state = solver.begin(x)
    for _ in range(steps):
        state = solver.advance(state, denoise, sigmas=sigmas)
    return state


@given(st.integers(1, 100), st.floats(-1.0, math.log(7)), st.floats(0.9, 1.3))
def test_noise_levels_fall_from_one_to_zero(steps: int, mu: float, exponent: float) -> None:
    """Any schedule begins at pure noise, ends at exactly 0, and never stands still."""
    sigmas = flow_sigmas(steps, mu=mu, exponent=exponent)
    assert len(sigmas) == steps + 1
    assert sigmas[0] == pytest.approx(1, abs=1e-6)
    assert sigmas[-1] == 0
    assert all(later < earlier for earlier, later in pairwise(sigmas))


@given(st.integers(1, 100), st.integers(1, 33), st.sampled_from(buckets(640)))
def test_every_size_has_a_schedule(steps: int, window: int, bucket: tuple[int, int]) -> None:
    """For all buckets, windows and step counts the shift is that of the tokens, and no two noise levels are equal."""
    height, width = bucket
    mu = flow_mu(window * height * width // 256)
    assert 0.5 < mu <= math.log(7)
    assert (mu == math.log(7)) == (window >= 6)
    sigmas = flow_sigmas(steps, mu=mu)
    assert all(later < earlier for earlier, later in pairwise(sigmas))
    assert sigmas[-1] == 0


@given(st.integers(1, 40), st.integers(1, 33), st.data())
@settings(max_examples=30)
def test_any_step_can_be_the_last_of_a_process(steps: int, window: int, data: st.DataObject) -> None:
    """Cut anywhere and carried over as copies, the solver comes to the same bits; at most three outputs go along."""
    x = torch.randn((1, 16, window, 2, 2), generator=torch.Generator().manual_seed(window))
    sigmas = flow_sigmas(steps, mu=math.log(7))
    cut = data.draw(st.integers(0, steps))
    whole = moved = solver.begin(x)
    for step in range(steps):
        if step == cut:
            moved = SolverState(moved.step, moved.x.clone(), tuple(output.clone() for output in moved.outputs))
        whole, moved = (solver.advance(one, lambda x, s: torch.tanh(x * s), sigmas=sigmas) for one in (whole, moved))
        assert torch.equal(whole.x, moved.x)
        assert len(moved.outputs) == min(step + 1, solver.MAX_ORDER)
    assert torch.equal(whole.outputs[-1], moved.outputs[-1])
    assert bool(torch.isfinite(whole.outputs[-1]).all())


def test_a_shift_too_strong_for_float32_is_refused() -> None:
    """Two equal noise levels would divide by zero: the request is at fault, and hears which field."""
    with pytest.raises(InvalidSpec, match="flow_shift"):
        flow_sigmas(25, mu=math.log(1e9))


@given(st.integers(1, 20_000))
def test_the_automatic_shift_stops_at_seven(tokens: int) -> None:
    """More tokens shift more, up to ln 7; an explicit shift is taken as it is."""
    assert flow_mu(tokens) <= math.log(7)
    assert flow_mu(tokens) <= flow_mu(tokens + 1)
    assert flow_mu(tokens, shift=3.0) == math.log(3)


@pytest.mark.parametrize("steps", [1, 2, 3, 4, 25])
def test_a_straight_flow_lands_on_the_data(steps: int) -> None:
    """Where x0 does not change, every step goes straight toward it, so any number of steps is exact."""
    data = torch.full_like(NOISE, 0.5)
    seen = []

    def denoise(x: Tensor, sigma: float) -> Tensor:
        seen.append((x - (data + sigma * (NOISE - data))).abs().max().item())
        return data

    assert torch.equal(solve(steps, denoise).outputs[-1], data)
    assert len(seen) == steps
    assert max(seen) < 1e-5


def test_halving_the_step_divides_the_error_by_more_than_four() -> None:
    """With x0 = c·x the flow is x = σ^(1-c)·noise; between σ = 1 and 0.2 the solver is of a higher order than 2."""
    c, last = 0.3, 0.2

    def error(steps: int) -> float:
        sigmas = [*(last ** (i / (steps - 1)) for i in range(steps)), 0.0]
        state = solver.begin(NOISE)
        for _ in range(steps):
            state = solver.advance(state, lambda x, _: c * x, sigmas=sigmas)
        true = c * last ** (1 - c) * NOISE
        return float((state.outputs[-1] - true).abs().max() / true.abs().max())

    errors = [error(steps) for steps in (4, 8, 16)]
    assert errors[1] < errors[0] / 4
    assert errors[2] < errors[1] / 4


def test_a_step_leaves_the_state_before_it_unchanged() -> None:
    """The solver is a function: the same state gives the same next one, bit for bit."""
    sigmas = flow_sigmas(6, mu=0.5)
    state = solver.begin(NOISE.clone())
    for _ in range(6):
        before = [t.clone() for t in (state.x, *state.outputs)]
        one, two = (solver.advance(state, lambda x, s: torch.tanh(x * s), sigmas=sigmas) for _ in range(2))
        assert all(torch.equal(a, b) for a, b in zip(before, (state.x, *state.outputs), strict=True))
        assert torch.equal(one.x, two.x)
        assert torch.equal(one.outputs[-1], two.outputs[-1])
        assert len(one.outputs) <= solver.MAX_ORDER
        state = one


@given(st.integers(1, 100), st.floats(1e-3, 100), st.floats(0.01, 10))
def test_what_the_planner_lets_pass_can_be_sampled(steps: int, shift: float, exponent: float) -> None:
    """Of a schedule that `check_flow` takes, without torch, float32 tells all levels apart."""
    try:
        sigmas = flow_sigmas(steps, mu=math.log(shift), exponent=exponent)
    except InvalidSpec:
        return
    assert len(sigmas) == steps + 1
    assert all(later < earlier for earlier, later in pairwise(sigmas))


def test_ordinary_schedules_pass_the_planner() -> None:
    """Every number of steps, at the largest shift and the exponents of all presets."""
    for steps in range(1, 101):
        for exponent in (0.95, 1.0, 1.25):
            check_flow(steps, mu=math.log(7), exponent=exponent)
