"""The engine behind the farm's protocols: its models, its plans and its video files. Loads no torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from PIL.Image import Image
from typing_extensions import override

from actors.worker.spec import spec_of
from deploy.request_type import REQUEST_TYPE, fault_of
from farm.contract import JobPlan, LoraCard, Media, ModelCard, Planner, PresetCard, Prompting, VideoFacts, Weights
from farm.errors import ConfigError, Damaged, InvalidRequest, NotFound, UnsupportedImage
from farm.request import MAX_SIDE_PX, LoraUse, VideoRequest, sides_px
from farm.settings import FarmSettings
from framepack_engine.errors import InvalidSpec, LoraUnusable, ModelUnavailable, VideoMismatch
from framepack_engine.frames.images import upright_rgb
from framepack_engine.memory.ladder import size_of
from framepack_engine.models.catalog import TINY_VERSION, ModelEntry, f1_of, known_models
from framepack_engine.planning.buckets import buckets, nearest_bucket
from framepack_engine.planning.cache_choice import mag_ratios
from framepack_engine.planning.presets import PRESET_FIELDS, PRESETS, filled, fixed
from framepack_engine.planning.prompt_guide import GUIDE, POCKET_GUIDE, POCKET_SAMPLES, samples
from framepack_engine.planning.prompts import nearest_border
from framepack_engine.planning.sections import (
    FPS,
    final_frames,
    frames_for,
    keyframe_section,
    section_starts,
    sections_for,
)
from framepack_engine.sampling.lora.cards import lora_facts, lora_path, note_of, picture_of, picture_version
from framepack_engine.sampling.lora.check import check_lora
from framepack_engine.sampling.lora.files import find_lora, known_digest, list_loras, lora_digest


def own_models(text: str) -> Mapping[str, ModelEntry]:
    """Return the catalogue with the models that `text` (FARM_MODELS) adds. Raises: ConfigError."""
    try:
        return known_models(text)
    except ModelUnavailable as err:
        raise ConfigError(f"FARM_MODELS: {err}") from err


def state_of(entry: ModelEntry, settings: FarmSettings) -> str:
    """Return how much of a model lies on this machine: complete, partial, none, or "made when used"."""
    from framepack_engine.models.locate import hub_folders, missing_files

    if entry.origin == "made":
        return "complete" if Path(settings.cache, f"tiny-v{TINY_VERSION}").is_dir() else "made when used"
    if entry.origin in {"local", "shipped"}:
        return "complete" if Path(entry.path).exists() else "none"
    lacks = [bool(list(missing_files(part, folder))) for part, folder in hub_folders(entry.parts).items()]
    return "partial" if any(lacks) and not all(lacks) else "none" if any(lacks) else "complete"


_SQUARE = (1, 1)  #: the shape of a video that has neither an image nor a size
_FIELD_OF = {"height": "size", "width": "size", "sections": "seconds"}  #: field of a RenderSpec -> of the request


class EnginePlanner(Planner):
    """The engine's rules and plans, as the farm's protocol wants them."""

    request_type = REQUEST_TYPE
    preset_fields = frozenset(PRESET_FIELDS)

    def __init__(self, *, models: str = "", lora_dir: str | None = None) -> None:
        """models: the farm's own, see FARM_MODELS. lora_dir: the folder in which LoRAs are looked up by name."""
        self._models, self._lora_dir = own_models(models), lora_dir

    @override
    def models(self) -> Mapping[str, ModelCard]:
        return {
            name: ModelCard(
                name=name,
                kind=entry.kind,
                resolution=entry.resolution,
                needs_image=entry.needs_image,
                buckets=buckets(entry.resolution),
                honest=entry.honest,
                forward=f1_of(name, self._models),
            )
            for name, entry in self._models.items()
        }

    @override
    def presets(self) -> Sequence[PresetCard]:
        return [
            PresetCard(
                name=name,
                fields=fixed(name),
                by_size=("flow_shift",) if preset.mu_shift else (),
                prompt=preset.prompt,
            )
            for name, preset in PRESETS.items()
        ]

    @override
    def loras(self) -> Sequence[LoraCard]:
        found = []
        for name in list_loras(self._lora_dir) if self._lora_dir else ():
            with suppress(OSError, LoraUnusable):  # it was removed just now
                found.append(self._lora(name, lora_path(name, self._lora_dir)))
        return found

    def _lora(self, name: str, path: Path) -> LoraCard:
        facts = lora_facts(path)
        return LoraCard(
            name=name,
            bytes=path.stat().st_size,
            sha256=known_digest(path),
            trigger_words=facts.trigger_words,
            base_model=facts.base_model,
            note=note_of(path),
            preview=picture_version(path),
            models=tuple(model for model in self._models if size_of(model).dim in facts.widths),
            fault=facts.fault,
        )

    @override
    def lora_picture(self, name: str) -> tuple[str, str]:
        with suppress(LoraUnusable):
            path = lora_path(name, self._lora_dir)
            picture, version = picture_of(path), picture_version(path)
            if picture is not None and version is not None:
                return version, str(picture)
        raise NotFound(f"there is no picture of a LoRA {name[:80]!r}")

    @override
    def weights(self, model: str) -> Weights:
        from framepack_engine.models.locate import is_here, missing_bytes

        entry = self._models[model]
        if entry.origin == "made":
            return Weights(here=True, missing_bytes=0)
        if entry.origin in {"local", "shipped"}:
            here = Path(entry.path).exists()
            return Weights(here=here, missing_bytes=0 if here else None)
        return Weights(here=is_here(entry), missing_bytes=missing_bytes(entry.parts))

    @override
    def prompting(self, model: str) -> Prompting:
        if model in self._models and self._models[model].origin == "shipped":
            return Prompting(guide=POCKET_GUIDE, samples=POCKET_SAMPLES)
        return Prompting(guide=GUIDE, samples=samples())

    @override
    def settle(
        self, request: VideoRequest, *, image_size: tuple[int, int] | None, source_frames: int = 0
    ) -> tuple[VideoRequest, JobPlan]:
        entry = self._models.get(request.model or "")
        if entry is None:
            raise InvalidRequest.of("model", f"this farm has no {request.model!r}; it has {', '.join(self._models)}")
        height, width = _size(request, image_size or _SQUARE, entry.resolution)
        window, continues = request.latent_window_size, source_frames > 0
        sections = sections_for(request.seconds, window=window)
        plan = JobPlan(
            kind=entry.kind,
            sections=sections,
            latent_window_size=window,
            height=height,
            width=width,
            frames=frames_for(sections, window) - continues + source_frames,
            final_frames=final_frames(entry.kind, sections, window, continues=continues),
            fps=FPS,
            source_frames=source_frames,
        )
        if request.preset is not None:
            given = {name: getattr(request, name) for name in request.model_fields_set}
            tokens = window * (height // 16) * (width // 16)
            request = request.model_copy(update=filled(request.preset, given, tokens=tokens))
        try:
            spec_of(request, plan)
            if request.cache == "magcache":
                mag_ratios(request.model, None)
        except InvalidSpec as err:
            field, text = fault_of(err)
            raise InvalidRequest.of(_FIELD_OF.get(field, field), text) from err
        return request, plan

    @override
    def sections(self, request: VideoRequest) -> int:
        return sections_for(request.seconds, window=request.latent_window_size)

    @override
    def border(self, request: VideoRequest, at_s: float) -> int:
        return nearest_border(at_s, sections=self.sections(request), window=request.latent_window_size)

    @override
    def keyframe_section(self, at_s: float, plan: JobPlan) -> int:
        return keyframe_section(at_s, sections=plan.sections, window=plan.latent_window_size)

    @override
    def section_starts(self, plan: JobPlan) -> Sequence[int]:
        return section_starts(
            plan.kind, sections=plan.sections, window=plan.latent_window_size, source_frames=plan.source_frames
        )

    @override
    def pin_loras(self, loras: tuple[LoraUse, ...]) -> tuple[LoraUse, ...]:
        return tuple(self._pinned(use) for use in loras)

    def _pinned(self, use: LoraUse) -> LoraUse:
        try:
            path = find_lora(use.name, self._lora_dir)
            check_lora(use.name, path)
            found = lora_digest(path)
        except LoraUnusable as err:
            raise InvalidRequest.of("loras", str(err)) from err
        if use.sha256 not in {None, found}:
            raise InvalidRequest.of("loras", f"{use.name!r} has sha256 {found} here, not {use.sha256}")
        return use.model_copy(update={"sha256": found})


def _size(request: VideoRequest, image_size: tuple[int, int], resolution: int) -> tuple[int, int]:
    """Return the video's (height, width): the requested one, or the bucket that is nearest to the image in shape.

    resolution: the model's own, used if the request names none.
    """
    if request.size is not None:
        return sides_px(request.size)
    height, width = nearest_bucket(*image_size, request.resolution or resolution)
    if max(height, width) > MAX_SIDE_PX:
        raise InvalidRequest.of(
            "resolution", f"it gives {width}x{height} px for this image; a side may have at most {MAX_SIDE_PX} px"
        )
    return height, width


class EngineMedia(Media):
    """Pictures and video files, read and written by the engine."""

    @override
    def upright_rgb(self, image: Image) -> Image:
        return upright_rgb(image)

    @override
    def look_at(self, path: str) -> VideoFacts:
        from framepack_engine.frames.source import look_at

        try:
            facts = look_at(Path(path))
        except VideoMismatch as err:
            raise UnsupportedImage(f"video: {err}", param="video") from err
        return VideoFacts(frames=facts.frames, height=facts.height, width=facts.width, fps=FPS)

    @override
    def provenance(self, path: str) -> Mapping[str, object]:
        from framepack_engine.frames.provenance import facts_in
        from framepack_engine.frames.source import metadata_of

        try:
            return facts_in(metadata_of(Path(path)))
        except VideoMismatch as err:
            raise UnsupportedImage(f"file: {err}", param="file") from err

    @override
    def frame(self, path: str, number: int) -> Image:
        from framepack_engine.frames.source import frame_at

        try:
            return frame_at(Path(path), number)
        except VideoMismatch as err:
            raise Damaged(f"frame {number} cannot be read: {err}") from err

    @override
    def join(self, clips: Sequence[str], out: str) -> None:
        from framepack_engine.frames.video import join_clips

        try:
            join_clips([Path(clip) for clip in clips], Path(out), metadata=None)
        except VideoMismatch as err:
            raise Damaged("the final clips cannot be joined: a worker did not write all of them") from err
