"""The one file that sees all of the engine: a video's stages, each a pure function of values.

Nothing here remembers a video: what a stage needs comes in, what it made goes out. The only thing kept between calls is
the last decoded seam, which changes no bit of any answer.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol, TypeVar, cast

import torch
from torch import Tensor

from framepack_engine.environment import warn_if_unprepared
from framepack_engine.errors import ArtifactMismatch, NotFinite
from framepack_engine.frames.decode import Decoder, latent_preview
from framepack_engine.frames.provenance import provenance, tags
from framepack_engine.memory.placement import Placement
from framepack_engine.memory.tenancy import Tenancy, workload_of
from framepack_engine.models.shelf import Models
from framepack_engine.planning.sections import decode_needs, section_layout, tail_frames, time_order
from framepack_engine.planning.spec import RenderSpec
from framepack_engine.sampling import context, sampler
from framepack_engine.sampling.artifacts import Conditioning, SectionState, StepState
from framepack_engine.sampling.cache_diffusers import measured_ratios
from framepack_engine.sampling.context import with_text
from framepack_engine.sampling.transformer import Question, Transformer

if TYPE_CHECKING:
    from PIL import Image

    from framepack_engine.frames.embeddings import Embeddings
    from framepack_engine.memory.ladder import Stage
    from framepack_engine.memory.plan_book import PlanBook

_LATENT_CHANNELS = 16
T = TypeVar("T")


class SamplingModels(Protocol):
    """The two parts that sections and decodes need; `Models` has them, and the encoders besides."""

    @property
    def transformer(self) -> Any:
        """A HunyuanVideoFramepackTransformer3DModel."""

    @property
    def vae(self) -> Any:
        """An AutoencoderKLHunyuanVideo."""


class RenderProgress(NamedTuple):
    """How far `render` is: finished steps of a section, or a stage of it begun (step 0)."""

    stage: Literal["encode", "section", "decode", "finish"]
    section: int
    sections: int
    step: int
    steps: int


class Renderer:
    """The stages of a video on one device. Not for two threads at once.

    The solver runs on `device` in float32, whatever the transformer's precision. lora_dir: the folder that the names of
    LoRAs are looked up in. book: the memory plans to choose from, and to step down when memory runs out; without one
    the models must already be on `device`, and stay.
    """

    def __init__(
        self,
        models: SamplingModels,
        *,
        device: str = "cpu",
        lora_dir: str | Path | None = None,
        book: PlanBook | None = None,
    ) -> None:
        self.lora_dir = lora_dir
        self.device = torch.device(device)
        if self.device.type == "cpu" and torch.backends.mkl.is_available():
            warn_if_unprepared()
        self._transformer = Transformer(models.transformer, name=getattr(models, "name", None), device=self.device)
        self._decoder = Decoder(models.vae)
        parts = models.movable if isinstance(models, Models) else {"transformer": models.transformer, "vae": models.vae}
        self._tenancy = Tenancy(parts, device=self.device, book=book) if book is not None else None
        self.models = models

    @property
    def numeric_class(self) -> str:
        """Renderers of equal class give equal bits: device, its kernels, precision and (CPU) threads."""
        return self._transformer.numeric_class()

    def numeric_class_of(self, spec: RenderSpec) -> str:
        """The class of a video rendered here: ours, and its attention."""
        return self._transformer.numeric_class(spec.attention)

    @torch.no_grad()
    def encode(
        self,
        spec: RenderSpec,
        images: Mapping[str, Image.Image],
        *,
        source: Path | None = None,
        embeddings: Embeddings | None = None,
    ) -> Conditioning:
        """Prompts and images ("start", "end", "keyframe_<section>") to what all sections share.

        source: the video that is continued (`spec.continues`). embeddings: kept by content, and looked for there first.
        """
        from framepack_engine.frames.encode import encode
        from framepack_engine.frames.source import last_frames

        tail = None if source is None else last_frames(source, tail_frames())

        def work(places: Placement | None) -> Conditioning:
            models = replace(cast("Models", self.models), places=places)
            return encode(models, spec, images, tail=tail, embeddings=embeddings)

        return self._fitted("encode", spec, work)

    def leave_gb(self, preserve_gb: float | None) -> None:
        """Leave so many GiB of the device to others from now on; None: what the plan book says."""
        if self._tenancy is not None:
            self._tenancy.leave_gb(preserve_gb)

    @property
    def tenancy(self) -> Tenancy | None:
        """How the models hold the device; None where they simply lie on it."""
        return self._tenancy

    def unload_loras(self) -> None:
        """Free what the last video's LoRAs hold; `section` attaches and removes them by itself."""
        self._transformer.loras.clear()

    def close(self) -> None:
        """Unload the LoRAs, and let the weights go home: the models may be placed anew."""
        self.unload_loras()
        if self._tenancy is not None:
            self._tenancy.close()
            self._transformer.hoist = None

    def _fitted(self, stage: Stage, spec: RenderSpec, work: Callable[[Placement | None], T]) -> T:
        def placed(placement: Placement) -> T:
            self._transformer.hoist = placement.hoist
            return work(placement)

        with _repeatable():
            return work(None) if self._tenancy is None else self._tenancy.fitted(stage, workload_of(spec), placed)

    @torch.no_grad()
    def section(
        self,
        spec: RenderSpec,
        index: int,
        conditioning: Conditioning,
        previous: SectionState | None,
        *,
        on_step: Callable[[StepState], None] | None = None,
        resume: StepState | None = None,
    ) -> SectionState:
        """Denoise section `index`: a pure function of its arguments, bit for bit within one numeric class.

        previous: section index - 1, None for the first. on_step: called after each step; what it raises stops the
        section, and the state it was given resumes it. resume: go on after that step, to the same bits.

        Raises: ArtifactMismatch where conditioning, previous or resume belong elsewhere; LoraUnusable; CacheUnusable;
            AttentionUnavailable; NotFinite; OutOfMemory where a plan book was given and no smaller plan is left.
        """
        _check_fits(spec, index, conditioning, previous, resume)
        self._transformer.loras.use(spec.loras, folder=self.lora_dir)
        newest = resume

        def stepped(state: StepState) -> None:
            nonlocal newest
            newest = state
            if on_step is not None:
                on_step(state)

        def work(_: Placement | None) -> SectionState:  # again from the newest step where memory ran out
            return self._denoised(spec, index, conditioning, previous, on_step=stepped, resume=newest)

        return self._fitted("section", spec, work)

    def _denoised(
        self,
        spec: RenderSpec,
        index: int,
        conditioning: Conditioning,
        previous: SectionState | None,
        *,
        on_step: Callable[[StepState], None],
        resume: StepState | None,
    ) -> SectionState:
        history = context.first_history(spec.kind, conditioning) if previous is None else previous.history.float()
        mu = sampler.flow_mu(spec.tokens, shift=spec.flow_shift)
        sigmas = sampler.flow_sigmas(spec.num_inference_steps, mu=mu, exponent=spec.flow_exponent)
        state = self._begin(spec, index, previous) if resume is None else resume.to(self.device)
        with self._transformer.prepared(spec) as cache:
            question = Question(
                self._transformer,
                spec,
                with_text(conditioning, spec.prompt_shares(index)),
                context=context.pack(spec.kind, history, context.start_for(spec.kind, index, conditioning)),
                layout=section_layout(spec.kind, sections=spec.sections, index=index, window=spec.latent_window_size),
                sigmas=sigmas[:-1],
                cache=cache,
            )
            while state.step < spec.num_inference_steps:
                state = _step(state, question, sigmas)
                on_step(state)
        latents = state.estimate.cpu()
        if not bool(torch.isfinite(latents).all()):
            raise NotFinite(f"section {index} came out as NaN or infinity", section=index)
        return SectionState(
            index=index,
            latents=latents,
            history=context.next_history(spec.kind, history.cpu(), latents),
            rng_state=state.rng_state,
            forwards=state.forwards,
        )

    def magnitude_ratios(self, spec: RenderSpec, conditioning: Conditioning) -> tuple[float, ...]:
        """What MagCache must know of a model, one number a step, measured in the first section of `spec`, uncached."""
        with measured_ratios(self.models.transformer) as ratios:
            self.section(replace(spec, cache="none", cache_threshold=None, true_cfg_scale=1.0), 0, conditioning, None)
        return tuple(ratios)

    def _begin(self, spec: RenderSpec, index: int, previous: SectionState | None) -> StepState:
        """Draw the section's noise: one CPU generator a video, section after section."""
        generator = torch.Generator("cpu")
        if previous is None:
            generator.manual_seed(spec.seed)
        else:
            generator.set_state(previous.rng_state)
        shape = (1, _LATENT_CHANNELS, spec.latent_window_size, *spec.latent_size)
        noise = torch.randn(shape, generator=generator, dtype=torch.float32).to(self.device)
        return StepState(
            index=index, solver=sampler.begin(noise), caches=(), rng_state=generator.get_state(), forwards=()
        )

    def decode(self, spec: RenderSpec, index: int, conditioning: Conditioning, latents: Mapping[int, Tensor]) -> Tensor:
        """Frames that section `index` makes final: (T, height, width, 3) uint8, T = final_frames[index].

        latents: by section, at least those of `decode_needs`.

        Raises: ArtifactMismatch, NotFinite, BlackFrames.
        """
        return self._fitted(
            "decode", spec, lambda _: self._decoder.frames(spec, index, conditioning.start_latent, latents)
        )

    def settled(self, spec: RenderSpec) -> RenderSpec:
        """`spec` with the size of its tiles chosen, where it leaves that to the memory that is free here now.

        `decode` does not choose: a video is settled once, and every section of it is decoded by that.
        """
        if spec.decode != "tiled" or spec.decode_tile_px is not None:
            return spec
        tile_px = self._decoder.tile_px() if self._tenancy is None else self._tenancy.tile_px(workload_of(spec))
        return replace(spec, decode_tile_px=tile_px)

    def preview(self, latents: Tensor) -> Image.Image:
        """A small picture of latents (1, 16, T, h, w): one pixel a latent pixel, frames side by side."""
        return latent_preview(latents)

    def clips(
        self,
        spec: RenderSpec,
        conditioning: Conditioning,
        *,
        on_progress: Callable[[RenderProgress], None] | None = None,
    ) -> Iterator[tuple[int, Tensor]]:
        """Make all sections in turn and yield each one's final frames; keeps three sections' latents, no more."""
        tell = on_progress or (lambda _progress: None)
        state, latents = None, dict[int, Tensor]()
        progress = RenderProgress("section", 0, spec.sections, 0, spec.num_inference_steps)
        for index in range(spec.sections):
            here = progress._replace(section=index)
            tell(here)

            def stepped(step: StepState, here: RenderProgress = here) -> None:
                tell(here._replace(step=step.step))

            state = self.section(spec, index, conditioning, state, on_step=stepped)
            latents = {k: kept for k, kept in latents.items() if k > index - 3} | {index: state.latents}
            if decode_needs(spec.kind, spec.sections, index):
                tell(here._replace(stage="decode"))
                yield index, self.decode(spec, index, conditioning, latents)

    def render(
        self,
        spec: RenderSpec,
        images: Mapping[str, Image.Image],
        out: Path,
        *,
        source: Path | None = None,
        metadata: bool = True,
        on_progress: Callable[[RenderProgress], None] | None = None,
    ) -> Path:
        """Render a whole video in this process, in constant memory, to the mp4 `out`; clips lie beside it meanwhile.

        source: the video that is continued (`spec.continues`); `out` is then both, joined.
        metadata: whether the mp4 says how it was made (`read_provenance`).

        Raises: EngineError; whatever `on_progress` raises stops it, and leaves no file.
        """
        from framepack_engine.frames.video import encode_clip, join_clips

        spec, tell = self.settled(spec), on_progress or (lambda _progress: None)
        progress = RenderProgress("encode", 0, spec.sections, 0, spec.num_inference_steps)
        tell(progress)
        conditioning = self.encode(spec, images, source=source)
        with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}-") as folder:
            for index, frames in self.clips(spec, conditioning, on_progress=on_progress):
                encode_clip(frames, Path(folder, f"{index}.mp4"), crf=spec.crf)
            tell(progress._replace(stage="finish", section=spec.sections - 1))
            whole = Path(folder, "video.mp4")
            clips = [Path(folder, f"{index}.mp4") for index in time_order(spec.kind, spec.sections)]
            if source is not None:
                clips = [*_before(source, Path(folder), spec, like=clips[0]), *clips]
            join_clips(clips, whole, metadata=self._tags(spec) if metadata else None)
            whole.replace(out)
        return out

    def _tags(self, spec: RenderSpec) -> dict[str, str]:
        """The mp4's metadata."""
        model = getattr(self.models, "name", "")
        return tags(provenance(spec, model=model, numeric_class=self.numeric_class_of(spec)), title=spec.prompt)


