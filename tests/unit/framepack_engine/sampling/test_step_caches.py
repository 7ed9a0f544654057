"""Diffusers' step caches, kept as values: nothing leaks, every step can be resumed, and the model stays as it was."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from framepack_engine import RenderSpec, Sampler, SectionState, StepState
from framepack_engine.conformance import case_conditioning, load_case_model
from framepack_engine.errors import ArtifactMismatch, CacheUnusable, InvalidSpec
from framepack_engine.planning.cache_choice import MAG_RATIOS, THRESHOLDS, check_cache
from framepack_engine.sampling.cache_diffusers import _Packer, _Unpacker
from tests.imports import ROOT

pytestmark = pytest.mark.usefixtures("one_thread")

GOLDEN = ROOT / "tests" / "golden"
COND = case_conditioning(GOLDEN / "i2v_true_cfg")
PLAIN = RenderSpec(
    kind="i2v",
    sections=2,
    height=80,
    width=112,
    seed=5,
    prompt="",
    latent_window_size=1,
    num_inference_steps=10,
    true_cfg_scale=2.0,
)
CACHED = {
    "first_block": replace(PLAIN, cache="first_block", cache_threshold=1.0),
    "magcache": replace(PLAIN, cache="magcache", cache_threshold=0.3, cache_ratios=(1.0, 1.1, 0.9)),
    "taylorseer": replace(PLAIN, cache="taylorseer", cache_threshold=3),
}


@pytest.fixture(scope="module")
def renderer() -> Sampler:
    """A renderer with the case model."""
    return Sampler(*load_case_model(GOLDEN / "tiny_model"))


def steps_of(
    renderer: Sampler, spec: RenderSpec, index: int, previous: SectionState | None
) -> tuple[SectionState, list[bytes]]:
    """A section, and its state after each step."""
    states: list[bytes] = []
    made = renderer.section(spec, index, COND, previous, on_step=lambda state: states.append(state.to_bytes()))
    return made, states


@pytest.mark.parametrize("cache", CACHED)
def test_every_step_resumes_to_the_same_bits(renderer: Sampler, cache: str) -> None:
    """After any step, through bytes and on a model that has rendered something else since, the section is the same."""
    spec = CACHED[cache]
    first, _ = steps_of(renderer, spec, 0, None)
    whole, states = steps_of(renderer, spec, 1, first)
    for data in states[:: 1 if cache == "taylorseer" else 3]:
        renderer.section(replace(spec, seed=99, num_inference_steps=4), 0, COND, None)
        resumed = renderer.section(spec, 1, COND, first, resume=StepState.from_bytes(data))
        assert resumed.to_bytes() == whole.to_bytes()


@pytest.mark.parametrize("cache", CACHED)
def test_a_cache_skips_and_leaves_no_trace(renderer: Sampler, cache: str) -> None:
    """Fewer forwards, the first and last step among those that ran; the same again, and exact again without it."""
    plain = renderer.section(PLAIN, 0, COND, None)
    cached = renderer.section(CACHED[cache], 0, COND, None)
    assert cached.forwards[0] == cached.forwards[-1] == 2
    assert sum(cached.forwards) < sum(plain.forwards) == 20
    assert not torch.equal(cached.latents, plain.latents)
    assert renderer.section(CACHED[cache], 0, COND, None).to_bytes() == cached.to_bytes()
    assert renderer.section(PLAIN, 0, COND, None).to_bytes() == plain.to_bytes()


@pytest.mark.parametrize("cache", CACHED)
def test_guidance_branches_have_a_state_each(renderer: Sampler, cache: str) -> None:
    """A negative prompt equal to the prompt gives the bits of no true CFG at all: neither branch sees the other's."""
    twin = replace(
        COND, negative_prompt_embeds=COND.prompt_embeds, negative_pooled_prompt_embeds=COND.pooled_prompt_embeds
    )
    both = renderer.section(CACHED[cache], 0, twin, None)
    alone = renderer.section(replace(CACHED[cache], true_cfg_scale=1.0), 0, COND, None)
    assert both.forwards == tuple(2 * count for count in alone.forwards)
    assert torch.equal(both.latents, alone.latents)


