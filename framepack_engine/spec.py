"""One video as values: everything that decides its latents and frames, and nothing else. Loads no torch."""

from __future__ import annotations

from dataclasses import dataclass

from framepack_engine.errors import InvalidSpec
from framepack_engine.plan import Kind, frames_for

CACHES = ("none", "teacache")
DECODES = ("framewise", "tiled")
TEACACHE_THRESHOLD = 0.15  #: about 2.1x fewer calls; higher skips more and is worse


@dataclass(frozen=True, slots=True)
class Lora:
    """A LoRA by name (see `lora_files.find_lora`) and how strongly it acts; `sha256` pins its bytes, None takes any."""

    name: str
    weight: float = 1.0
    sha256: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RenderSpec:
    """One video. Names and defaults as in the HTTP dialect; `sections` and sizes are already decided.

    height, width: px, multiples of 16 (one token is 16x16 px). flow_shift: None derives it from the number of tokens.
    cache_threshold: None is the cache's own. guidance_scale is the distilled one, true_cfg_scale costs a second call.

    Raises: InvalidSpec naming the field.
    """

    kind: Kind
    sections: int
    height: int
    width: int
    seed: int
    prompt: str
    negative_prompt: str = ""
    latent_window_size: int = 9
    num_inference_steps: int = 25
    guidance_scale: float = 10.0
    true_cfg_scale: float = 1.0
    guidance_rescale: float = 0.0
    flow_shift: float | None = None
    flow_exponent: float = 1.0
    cache: str = "none"
    cache_threshold: float | None = None
    decode: str = "framewise"
    crf: int = 16
    loras: tuple[Lora, ...] = ()

    def __post_init__(self) -> None:
        """Refuse what no model can render, by name."""
        for field, low in (("sections", 1), ("latent_window_size", 1), ("num_inference_steps", 1), ("crf", 0)):
            if getattr(self, field) < low:
                raise InvalidSpec(f"{field}={getattr(self, field)}: need at least {low}", field=field)
        for field in ("height", "width"):
            side = getattr(self, field)
            if side < 16 or side % 16:
                raise InvalidSpec(
                    f"{field}={side} px is {side / 8:g} latent rows or columns: need a positive even number, "
                    "that is a multiple of 16 px",
                    field=field,
                )
        for field, known in (("kind", ("i2v", "f1")), ("cache", CACHES), ("decode", DECODES)):
            if getattr(self, field) not in known:
                raise InvalidSpec(f"{field}={getattr(self, field)!r}: known are {', '.join(known)}", field=field)
        if self.flow_shift is not None and not self.flow_shift > 0:
            raise InvalidSpec(f"flow_shift={self.flow_shift}: need more than 0", field="flow_shift")
        if not self.flow_exponent > 0:
            raise InvalidSpec(f"flow_exponent={self.flow_exponent}: need more than 0", field="flow_exponent")

    @property
    def frames(self) -> int:
        """Pixel frames of the whole video."""
        return frames_for(self.sections, self.latent_window_size)

    @property
    def latent_size(self) -> tuple[int, int]:
        """(height, width) of a latent frame."""
        return self.height // 8, self.width // 8

    @property
    def tokens(self) -> int:
        """Tokens of the noisy part: one is 2x2 latent pixels."""
        height, width = self.latent_size
        return self.latent_window_size * height * width // 4

    @property
    def threshold(self) -> float:
        """TeaCache's threshold, where the cache is on."""
        return TEACACHE_THRESHOLD if self.cache_threshold is None else self.cache_threshold
