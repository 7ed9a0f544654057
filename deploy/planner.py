"""framepack_engine's plan and video files, as the farm's protocols want them. Loads no torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from PIL.Image import Image

from farm.contract import JobPlan, Media, ModelCard, Planner, VideoFacts
from farm.errors import ConfigError, Damaged, InvalidRequest, UnsupportedImage
from farm.request import LoraUse, VideoRequest
from farm.settings import FarmSettings
from framepack_engine.errors import InvalidSpec, LoraUnusable, ModelUnavailable, VideoMismatch
from framepack_engine.frames.images import upright_rgb
from framepack_engine.models.catalog import TINY_VERSION, ModelEntry, f1_of, known_models
from framepack_engine.planning import sections as plan
from framepack_engine.planning.cache_choice import check_cache, mag_ratios
from framepack_engine.planning.presets import filled
from framepack_engine.planning.prompts import prompt_borders
from framepack_engine.planning.schedule import check_flow, flow_mu
from framepack_engine.planning.sections import keyframe_section
from framepack_engine.sampling.lora_files import find_lora, lora_digest


def own_models(text: str) -> Mapping[str, ModelEntry]:
    """The catalogue with the models that `text` (FARM_MODELS) lists. Raises: ConfigError naming what is wrong there."""
    try:
        return known_models(text)
    except ModelUnavailable as err:
        raise ConfigError(f"FARM_MODELS: {err}") from err


def state_of(entry: ModelEntry, settings: FarmSettings) -> str:
    """complete, partial or none: how much of a model lies on this machine."""
    from framepack_engine.models.locate import hub_folders, missing_files

    if entry.origin == "made":
        return "complete" if Path(settings.cache, f"tiny-v{TINY_VERSION}").is_dir() else "made when used"
    if entry.origin in {"local", "shipped"}:
        return "complete" if Path(entry.path).exists() else "none"
    lacks = [bool(list(missing_files(part, folder))) for part, folder in hub_folders(entry.parts).items()]
    return "partial" if any(lacks) and not all(lacks) else "none" if any(lacks) else "complete"


_MAX_SIDE_PX = 2048  #: as in the field `size`
_SQUARE = (1, 1)  #: the shape of a video that has neither an image nor a size


class EnginePlanner(Planner):
    """What FramePack makes of a request, by framepack_engine.planning.sections."""

    def __init__(self, *, models: str = "", lora_dir: str | None = None) -> None:
        """models: the farm's own, see FARM_MODELS. lora_dir: where the names of LoRAs are looked up."""
        self._models, self._lora_dir = own_models(models), lora_dir

    def models(self) -> Mapping[str, ModelCard]:
        """The engine's catalogue."""
        return {
            name: ModelCard(
                name=name,
                kind=entry.kind,
                resolution=entry.resolution,
                needs_image=entry.needs_image,
                honest=entry.honest,
                forward=f1_of(name, self._models),
            )
            for name, entry in self._models.items()
        }

    def plan(self, request: VideoRequest, *, image_size: tuple[int, int] | None, source_frames: int = 0) -> JobPlan:
        """See Planner."""
        entry = self._models.get(request.model or "")
        if entry is None:
            raise _invalid("model", f"unknown model {request.model!r}; this farm has {', '.join(self._models)}")
        window = request.latent_window_size
        if request.size is not None:
            width, height = (int(side) for side in request.size.split("x"))
        else:
            image_height, image_width = image_size or _SQUARE
            height, width = plan.nearest_bucket(image_height, image_width, request.resolution or entry.resolution)
        if max(height, width) > _MAX_SIDE_PX:
            raise _invalid(
                "resolution", f"it makes {width}x{height} px of this image; {_MAX_SIDE_PX} is the most a side"
            )
        _check_cache(request)
        _check_flow(request, tokens=window * (height // 16) * (width // 16))
        sections, continues = plan.sections_for(request.seconds, window=window), source_frames > 0
        _check_prompts(request, sections)
        return JobPlan(
            kind=entry.kind,
            sections=sections,
            latent_window_size=window,
            height=height,
            width=width,
            frames=plan.frames_for(sections, window) - continues + source_frames,
            final_frames=plan.final_frames(entry.kind, sections, window, continues=continues),
            source_frames=source_frames,
        )

    def preset(self, request: VideoRequest, plan: JobPlan) -> Mapping[str, object]:
        """See Planner."""
        if request.preset is None:
            return {}
        given = {name: getattr(request, name) for name in request.model_fields_set}
        return filled(request.preset, given, tokens=plan.latent_window_size * (plan.height // 16) * (plan.width // 16))

    def keyframe_section(self, at_s: float, plan: JobPlan) -> int:
        """See Planner."""
        return keyframe_section(at_s, sections=plan.sections, window=plan.latent_window_size)

    def pin_loras(self, loras: tuple[LoraUse, ...]) -> tuple[LoraUse, ...]:
        """See Planner."""
        return tuple(self._pinned(use) for use in loras)

    def _pinned(self, use: LoraUse) -> LoraUse:
        try:
            found = lora_digest(find_lora(use.name, self._lora_dir))
        except LoraUnusable as err:
            raise _invalid("loras", str(err)) from err
        if use.sha256 not in {None, found}:
            raise _invalid("loras", f"{use.name!r} has sha256 {found} here, not {use.sha256}")
        return use.model_copy(update={"sha256": found})


class EngineMedia(Media):
    """Pictures and video files, by framepack_engine.frames.images, source and video."""

    def upright_rgb(self, image: Image) -> Image:
        """See Media."""
        return upright_rgb(image)

    def look_at(self, path: str) -> VideoFacts:
        """See Media."""
        from framepack_engine.frames.source import look_at

        try:
            facts = look_at(Path(path))
        except VideoMismatch as err:
            raise UnsupportedImage(f"video: {err}", param="video") from err
        return VideoFacts(frames=facts.frames, height=facts.height, width=facts.width)

    def join(self, clips: Sequence[str], out: str) -> None:
        """See Media."""
        from framepack_engine.frames.video import join_clips

        try:
            join_clips([Path(clip) for clip in clips], Path(out), metadata=None)
        except VideoMismatch as err:
            raise Damaged("the clips that are final cannot be joined: one of them is none of a worker's") from err


def _check_cache(request: VideoRequest) -> None:
    """See that the model can use the cache that is asked for. Raises: InvalidRequest."""
    try:
        check_cache(request.cache, request.cache_threshold)
        if request.cache == "magcache":
            mag_ratios(request.model, None)
    except InvalidSpec as err:
        raise _invalid(str(err.facts["field"]), str(err)) from err


def _check_flow(request: VideoRequest, *, tokens: int) -> None:
    """See that the steps' noise levels differ. Raises: InvalidRequest."""
    shift, exponent, steps = request.flow_shift, request.flow_exponent, request.num_inference_steps
    try:
        check_flow(steps, mu=flow_mu(tokens, shift=shift), exponent=exponent)
    except InvalidSpec as err:
        raise _invalid("flow_exponent" if shift is None else "flow_shift", str(err)) from err


def _check_prompts(request: VideoRequest, sections: int) -> None:
    """Raises: InvalidRequest where a timed prompt has no section of its own."""
    try:
        prompt_borders(
            [prompt.at_s for prompt in request.prompts], sections=sections, window=request.latent_window_size
        )
    except InvalidSpec as err:
        raise InvalidRequest(str(err), fields={"prompts": str(err)}) from err


def _invalid(field: str, message: str) -> InvalidRequest:
    return InvalidRequest(f"{field}: {message}", fields={field: message})