@pytest.mark.parametrize("cache", ["first_block", "magcache"])
def test_a_threshold_of_nothing_is_exact(renderer: Sampler, cache: str) -> None:
    """A cache that never skips changes no bit."""
    careful = renderer.section(
        replace(CACHED[cache], cache_threshold=0.0, cache_ratios=(2.0, 2.0) if cache == "magcache" else None),
        0,
        COND,
        None,
    )
    assert careful.forwards == (2,) * 10
    assert torch.equal(careful.latents, renderer.section(PLAIN, 0, COND, None).latents)


def test_taylorseer_runs_at_its_interval(renderer: Sampler) -> None:
    """Three steps to learn, then one in three (diffusers counts from step 4), and the last."""
    spec = replace(CACHED["taylorseer"], true_cfg_scale=1.0)
    assert renderer.section(spec, 0, COND, None).forwards == (1, 1, 1, 0, 1, 0, 0, 1, 0, 1)


def test_a_stopped_section_leaves_the_model_clean(renderer: Sampler) -> None:
    """An exception that stops a cached section also takes the cache's hooks off the model."""
    plain = renderer.section(PLAIN, 0, COND, None)

    def stop(_: StepState) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        renderer.section(CACHED["taylorseer"], 0, COND, None, on_step=stop)
    assert renderer.section(PLAIN, 0, COND, None).to_bytes() == plain.to_bytes()


def test_the_state_of_another_cache_is_refused(renderer: Sampler) -> None:
    """A step saved under one cache is none of a section with another."""
    _, states = steps_of(renderer, CACHED["first_block"], 0, None)
    with pytest.raises(ArtifactMismatch, match="not of this video"):
        renderer.section(CACHED["magcache"], 0, COND, None, resume=StepState.from_bytes(states[2]))


def test_magcache_needs_to_know_the_model(renderer: Sampler) -> None:
    """Without ratios it is refused by name; measured ones are one a step, the first being 1, and then it runs."""
    spec = replace(PLAIN, cache="magcache")
    with pytest.raises(CacheUnusable, match="framepack-i2v") as caught:
        renderer.section(spec, 0, COND, None)
    assert caught.value.facts["field"] == "cache"
    ratios = renderer.magnitude_ratios(spec, COND)
    assert len(ratios) == 10
    assert ratios[0] == 1.0
    assert all(ratio > 0 for ratio in ratios)
    made = renderer.section(replace(spec, cache_ratios=ratios, cache_threshold=5.0), 0, COND, None)
    assert sum(made.forwards) < 20


def test_known_ratios_are_of_25_steps() -> None:
    """The table names models of the catalogue and holds one number a step of the default."""
    from framepack_engine.models.catalog import MODELS

    assert MAG_RATIOS.keys() <= MODELS.keys()
    assert {len(ratios) for ratios in MAG_RATIOS.values()} == {25}


@pytest.mark.parametrize(
    ("cache", "threshold", "field"),
    [
        ("magic", None, "cache"),
        ("teacache", -1.0, "cache_threshold"),
        ("first_block", float("nan"), "cache_threshold"),
        ("taylorseer", 0.0, "cache_threshold"),
        ("taylorseer", 2.5, "cache_threshold"),
    ],
)
def test_impossible_choices_are_refused_by_name(cache: str, threshold: float | None, field: str) -> None:
    """An unknown cache, or a threshold that means nothing to it."""
    with pytest.raises(InvalidSpec) as caught:
        replace(PLAIN, cache=cache, cache_threshold=threshold)
    assert caught.value.facts["field"] == field


@given(st.sampled_from(sorted(THRESHOLDS)))
def test_a_cache_has_a_threshold_of_its_own(cache: str) -> None:
    """A request without a threshold gets the cache's own, which is possible."""
    check_cache(cache, THRESHOLDS[cache])
    assert replace(PLAIN, cache=cache).threshold == THRESHOLDS[cache]


VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-9, 9), st.floats(allow_nan=False), st.text(max_size=5)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.tuples(inner, inner), st.dictionaries(st.integers(0, 9), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(VALUES)
def test_states_survive_json(value: Any) -> None:
    """Plain values that a cache keeps come back as they were, types of containers and keys included."""
    packer = _Packer()
    packed = json.loads(json.dumps(packer.packed([value, torch.ones(2), torch.float16])))
    back = _Unpacker(packer.tensors, torch.device("cpu")).unpacked(packed)
    assert back[0] == value
    assert type(back[0]) is type(value)
    assert torch.equal(back[1], torch.ones(2))
    assert back[2] is torch.float16
