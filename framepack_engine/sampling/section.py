"""One section, from noise to latents: a pure function of the values that it is given."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from framepack_engine.errors import ArtifactMismatch, NotFinite
from framepack_engine.planning.schedule import flow_mu
from framepack_engine.planning.sections import section_layout
from framepack_engine.planning.spec import RenderSpec
from framepack_engine.sampling.artifacts import Conditioning, SectionState, StepState
from framepack_engine.sampling.context import first_history, next_history, pack, start_for
from framepack_engine.sampling.solver import advance, begin, flow_sigmas
from framepack_engine.sampling.text import with_text
from framepack_engine.sampling.transformer import Question, Transformer

LATENT_CHANNELS = 16


def denoise_section(
    transformer: Transformer,
    spec: RenderSpec,
    index: int,
    conditioning: Conditioning,
    previous: SectionState | None,
    *,
    on_step: Callable[[StepState], None],
    resume: StepState | None = None,
) -> SectionState:
    """Denoise section `index` with the LoRAs that `transformer` has loaded.

    previous: section index - 1; None for the first. on_step: hears each finished step; what it raises stops the
    section. resume: go on after that step, to the same bits.

    Raises: CacheUnusable, AttentionUnavailable, NotFinite.
    """
    history = first_history(spec.kind, conditioning) if previous is None else previous.history.float()
    mu = flow_mu(spec.tokens, shift=spec.flow_shift)
    sigmas = flow_sigmas(spec.num_inference_steps, mu=mu, exponent=spec.flow_exponent)
    device = transformer.device
    state = _first_step(spec, index, previous, device) if resume is None else resume.to(device)
    with transformer.prepared(spec) as cache:
        question = Question(
            transformer,
            spec,
            with_text(conditioning, spec.prompt_shares(index)),
            context=pack(spec.kind, history, start_for(spec.kind, index, conditioning)),
            layout=section_layout(spec.kind, sections=spec.sections, index=index, window=spec.latent_window_size),
            sigmas=sigmas[:-1],
            cache=cache,
        )
        while state.step < spec.num_inference_steps:
            state = _next_step(state, question, sigmas)
            on_step(state)
    latents = state.estimate.cpu()
    if not bool(torch.isfinite(latents).all()):
        raise NotFinite(f"section {index} came out as NaN or infinity", section=index)
    return SectionState(
        index=index,
        latents=latents,
        history=next_history(spec.kind, history.cpu(), latents),
        rng_state=state.rng_state,
        forwards=state.forwards,
    )


def _first_step(spec: RenderSpec, index: int, previous: SectionState | None, device: torch.device) -> StepState:
    """Draw the section's noise: a video has one CPU generator, which goes on from section to section."""
    generator = torch.Generator("cpu")
    if previous is None:
        generator.manual_seed(spec.seed)
    else:
        generator.set_state(previous.rng_state)
    noise = torch.randn(_latents_shape(spec), generator=generator, dtype=torch.float32).to(device)
    return StepState(index=index, solver=begin(noise), caches=(), rng_state=generator.get_state(), forwards=())


def _next_step(state: StepState, question: Question, sigmas: tuple[float, ...]) -> StepState:
    caches, forwards = state.caches, 0

    def denoise(x: Tensor, sigma: float) -> Tensor:
        nonlocal caches, forwards
        answer = question.ask(x, sigma, caches=caches, step=state.step)
        caches, forwards = answer.caches, answer.forwards
        return torch.sub(x, answer.velocity, alpha=sigma)

    solver = advance(state.solver, denoise, sigmas=sigmas)
    return replace(state, solver=solver, caches=caches, forwards=(*state.forwards, forwards))


def check_artifacts(
    spec: RenderSpec, index: int, conditioning: Conditioning, previous: SectionState | None, resume: StepState | None
) -> None:
    """Check that section `index` can be computed from these artifacts. Raises: ArtifactMismatch."""
    if not 0 <= index < spec.sections:
        raise ArtifactMismatch(f"section {index} of a video with {spec.sections} sections")
    found = None if previous is None else previous.index
    if found != (index - 1 if index else None):
        raise ArtifactMismatch(f"section {index} needs section {index - 1 if index else None} before it, got {found}")
    frames = {
        "start latent": conditioning.start_latent,
        "end latent": conditioning.end_latent,
        "history of the video before": conditioning.history,
        "history": None if previous is None else previous.history,
    }
    for name, tensor in frames.items():
        if tensor is not None and tuple(tensor.shape[-2:]) != spec.latent_size:
            size = tuple(tensor.shape[-2:])
            raise ArtifactMismatch(f"the {name} is {size}, and the video's latents are {spec.latent_size}")
    if resume is not None and (
        resume.index != index
        or resume.step > spec.num_inference_steps
        or tuple(resume.solver.x.shape) != _latents_shape(spec)
        or len(resume.forwards) != resume.step
        or any(cache.cache != spec.cache for cache in resume.caches)
    ):
        raise ArtifactMismatch(f"the state after step {resume.step} of section {resume.index} is not of this video")


def _latents_shape(spec: RenderSpec) -> tuple[int, int, int, int, int]:
    """The shape of a section's latents, (B, C, T, H, W)."""
    return 1, LATENT_CHANNELS, spec.latent_window_size, *spec.latent_size