@contextmanager
def _repeatable() -> Iterator[None]:
    """Inside, cuDNN's convolutions are chosen by rule, not by a race, and among those that give the same bits again."""
    cudnn = torch.backends.cudnn
    before = cudnn.benchmark, cudnn.deterministic
    cudnn.benchmark, cudnn.deterministic = False, True
    try:
        yield
    finally:
        cudnn.benchmark, cudnn.deterministic = before


def _before(source: Path, folder: Path, spec: RenderSpec, *, like: Path) -> list[Path]:
    from framepack_engine.frames.source import look_at, source_clips

    frames = look_at(source).frames
    return source_clips(source, folder, like=like, frames=frames, height=spec.height, width=spec.width, crf=spec.crf)


def _step(state: StepState, question: Question, sigmas: tuple[float, ...]) -> StepState:
    """One solver step, with what the model's caches and counters became."""
    caches, forwards = state.caches, 0

    def denoise(x: Tensor, sigma: float) -> Tensor:
        nonlocal caches, forwards
        answer = question.ask(x, sigma, caches=caches, step=state.step)
        caches, forwards = answer.caches, answer.forwards
        return torch.sub(x, answer.velocity, alpha=sigma)

    solver = sampler.advance(state.solver, denoise, sigmas=sigmas)
    return replace(state, solver=solver, caches=caches, forwards=(*state.forwards, forwards))


