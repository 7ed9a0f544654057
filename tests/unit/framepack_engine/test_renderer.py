"""A section is a pure function: interrupted, moved or repeated, it gives the same bits."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from framepack_engine import (
    Conditioning,
    Models,
    Renderer,
    RenderProgress,
    RenderSpec,
    Sampler,
    SectionState,
    StepState,
    prepare_process,
)
from framepack_engine.conformance import load_case_model
from framepack_engine.errors import ArtifactMismatch, NotFinite
from framepack_engine.frames.preview import latent_preview
from framepack_engine.frames.source import SourceFacts, look_at
from framepack_engine.planning.sections import HISTORY, Kind, final_frames
from tests.imports import ROOT

pytestmark = pytest.mark.usefixtures("one_thread")

MODEL = ROOT / "tests" / "golden" / "tiny_model"
SPEC = RenderSpec(
    kind="i2v", sections=3, height=32, width=48, seed=5, prompt="", latent_window_size=2, num_inference_steps=5
)
VARIANTS = {
    "plain": SPEC,
    "f1": replace(SPEC, kind="f1"),
    "true_cfg": replace(SPEC, true_cfg_scale=2.0, guidance_rescale=0.5),
    "teacache": replace(SPEC, cache="teacache", cache_threshold=1.5, num_inference_steps=8),
    "teacache_cfg": replace(SPEC, cache="teacache", cache_threshold=4.0, num_inference_steps=8, true_cfg_scale=2.0),
}


def conditioning(height: int = 4, width: int = 6, *, seed: int = 0, fill: float = 1.0) -> Conditioning:
    """Made-up embeddings of the case model's sizes."""
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape: int) -> torch.Tensor:
        return fill * torch.randn(shape, generator=generator)

    return Conditioning(
        prompt_embeds=draw(1, 6, 32),
        pooled_prompt_embeds=draw(1, 24),
        image_embeds=draw(1, 5, 20),
        start_latent=draw(1, 16, 1, height, width),
        negative_prompt_embeds=draw(1, 3, 32),
        negative_pooled_prompt_embeds=draw(1, 24),
    )


@pytest.fixture(scope="module")
def renderer() -> Sampler:
    """A sampler with the case model."""
    return Sampler(*load_case_model(MODEL))


def test_convolutions_are_chosen_by_rule(renderer: Sampler) -> None:
    """With any setting of the process, cuDNN's kernels neither race nor add in any order; the setting stays."""
    cudnn, seen = torch.backends.cudnn, set[tuple[bool, bool]]()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cudnn, "benchmark", True)
        patch.setattr(cudnn, "deterministic", False)
        spec = replace(SPEC, num_inference_steps=2)
        renderer.section(
            spec, 0, conditioning(), None, on_step=lambda _: seen.add((cudnn.benchmark, cudnn.deterministic))
        )
        assert (cudnn.benchmark, cudnn.deterministic) == (True, False)
    assert seen == {(False, True)}


