"""Artifacts are deterministic bytes, and damaged ones say so."""

from __future__ import annotations

import pickle

import pytest
import torch

from framepack_engine.errors import ArtifactDamaged, EngineError, InvalidSpec
from framepack_engine.sampling.artifacts import Conditioning, SectionState, StepState
from framepack_engine.sampling.caches import TeaCacheState
from framepack_engine.sampling.solver import SolverState

RNG = torch.Generator().manual_seed(1).get_state()


def section() -> SectionState:
    """A small section."""
    history = torch.arange(16 * 19 * 4.0).reshape(1, 16, 19, 2, 2)
    return SectionState(
        index=3, latents=history[:, :, :2].contiguous(), history=history, rng_state=RNG, forwards=(1, 0, 2)
    )


def conditioning() -> Conditioning:
    """A conditioning whose keyframe is the start image itself, and whose embeddings are half precision."""
    start = torch.ones(1, 16, 1, 2, 2)
    return Conditioning(
        prompt_embeds=torch.rand(1, 4, 8).bfloat16(),
        pooled_prompt_embeds=torch.rand(1, 3).half(),
        image_embeds=torch.rand(1, 5, 2),
        start_latent=start,
        end_latent=start * 2,
        keyframes={0: start, 12: start * 3},
    )


def step() -> StepState:
    """A state with one branch that has cached something and one that has not."""
    x = torch.rand(1, 16, 2, 2, 2)
    first = TeaCacheState(0.1 + 0.2, torch.rand(1, 3, 4), torch.rand(1, 3, 4))
    caches = (first.packed(), TeaCacheState().packed())
    solver = SolverState(2, x, (x + 1, x + 2))
    return StepState(index=1, solver=solver, caches=caches, rng_state=RNG, forwards=(2, 1))


def test_artifacts_come_back_as_they_were() -> None:
    """Every tensor, type and number survives, bit for bit."""
    back = SectionState.from_bytes(section().to_bytes())
    assert (back.index, back.forwards) == (3, (1, 0, 2))
    assert torch.equal(back.history, section().history)
    assert torch.equal(back.rng_state, RNG)
    made = conditioning()
    cond = Conditioning.from_bytes(made.to_bytes())
    assert cond.prompt_embeds.dtype == torch.bfloat16
    assert cond.negative_prompt_embeds is None
    assert sorted(cond.keyframes) == [0, 12]
    assert torch.equal(cond.keyframes[12], made.keyframes[12])
    state = step()
    again = StepState.from_bytes(state.to_bytes())
    assert again.caches[0].facts == state.caches[0].facts == {"total": 0.1 + 0.2}
    assert torch.equal(again.caches[0].tensors["residual"], state.caches[0].tensors["residual"])
    assert TeaCacheState.unpacked(again.caches[1]).modulated is None
    assert torch.equal(again.estimate, state.estimate)


def test_equal_values_give_equal_bytes() -> None:
    """The ledger names artifacts by their hash: nothing in the bytes depends on the run."""
    assert section().to_bytes() == SectionState.from_bytes(section().to_bytes()).to_bytes()
    made = conditioning()
    assert made.to_bytes() == Conditioning.from_bytes(made.to_bytes()).to_bytes()
    state = step()
    assert state.to_bytes() == StepState.from_bytes(state.to_bytes()).to_bytes()


@pytest.mark.parametrize("length", [0, 7, 8, 100, -1])
def test_truncated_bytes_are_damaged(length: int) -> None:
    """A cut at any place raises our own error."""
    with pytest.raises(ArtifactDamaged):
        SectionState.from_bytes(section().to_bytes()[:length])


def test_another_kind_of_artifact_is_refused() -> None:
    """A whole artifact of another kind, or a safetensors file of nobody, is no section."""
    import safetensors.torch

    with pytest.raises(ArtifactDamaged, match="'step'"):
        SectionState.from_bytes(step().to_bytes())
    with pytest.raises(ArtifactDamaged):
        SectionState.from_bytes(safetensors.torch.save({"latents": RNG}))
    with pytest.raises(ArtifactDamaged, match="start_latent"):
        Conditioning.from_tensors({"prompt_embeds": RNG, "pooled_prompt_embeds": RNG, "image_embeds": RNG})


def test_errors_cross_processes() -> None:
    """An error keeps its type and message through pickle."""
    error = pickle.loads(pickle.dumps(InvalidSpec("width=3: odd", field="width")))
    assert isinstance(error, EngineError)
    assert (error.code, str(error)) == ("invalid_spec", "width=3: odd")
