"""The stages of a video on one device: the only file that sees all rooms of the engine.

A stage is a function of values: its inputs come as arguments, its product is returned. Between two calls only the last
decoded seam is kept, which changes no bit.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Self, TypeAlias, TypeVar

import torch
from torch import Tensor

from framepack_engine.environment import prepare_process, warn_if_unprepared
from framepack_engine.errors import InvalidSpec
from framepack_engine.frames.decode import Decoder
from framepack_engine.frames.generated import Clip, GeneratedVideo
from framepack_engine.frames.images import Picture, opened, upright_rgb
from framepack_engine.frames.provenance import provenance, tags
from framepack_engine.memory.ladder import size_of
from framepack_engine.memory.placement import Placement
from framepack_engine.memory.plan_book import PlanBook
from framepack_engine.memory.tenancy import Tenancy, workload_of
from framepack_engine.models.catalog import resolution_of
from framepack_engine.models.host import host_bytes
from framepack_engine.models.shelf import Models, ModelShelf, checked_device
from framepack_engine.planning.asked import asked_spec, taken
from framepack_engine.planning.sections import Kind, decode_needs, final_frames, first_frames, tail_frames, time_order
from framepack_engine.planning.spec import Lora, RenderSpec
from framepack_engine.sampling.artifacts import Conditioning, SectionState, StepState
from framepack_engine.sampling.cache_diffusers import measured_ratios
from framepack_engine.sampling.lora.files import lora_at
from framepack_engine.sampling.section import check_artifacts, denoise_section
from framepack_engine.sampling.transformer import Transformer

if TYPE_CHECKING:
    from PIL import Image

    from framepack_engine.frames.embeddings import Embeddings
    from framepack_engine.memory.ladder import Stage

T = TypeVar("T")
#: paths or names, with weights or with 1; or one of them
Loras: TypeAlias = Mapping[str | Path, float] | Iterable[str | Path] | str | Path


class RenderProgress(NamedTuple):
    """How far `render` is: finished steps of a section, or the begin of another stage (step 0)."""

    stage: Literal["encode", "section", "decode", "finish"]
    section: int
    sections: int
    step: int
    steps: int


class Sampler:
    """Sections and frames of one transformer and VAE on one device. Not for two threads at once.

    The solver runs on `device` in float32, in any precision of the transformer.
    """

    def __init__(
        self,
        transformer: Any,
        vae: Any,
        *,
        name: str | None = None,
        device: str = "cpu",
        lora_dir: str | Path | None = None,
        book: PlanBook | None = None,
        encoders: Mapping[str, Any] = MappingProxyType({}),
    ) -> None:
        """name: of the model in the catalog. lora_dir: the folder in which LoRAs are looked up by name.

        book: memory plans to choose from, and to step down when memory runs out. Without a book the weights must be on
        `device` already, and stay. encoders: further parts that the plans move, by name.
        """
        self.lora_dir = lora_dir
        self.device = torch.device(device)
        if self.device.type == "cpu" and torch.backends.mkl.is_available():
            warn_if_unprepared()
        self._transformer = Transformer(transformer, name=name, device=self.device)
        self._decoder = Decoder(vae)
        parts = {"transformer": transformer, "vae": vae, **encoders}
        self._tenancy = None if book is None else Tenancy(parts, device=self.device, book=book)

    @property
    def numeric_class(self) -> str:
        """The numeric class of this device and model; samplers of equal class give equal bits."""
        return self._transformer.numeric_class()

    def numeric_class_of(self, spec: RenderSpec) -> str:
        """The numeric class of a video rendered here: `numeric_class` with the video's attention."""
        return self._transformer.numeric_class(spec.attention)

    @property
    def tenancy(self) -> Tenancy | None:
        """How the parts share the device; None without a plan book."""
        return self._tenancy

    def leave_gb(self, preserve_gb: float | None) -> None:
        """Leave so many GiB of the device to others from now on; None: as many as the plan book says."""
        if self._tenancy is not None:
            self._tenancy.leave_gb(preserve_gb)

    def unload_loras(self) -> None:
        """Free the memory of the last video's LoRAs."""
        self._transformer.loras.clear()

    def close(self) -> None:
        """Unload the LoRAs and send the weights home; another sampler may place the parts then."""
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
        lora_files: Mapping[str, Path] = MappingProxyType({}),
    ) -> SectionState:
        """Denoise section `index`: a pure function of its arguments, bit for bit within one numeric class.

        previous: section index - 1; None for the first. on_step: hears each finished step; what it raises stops the
        section, and the state that it heard last resumes it. resume: go on after that step, to the same bits.
        lora_files: name -> file, for LoRAs of the spec that are not looked up.

        Raises: ArtifactMismatch if conditioning, previous or resume are not of this video; LoraUnusable; CacheUnusable;
            AttentionUnavailable; NotFinite; OutOfMemory if the plan book has no smaller plan left.
        """
        check_artifacts(spec, index, conditioning, previous, resume)
        self._transformer.loras.use(spec.loras, folder=self.lora_dir, files=lora_files)
        newest = resume

        def stepped(state: StepState) -> None:
            nonlocal newest
            newest = state
            if on_step is not None:
                on_step(state)

        def work(_: Placement | None) -> SectionState:  # again from the newest step after memory ran out
            return denoise_section(
                self._transformer, spec, index, conditioning, previous, on_step=stepped, resume=newest
            )

        return self._fitted("section", spec, work)

    def magnitude_ratios(self, spec: RenderSpec, conditioning: Conditioning) -> tuple[float, ...]:
        """Measure the magnitude ratios for MagCache, one number a step, in the uncached first section of `spec`."""
        with measured_ratios(self._transformer.model) as ratios:
            self.section(replace(spec, cache="none", cache_threshold=None, true_cfg_scale=1.0), 0, conditioning, None)
        return tuple(ratios)

    def decode(self, spec: RenderSpec, index: int, conditioning: Conditioning, latents: Mapping[int, Tensor]) -> Tensor:
        """Decode the frames that section `index` makes final: (T, height, width, 3) uint8, T = final_frames[index].

        latents: by section, at least those of `decode_needs`.

        Raises: ArtifactMismatch, NotFinite, BlackFrames.
        """
        return self._fitted(
            "decode", spec, lambda _: self._decoder.frames(spec, index, conditioning.start_latent, latents)
        )

    def settled(self, spec: RenderSpec) -> RenderSpec:
        """Return `spec` with a tile size; if it names none, the one that the memory free now allows.

        `decode` does not choose: settle a video once, so that all its sections are decoded alike.
        """
        if spec.decode != "tiled" or spec.decode_tile_px is not None:
            return spec
        tile_px = self._decoder.tile_px() if self._tenancy is None else self._tenancy.tile_px(workload_of(spec))
        return replace(spec, decode_tile_px=tile_px)

    def clips(
        self,
        spec: RenderSpec,
        conditioning: Conditioning,
        *,
        on_progress: Callable[[RenderProgress], None] | None = None,
        lora_files: Mapping[str, Path] = MappingProxyType({}),
    ) -> Iterator[tuple[int, Tensor]]:
        """Make all sections in turn and yield the number and the final frames of each. Keep the latents of three.

        An i2v model makes the end first: `time_order` has the order of the clips. `Renderer.stream` tells it with each.
        """
        tell = on_progress or (lambda _progress: None)
        state, latents = None, dict[int, Tensor]()
        progress = RenderProgress("section", 0, spec.sections, 0, spec.num_inference_steps)
        for index in range(spec.sections):
            here = progress._replace(section=index)
            tell(here)

            def stepped(step: StepState, here: RenderProgress = here) -> None:
                tell(here._replace(step=step.step))

            state = self.section(spec, index, conditioning, state, on_step=stepped, lora_files=lora_files)
            latents = {k: kept for k, kept in latents.items() if k > index - 3} | {index: state.latents}
            if decode_needs(spec.kind, spec.sections, index):
                tell(here._replace(stage="decode"))
                yield index, self.decode(spec, index, conditioning, latents)


