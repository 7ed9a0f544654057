"""TeaCache's rule, and its hooks on the real transformer."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from framepack_engine.conformance import load_case_model
from framepack_engine.sampling.caches import TeaCache, TeaCacheState, decide, expected_change
from tests.imports import ROOT

pytestmark = pytest.mark.usefixtures("one_thread")

ONES = torch.ones(1, 4, 8)


def test_the_polynomial_is_the_authors() -> None:
    """An unchanged input still counts: the constant term is 0.096."""
    assert expected_change(0.0) == 0.0961237896
    assert expected_change(0.1) == pytest.approx(0.0733226126 - 0.401131952 + 0.675869174 - 0.3149878 + 0.0961237896)


@given(st.lists(st.floats(0, 0.5), min_size=1, max_size=30), st.floats(0.01, 2))
def test_the_blocks_run_when_the_sum_reaches_the_threshold(distances: list[float], threshold: float) -> None:
    """The sum grows with every step, also skipped ones, against the step before; running the blocks resets it."""
    ran, state = decide(TeaCacheState(), ONES, threshold=threshold, forced=True)
    assert ran
    state = TeaCacheState(state.total, state.modulated, torch.zeros_like(ONES))
    value, total = 1.0, 0.0
    for distance in distances:
        later = torch.full_like(ONES, value * (1 + distance))
        seen = float((later - value).abs().mean() / torch.full_like(ONES, value).abs().mean())
        total += expected_change(seen)
        ran, state = decide(state, later, threshold=threshold, forced=False)
        assert ran == (total >= threshold)
        total = 0.0 if ran else total
        assert state.total == pytest.approx(total)
        value = float(later[0, 0, 0])


@given(st.integers(1, 100), st.floats(0, 5), st.integers(0, 1000))
def test_a_section_of_any_length_keeps_the_rule(steps: int, threshold: float, seed: int) -> None:
    """The sum over skipped steps stays below the threshold, and the same inputs give the same choice again."""
    generator = torch.Generator().manual_seed(seed)
    inputs = [torch.rand((1, 4, 8), generator=generator) + 0.1 for _ in range(steps)]

    def choices(limit: float) -> list[bool]:
        state, chosen = TeaCacheState(), []
        for step, modulated in enumerate(inputs):
            ran, state = decide(state, modulated, threshold=limit, forced=step in {0, steps - 1})
            if ran:
                state = TeaCacheState.unpacked(TeaCacheState(state.total, state.modulated, ONES).packed())
            assert state.total == 0 if ran else state.total < limit
            assert state.modulated is modulated
            chosen.append(ran)
        return chosen

    chosen = choices(threshold)
    assert chosen == choices(threshold)
    assert chosen[0]
    assert chosen[-1]
    assert choices(0.0) == [True] * steps
    assert sum(choices(1e9)) == min(steps, 2)


def test_first_and_last_steps_always_run() -> None:
    """A forced step runs and resets the sum, however little has changed."""
    state = TeaCacheState(0.1, ONES, ONES)
    assert not decide(state, ONES, threshold=99, forced=False)[0]
    ran, after = decide(state, ONES, threshold=99, forced=True)
    assert ran
    assert after.total == 0


def test_a_distance_that_is_no_number_runs_the_blocks() -> None:
    """An input of zeros has no relative change: computing is the safe answer."""
    zeros = torch.zeros_like(ONES)
    assert decide(TeaCacheState(0.0, zeros, ONES), zeros, threshold=99, forced=False)[0]


def test_hooks_change_nothing_unless_used() -> None:
    """A model with hooks, put on a second time, gives the bits of one without; a skipped call is the residual."""
    model = load_case_model(ROOT / "tests" / "golden" / "tiny_model").transformer.eval()
    generator = torch.Generator().manual_seed(0)
    latent = torch.randn((1, 16, 1, 4, 4), generator=generator)
    inputs = {
        "hidden_states": latent,
        "timestep": torch.tensor([500.0]),
        "encoder_hidden_states": torch.randn((1, 6, 32), generator=generator),
        "encoder_attention_mask": torch.ones((1, 6), dtype=torch.long),
        "pooled_projections": torch.randn((1, 24), generator=generator),
        "image_embeds": torch.randn((1, 5, 20), generator=generator),
        "indices_latents": torch.tensor([1]),
        "guidance": torch.tensor([10_000.0]),
        "latents_clean": latent.repeat(1, 1, 2, 1, 1),
        "indices_latents_clean": torch.tensor([0, 2]),
        "latents_history_2x": latent.repeat(1, 1, 2, 1, 1),
        "indices_latents_history_2x": torch.tensor([3, 4]),
        "latents_history_4x": latent.repeat(1, 1, 16, 1, 1),
        "indices_latents_history_4x": torch.arange(5, 21),
        "return_dict": False,
    }
    with torch.no_grad():
        plain = model(**inputs)[0]
        TeaCache(model, threshold=1.0, steps=2).close()
        cache = TeaCache(model, threshold=1.0, steps=2)
        assert torch.equal(model(**inputs)[0], plain)
        with cache.using(TeaCacheState(), forced=True) as first:
            assert torch.equal(model(**inputs)[0], plain)
        with cache.using(first.state, forced=False) as second:
            skipped = model(**inputs)[0]
        assert torch.equal(model(**inputs)[0], plain)
        cache.close()
        assert torch.equal(model(**inputs)[0], plain)
    assert first.computed
    assert not second.computed
    assert torch.allclose(skipped, plain, atol=1e-4)