def _check_fits(
    spec: RenderSpec, index: int, conditioning: Conditioning, previous: SectionState | None, resume: StepState | None
) -> None:
    """Refuse artifacts of another video or section before anything is computed from them."""
    if not 0 <= index < spec.sections:
        raise ArtifactMismatch(f"section {index} of a video of {spec.sections}")
    found = None if previous is None else previous.index
    if found != (index - 1 if index else None):
        raise ArtifactMismatch(f"section {index} needs section {index - 1 if index else None} before it, got {found}")
    size = spec.latent_size
    sizes = {"start latent": conditioning.start_latent} | ({} if previous is None else {"history": previous.history})
    if conditioning.end_latent is not None:
        sizes["end latent"] = conditioning.end_latent
    if conditioning.history is not None:
        sizes["history of the video before"] = conditioning.history
    for name, tensor in sizes.items():
        if tuple(tensor.shape[-2:]) != size:
            raise ArtifactMismatch(f"the {name} is {tuple(tensor.shape[-2:])}, the video's latents are {size}")
    if resume is not None:
        shape = (1, _LATENT_CHANNELS, spec.latent_window_size, *size)
        if (
            resume.index != index
            or resume.step > spec.num_inference_steps
            or tuple(resume.solver.x.shape) != shape
            or len(resume.forwards) != resume.step
            or any(cache.cache != spec.cache for cache in resume.caches)
        ):
            raise ArtifactMismatch(f"the state after step {resume.step} of section {resume.index} is not of this video")
