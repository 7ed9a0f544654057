"""The specification of a video: the values that decide its latents and frames, and no others. Loads no torch."""

from __future__ import annotations

from dataclasses import dataclass

from framepack_engine.errors import InvalidSpec
from framepack_engine.planning.cache_choice import THRESHOLDS, check_cache
from framepack_engine.planning.limits import check_limits
from framepack_engine.planning.prompts import Share, TimedPrompt, prompt_borders, prompt_shares
from framepack_engine.planning.schedule import check_flow, flow_mu
from framepack_engine.planning.sections import Kind, frames_for
from framepack_engine.planning.tiles import check_picture, check_tile


@dataclass(frozen=True, slots=True)
class Lora:
    """A LoRA by name (see `lora.files.find_lora`), and its strength. sha256: of its bytes; None accepts any."""

    name: str
    weight: float = 1.0
    sha256: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RenderSpec:
    """One video. Names and defaults are those of the HTTP API; the number of sections and the size are decided.

    height, width: px, multiples of 16 (a token is 16x16 px). flow_shift: None derives it from the number of tokens.
    cache, cache_threshold: see cache_choice; None: the cache's own. cache_ratios: MagCache's; None: the model's own.
    attention: see sampling/attention. guidance_scale: the distilled one; true_cfg_scale costs a second call.
    prompts: in time order. A prompt takes over at the section border nearest to its time, after a mix of
    `prompt_fade_sections`. start: the first picture of an f1 video without a start image. continues: the video goes on
    from the last frames of another (f1). Its first frame is the last one there, and is not made again.

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
    cache_ratios: tuple[float, ...] | None = None
    attention: str = "sdpa"
    decode: str = "framewise"
    decode_tile_px: int | None = None
    crf: int = 16
    loras: tuple[Lora, ...] = ()
    prompts: tuple[TimedPrompt, ...] = ()
    prompt_fade_sections: int = 0
    start: str = "grey"
    continues: bool = False

    def __post_init__(self) -> None:
        """Check everything that can be checked before a model is loaded."""
        if self.kind not in {"i2v", "f1"}:
            raise InvalidSpec(f"kind={self.kind!r}: need i2v or f1", field="kind")
        if self.sections < 1:
            raise InvalidSpec(f"sections={self.sections}: need at least 1", field="sections")
        for field, side in (("height", self.height), ("width", self.width)):
            if side < 16 or side % 16:
                raise InvalidSpec(f"{field}={side} px: need a positive multiple of 16 px", field=field)
        check_limits(self)
        check_cache(self.cache, self.cache_threshold)
        check_tile(self.decode, self.decode_tile_px)
        check_picture(self.decode, self.height, self.width, window=self.latent_window_size)
        mu = flow_mu(self.tokens, shift=self.flow_shift)
        blamed = "flow_exponent" if self.flow_shift is None else "flow_shift"
        check_flow(self.num_inference_steps, mu=mu, exponent=self.flow_exponent, field=blamed)
        if self.continues and self.kind != "f1":
            raise InvalidSpec("continues: only an f1 model can continue a video", field="continues")
        times_s = [prompt.at_s for prompt in self.prompts]
        if times_s != sorted(times_s):
            raise InvalidSpec("prompts: need rising times", field="prompts")
        prompt_borders(times_s, sections=self.sections, window=self.latent_window_size)

    @property
    def frames(self) -> int:
        """Pixel frames that are made; the start image's is one of them unless the video continues another."""
        return frames_for(self.sections, self.latent_window_size) - self.continues

    def prompt_shares(self, index: int) -> tuple[Share, ...]:
        """The prompts of section `index`, and their shares."""
        return prompt_shares(
            self.kind,
            sections=self.sections,
            window=self.latent_window_size,
            times_s=[prompt.at_s for prompt in self.prompts],
            fade_sections=self.prompt_fade_sections,
        )[index]

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
        """The cache's threshold; 0 without a cache."""
        return THRESHOLDS.get(self.cache, 0.0) if self.cache_threshold is None else self.cache_threshold