class Renderer(Sampler):
    """All stages of a video with all parts of a model, on one device. Not for two threads at once."""

    def __init__(
        self,
        models: Models,
        *,
        device: str = "cpu",
        lora_dir: str | Path | None = None,
        book: PlanBook | None = None,
    ) -> None:
        """lora_dir, book: see `Sampler`."""
        super().__init__(
            models.transformer,
            models.vae,
            name=models.name,
            device=device,
            lora_dir=lora_dir,
            book=book,
            encoders=models.movable,
        )
        self.models = models

    @classmethod
    def from_pretrained(
        cls,
        name_or_path: str,
        *,
        device: str | None = None,
        dtype: str | torch.dtype | None = None,
        precision: str = "bf16",
        kernels: str = "eager",
        kind: Kind | None = None,
        cache_dir: str | Path | None = None,
        lora_dir: str | Path | None = None,
        say: Callable[[str], None] | None = None,
    ) -> Self:
        """Load a model and return its renderer; see `load_models` for the arguments.

        device: None: the GPU if there is one, else the CPU. On a GPU, a memory plan moves the parts, so that a model
        of 40 GB fits cards from 6 GB. (No GPU has run this yet.) It calls `prepare_process`.
        Raises: InvalidSpec for a device that is not here, or a dtype; ModelUnavailable; PrecisionUnavailable;
            KernelsUnavailable.
        """
        prepare_process()
        chosen = device or ("cuda" if torch.cuda.is_available() else "cpu")
        on_gpu = checked_device(chosen) != "cpu"
        shelf = ModelShelf(
            device=chosen,
            dtype=dtype,
            precision=precision,
            kernels=kernels,
            cache_dir=cache_dir,
            say=say,
            home="cpu" if on_gpu else None,
        )
        models = shelf.get(name_or_path, kind=kind)
        if not on_gpu:
            return cls(models, lora_dir=lora_dir)
        size = size_of(models.name, precision, compiled=kernels == "compiled")
        book = PlanBook(size=size, device_bytes=torch.cuda.mem_get_info(chosen)[1], host_bytes=host_bytes())
        return cls(models, device=chosen, lora_dir=lora_dir, book=book)

    def generate(
        self,
        image: Picture,
        prompt: str,
        *,
        seconds: float = 5.0,
        size: tuple[int, int] | None = None,
        seed: int | None = None,
        end_image: Picture | None = None,
        loras: Loras = (),
        on_progress: Callable[[RenderProgress], None] | None = None,
        **fields: Any,
    ) -> GeneratedVideo:
        """Make a video and return all its frames; `render` writes a long one in constant memory.

        image, end_image: a path, a PIL picture, or an array of height x width x 3 uint8. seconds: the length, rounded
        to whole sections. size: (width, height) in px, multiples of 16; None: the model's own that is nearest to the
        image's shape. seed: None: drawn; the result's spec tells it. loras: paths or names -> weights, or a list of
        them, or one. fields: others of `RenderSpec`, such as num_inference_steps.

        Raises: InvalidSpec, which names the argument; BadImage; LoraUnusable; EngineError.
        """
        files, named = self._loras(loras)
        spec, images = self._asked(
            image, prompt, seconds=seconds, size=size, seed=seed, end_image=end_image, loras=named, fields=fields
        )
        clips = sorted(self._stream(spec, images, files, on_progress), key=lambda clip: clip.first_frame)
        return GeneratedVideo(frames=torch.cat([clip.frames for clip in clips]), spec=spec, tags=self._tags(spec))

    def stream(
        self,
        image: Picture,
        prompt: str,
        *,
        seconds: float = 5.0,
        size: tuple[int, int] | None = None,
        seed: int | None = None,
        end_image: Picture | None = None,
        loras: Loras = (),
        on_progress: Callable[[RenderProgress], None] | None = None,
        **fields: Any,
    ) -> Iterator[Clip]:
        """Make a video and yield each clip as soon as its frames are final; takes what `generate` takes.

        An i2v model makes the end first: sort by `first_frame`, or show each clip where it belongs.
        """
        files, named = self._loras(loras)
        spec, images = self._asked(
            image, prompt, seconds=seconds, size=size, seed=seed, end_image=end_image, loras=named, fields=fields
        )
        return self._stream(spec, images, files, on_progress)

    def _stream(
        self,
        spec: RenderSpec,
        images: Mapping[str, Image.Image],
        files: Mapping[str, Path],
        on_progress: Callable[[RenderProgress], None] | None,
    ) -> Iterator[Clip]:
        if on_progress is not None:
            on_progress(RenderProgress("encode", 0, spec.sections, 0, spec.num_inference_steps))
        begins = first_frames(spec.kind, final_frames(spec.kind, spec.sections, spec.latent_window_size))
        conditioning = self.encode(spec, images)
        for index, frames in self.clips(spec, conditioning, on_progress=on_progress, lora_files=files):
            yield Clip(begins[index], frames.cpu())

    def _asked(
        self,
        image: Picture,
        prompt: str,
        *,
        seconds: float,
        size: tuple[int, int] | None,
        seed: int | None,
        end_image: Picture | None,
        loras: tuple[Lora, ...],
        fields: Mapping[str, Any],
    ) -> tuple[RenderSpec, dict[str, Image.Image]]:
        """Return what a program asks for as the engine takes it."""
        images = {"start": upright_rgb(opened(image))}
        if end_image is not None:
            if self.models.kind == "f1":
                raise InvalidSpec("end_image: an F1 model takes none; use an i2v model", field="end_image")
            images["end"] = upright_rgb(opened(end_image))
        spec = asked_spec(
            prompt,
            kind=self.models.kind,
            photo=images["start"].size,
            resolution=resolution_of(self.models.name),
            seconds=seconds,
            size=size,
            seed=seed,
            loras=loras,
            fields=fields,
        )
        return self.settled(spec), images

    def _loras(self, loras: Loras) -> tuple[dict[str, Path], tuple[Lora, ...]]:
        """Return the files of the LoRAs that are given by their path, by name; and all LoRAs by name."""
        loras = [loras] if isinstance(loras, str | Path) else loras
        asked = [*loras.items()] if isinstance(loras, Mapping) else [(each, 1.0) for each in loras]
        paths = {given for given, _ in asked if isinstance(given, Path) or Path(given).exists()}
        names = {given for given, _ in asked if given not in paths}  # of others, in the LoRA folder
        files, found = dict[str, Path](), list[Lora]()
        for given, weight in asked:
            name = str(given)
            if given in paths:
                path = lora_at(given).absolute()  # the program may change its folder before a stream goes on
                name = path.stem
                while name in names or files.setdefault(name, path) != path:
                    name += "'"
            found.append(Lora(name, taken("loras", weight, "float")))
        return files, tuple(found)

    @torch.no_grad()
    def encode(
        self,
        spec: RenderSpec,
        images: Mapping[str, Image.Image],
        *,
        source: Path | None = None,
        embeddings: Embeddings | None = None,
    ) -> Conditioning:
        """Encode prompts and images ("start", "end", "keyframe_<section>") for all sections.

        source: the video that is continued (`spec.continues`). embeddings: a store of embeddings, looked up by content.
        """
        from framepack_engine.frames.encode import encode
        from framepack_engine.frames.source import last_frames

        tail = None if source is None else last_frames(source, tail_frames())

        def work(places: Placement | None) -> Conditioning:
            models = replace(self.models, places=places)
            return encode(models, spec, images, tail=tail, embeddings=embeddings)

        return self._fitted("encode", spec, work)

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
        """Render a whole video in constant memory and write it to `out`, an mp4. Clips lie beside it meanwhile.

        source: the video that is continued (`spec.continues`); `out` is then both, joined. metadata: let the mp4 say
        how it was made (`read_provenance`).

        Raises: EngineError; what `on_progress` raises. Then no file is left.
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
        facts = provenance(spec, model=self.models.name, numeric_class=self.numeric_class_of(spec))
        return tags(facts, title=spec.prompt)


@contextmanager
def _repeatable() -> Iterator[None]:
    """Let cuDNN choose its convolutions by rule and not by timing, among those that repeat their bits."""
    cudnn = torch.backends.cudnn
    before = cudnn.benchmark, cudnn.deterministic
    cudnn.benchmark, cudnn.deterministic = False, True
    try:
        yield
    finally:
        cudnn.benchmark, cudnn.deterministic = before


def _before(source: Path, folder: Path, spec: RenderSpec, *, like: Path) -> list[Path]:
    """The source as clips that join with `like`."""
    from framepack_engine.frames.source import look_at, source_clips

    frames = look_at(source).frames
    return source_clips(source, folder, like=like, frames=frames, height=spec.height, width=spec.width, crf=spec.crf)