def test_a_process_without_mkl_s_mode_is_told(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A renderer on a CPU warns, with what to do; it sets nothing itself. `prepare_process` sets it, once."""
    monkeypatch.setattr(torch.backends.mkl, "is_available", lambda: True)
    monkeypatch.delenv("MKL_CBWR", raising=False)
    parts = load_case_model(MODEL)
    Sampler(*parts)
    assert "MKL_CBWR=AUTO,STRICT" in caplog.text
    assert "MKL_CBWR" not in os.environ
    caplog.clear()
    prepare_process()
    Sampler(*parts)
    assert (os.environ["MKL_CBWR"], caplog.text) == ("AUTO,STRICT", "")
    monkeypatch.setenv("MKL_CBWR", "AVX2,STRICT")
    prepare_process()
    assert os.environ["MKL_CBWR"] == "AVX2,STRICT"


class Interrupted(Exception):
    """The exception that a worker raises to stop."""


def interrupted(
    renderer: Sampler, spec: RenderSpec, index: int, previous: SectionState | None, *, after: int
) -> StepState:
    """The state of a section that was stopped after `after` steps."""
    kept: list[StepState] = []

    def stop(state: StepState) -> None:
        kept.append(state)
        if state.step == after:
            raise Interrupted

    with pytest.raises(Interrupted):
        renderer.section(spec, index, conditioning(), previous, on_step=stop)
    return kept[-1]


@pytest.mark.parametrize("name", VARIANTS)
def test_bytes_resume_to_the_same_bits(renderer: Sampler, name: str) -> None:
    """From any finished step, and from the section before, through bytes: the same section, byte for byte."""
    spec, cond = VARIANTS[name], conditioning()
    first = renderer.section(spec, 0, cond, None)
    whole = renderer.section(spec, 1, cond, first)
    again = SectionState.from_bytes(first.to_bytes())
    for after in (2, spec.num_inference_steps):
        state = StepState.from_bytes(interrupted(renderer, spec, 1, again, after=after).to_bytes())
        resumed = renderer.section(spec, 1, Conditioning.from_bytes(cond.to_bytes()), again, resume=state)
        assert resumed.to_bytes() == whole.to_bytes()
    if name.startswith("teacache"):
        assert min(whole.forwards) < max(whole.forwards)


def test_another_process_resumes_to_the_same_bits(renderer: Sampler, tmp_path: Path) -> None:
    """A worker elsewhere, given only bytes, goes on in mid-section and ends with the same bytes."""
    spec, cond = VARIANTS["teacache_cfg"], conditioning()
    first = renderer.section(spec, 0, cond, None)
    (tmp_path / "previous").write_bytes(first.to_bytes())
    (tmp_path / "conditioning").write_bytes(cond.to_bytes())
    (tmp_path / "step").write_bytes(interrupted(renderer, spec, 1, first, after=3).to_bytes())
    code = f"""
import torch
from pathlib import Path
from framepack_engine import Conditioning, RenderSpec, Sampler, SectionState, StepState
from framepack_engine.conformance import load_case_model
torch.set_num_threads(1)
folder = Path({str(tmp_path)!r})
read = lambda name: (folder / name).read_bytes()
state = Sampler(*load_case_model(Path({str(MODEL)!r}))).section(
    {spec!r}, 1, Conditioning.from_bytes(read("conditioning")), SectionState.from_bytes(read("previous")),
    resume=StepState.from_bytes(read("step")))
(folder / "out").write_bytes(state.to_bytes())
"""
    subprocess.run([sys.executable, "-c", code], check=True)
    assert (tmp_path / "out").read_bytes() == renderer.section(spec, 1, cond, first).to_bytes()


def test_what_ran_before_leaves_no_trace(renderer: Sampler) -> None:
    """Other videos, cached or not, and the global generator change no bit of a section."""
    wanted = renderer.section(SPEC, 0, conditioning(), None).to_bytes()
    renderer.section(VARIANTS["teacache"], 0, conditioning(seed=3), None)
    torch.manual_seed(99)
    assert renderer.section(SPEC, 0, conditioning(), None).to_bytes() == wanted


@given(st.sampled_from(["i2v", "f1"]), st.integers(1, 33), st.tuples(*[st.integers(1, 4)] * 2), st.integers(1, 4))
@settings(max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_window_size_and_step_count_works(
    renderer: Sampler, kind: Kind, window: int, size: tuple[int, int], steps: int
) -> None:
    """Windows from 1 to 33, any even latent sizes and steps from 1 give a section and its context, all finite."""
    spec = replace(
        SPEC,
        kind=kind,
        sections=2,
        height=16 * size[0],
        width=16 * size[1],
        latent_window_size=window,
        num_inference_steps=steps,
    )
    cond = conditioning(2 * size[0], 2 * size[1])
    state = renderer.section(spec, 0, cond, None)
    state = renderer.section(spec, 1, cond, state)
    assert state.latents.shape == (1, 16, window, *spec.latent_size)
    assert state.history.shape == (1, 16, HISTORY, *spec.latent_size)
    assert state.forwards == (1,) * steps


def test_history_is_the_next_context(renderer: Sampler) -> None:
    """i2v keeps the first 19 frames in time, the newest section first; f1 the last 19, the start image before all."""
    cond = conditioning()
    one = renderer.section(SPEC, 0, cond, None)
    two = renderer.section(SPEC, 1, cond, one)
    assert torch.equal(two.history[:, :, :4], torch.cat([two.latents, one.latents], dim=2))
    assert not two.history[:, :, 4:].any()
    forward = replace(SPEC, kind="f1")
    one = renderer.section(forward, 0, cond, None)
    assert torch.equal(one.history[:, :, -3:], torch.cat([cond.start_latent, one.latents], dim=2))
    assert not one.history[:, :, :-3].any()


def test_keyframes_steer_the_sections_up_to_theirs(renderer: Sampler) -> None:
    """A keyframe of section 1 is what sections 0 and 1 aim at; section 2 aims at the start image again."""
    cond = conditioning()
    keyframed = replace(cond, keyframes={1: conditioning(seed=7).start_latent})
    start_there = replace(cond, start_latent=keyframed.keyframes[1])
    previous, other = None, None
    for index, same_as in enumerate((start_there, start_there, cond)):
        made = renderer.section(SPEC, index, keyframed, previous)
        assert torch.equal(made.latents, renderer.section(SPEC, index, same_as, previous).latents)
        other = cond if same_as is start_there else start_there
        assert not torch.equal(made.latents, renderer.section(SPEC, index, other, previous).latents)
        previous = made


def test_artifacts_of_another_video_are_refused(renderer: Sampler) -> None:
    """Wrong section, size or step count is an error before anything is computed."""
    cond = conditioning()
    first = renderer.section(SPEC, 0, cond, None)
    step = interrupted(renderer, SPEC, 0, None, after=2)
    with pytest.raises(ArtifactMismatch, match="needs section 1"):
        renderer.section(SPEC, 2, cond, first)
    with pytest.raises(ArtifactMismatch, match="needs section"):
        renderer.section(SPEC, 1, cond, None)
    with pytest.raises(ArtifactMismatch, match="of a video with 3"):
        renderer.section(SPEC, 3, cond, first)
    with pytest.raises(ArtifactMismatch, match="start latent"):
        renderer.section(SPEC, 0, conditioning(6, 6), None)
    with pytest.raises(ArtifactMismatch, match="step 2"):
        renderer.section(SPEC, 1, cond, first, resume=step)
    with pytest.raises(ArtifactMismatch, match="step 2"):
        renderer.section(replace(SPEC, num_inference_steps=1), 0, cond, None, resume=step)
    with pytest.raises(ArtifactMismatch, match="negative"):
        renderer.section(VARIANTS["true_cfg"], 0, replace(cond, negative_prompt_embeds=None), None)


def test_a_section_of_nan_is_an_error(renderer: Sampler) -> None:
    """The engine never returns values that are no numbers."""
    with pytest.raises(NotFinite, match="section 0"):
        renderer.section(SPEC, 0, conditioning(fill=math.nan), None)


def test_previews_are_one_pixel_a_latent(renderer: Sampler) -> None:
    """The newest estimate can be looked at after any step: frames side by side."""
    state = interrupted(renderer, SPEC, 0, None, after=1)
    assert latent_preview(state.estimate).size == (2 * 6, 4)


def test_clips_come_as_planned(renderer: Sampler) -> None:
    """All sections in one go: clips in generation order, each as long as planned, progress told for every step."""
    told: list[tuple[str, int, int]] = []
    clips = dict(renderer.clips(SPEC, conditioning(), on_progress=lambda p: told.append((p.stage, p.section, p.step))))
    finals = final_frames("i2v", 3, 2)
    assert {k: len(frames) for k, frames in clips.items()} == {k: n for k, n in enumerate(finals) if n}
    assert [entry for entry in told if entry[0] == "section"] == [("section", k, s) for k in range(3) for s in range(6)]


def test_half_precision_keeps_a_float32_sampler() -> None:
    """With a bfloat16 transformer the solver, the last projection and what is stored stay float32.

    Time and guidance are rounded as the reference rounds them, which alone moves a random model's answer by half its
    size; a float32 model that is told the rounded ones agrees within 5 %.
    """
    parts, exact = load_case_model(MODEL), load_case_model(MODEL)
    parts.transformer.to(torch.bfloat16)
    half = Sampler(*parts)
    states: list[StepState] = []
    made = half.section(SPEC, 0, conditioning(), None, on_step=states.append)
    assert {t.dtype for s in states for t in (s.solver.x, *s.solver.outputs)} == {torch.float32}
    assert parts.transformer.proj_out.weight.dtype == torch.float32
    assert "bfloat16" in half.numeric_class
    assert "bfloat16" in Sampler(*parts).numeric_class

    def rounded(_module: object, args: tuple[object, ...], kwargs: dict[str, torch.Tensor]) -> object:
        return args, kwargs | {name: kwargs[name].bfloat16().float() for name in ("timestep", "guidance")}

    exact.transformer.register_forward_pre_hook(rounded, with_kwargs=True)
    wanted = Sampler(*exact).section(SPEC, 0, conditioning(), None).latents
    assert 0 < float((made.latents - wanted).abs().mean()) < 0.05 * float(wanted.abs().mean())


def test_a_photo_becomes_a_video(tiny_models: Models, photo: Path, tmp_path: Path) -> None:
    """The whole engine in one call: encode, all sections, clips, one mp4 of the planned length, no other file."""
    stages: list[str] = []
    spec = replace(SPEC, sections=2, height=64, width=96, prompt="a cat", num_inference_steps=2)
    out = Renderer(tiny_models).render(
        spec, {"start": Image.open(photo)}, tmp_path / "cat.mp4", on_progress=lambda p: stages.append(p.stage)
    )
    assert look_at(out) == SourceFacts(frames=spec.frames, height=64, width=96)
    assert list(dict.fromkeys(stages)) == ["encode", "section", "decode", "finish"]
    assert list(tmp_path.iterdir()) == [out]


def test_a_stopped_render_leaves_no_file(tiny_models: Models, photo: Path, tmp_path: Path) -> None:
    """An exception of the listener ends the render, and neither a video nor a clip stays behind."""

    def stop(progress: RenderProgress) -> None:
        if progress.stage == "decode":
            raise Interrupted

    spec = replace(SPEC, sections=2, num_inference_steps=1)
    with pytest.raises(Interrupted):
        Renderer(tiny_models).render(spec, {"start": Image.open(photo)}, tmp_path / "cat.mp4", on_progress=stop)
    assert not list(tmp_path.iterdir())
