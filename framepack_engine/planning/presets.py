"""Presets: values for the fields that a request leaves out. A table and one rule; loads no torch.

Names and numbers are those of suparious/ai-video-generator. There are two sets: we recommend `dance` …, and
`compat-dance` … keep that fork's TeaCache threshold. The fork raises it to 0.25 for "hands and details", but a higher
threshold skips more and is worse. Ours stay at the reference's threshold, and `hands` is below it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from framepack_engine.planning.schedule import MU_MAX, flow_mu, token_mu

#: the request's fields that a preset may fill
PRESET_FIELDS = ("num_inference_steps", "guidance_scale", "flow_exponent", "flow_shift", "cache", "cache_threshold")
_MU_MIN = 0.3  #: of a shifted mu
_FORK_THRESHOLD = 0.25  #: of TeaCache, in the fork's usual "optimize for hands and details"


@dataclass(frozen=True, slots=True, kw_only=True)
class Preset:
    """Values for the fields of a request.

    teacache_threshold: used if TeaCache is on, by the preset or the request; None: the cache's own.
    mu_shift: added to the schedule's mu before its limits (0.3 to ln 7). With a window of 9 at the 640 buckets mu stays
        at the upper limit; smaller windows or pictures show the shift.
    prompt: a suggestion for people; the farm never puts it into a request.
    """

    num_inference_steps: int
    guidance_scale: float
    flow_exponent: float
    cache: str
    teacache_threshold: float | None = None
    mu_shift: float = 0.0
    prompt: str = ""

    def flow_shift(self, tokens: int) -> float | None:
        """Return the shift for a number of noisy tokens; None if the preset does not change it."""
        if not self.mu_shift:
            return None
        mu = max(min(token_mu(tokens) + self.mu_shift, MU_MAX), _MU_MIN)
        return None if mu == flow_mu(tokens) else math.exp(mu)


# Source: suparious/ai-video-generator config.py and diffusers_helper/pipelines/flow_shift_configs.py.
_FORK = {
    "default": Preset(cache="teacache", num_inference_steps=25, guidance_scale=10.0, flow_exponent=1.0),
    "dance": Preset(
        cache="none",
        num_inference_steps=30,
        guidance_scale=12.0,
        flow_exponent=1.03,
        mu_shift=-0.15,
        prompt="The person dances gracefully, with clear movements, full of charm.",
    ),
    "talking": Preset(
        cache="teacache",
        num_inference_steps=22,
        guidance_scale=8.0,
        flow_exponent=1.05,
        mu_shift=-0.15,
        prompt="The person is talking, with clear facial expressions, gesturing naturally.",
    ),
    "action": Preset(
        cache="none",
        num_inference_steps=30,
        guidance_scale=12.0,
        flow_exponent=0.95,
        mu_shift=0.1,
        prompt="The person performs an action with flowing movement. High quality, detailed.",
    ),
    "subtle": Preset(
        cache="teacache",
        num_inference_steps=20,
        guidance_scale=7.0,
        flow_exponent=1.15,
        mu_shift=-0.3,
        prompt="The person makes subtle movements with minimal change. Slow, deliberate motion.",
    ),
    "hands": Preset(
        cache="none",
        num_inference_steps=35,
        guidance_scale=14.0,
        flow_exponent=1.25,
        mu_shift=-0.45,
        prompt="The person makes detailed hand gestures and finger movements, demonstrating fine motor control.",
    ),
}
PRESETS: Mapping[str, Preset] = MappingProxyType(
    {
        **_FORK,
        # if a request turns the cache on, it skips less than with other presets, not more
        "hands": replace(_FORK["hands"], teacache_threshold=0.1),
        **{f"compat-{name}": replace(preset, teacache_threshold=_FORK_THRESHOLD) for name, preset in _FORK.items()},
    }
)


def fixed(name: str) -> dict[str, object]:
    """Return what preset `name` fills in at every size of the video."""
    return {field: value for field, value in filled(name, {}, tokens=1).items() if field != "flow_shift"}


def filled(name: str, given: Mapping[str, object], *, tokens: int) -> dict[str, object]:
    """Return what preset `name` adds to a request that has set the fields of `given`.

    tokens: of the noisy part (RenderSpec.tokens). Returns: field -> value, only for fields that are not in `given`.
    """
    preset = PRESETS[name]
    wanted: dict[str, object] = {
        "num_inference_steps": preset.num_inference_steps,
        "guidance_scale": preset.guidance_scale,
        "flow_exponent": preset.flow_exponent,
        "cache": preset.cache,
        "flow_shift": preset.flow_shift(tokens),
    }
    if given.get("cache", preset.cache) == "teacache":
        wanted["cache_threshold"] = preset.teacache_threshold
    return {field: value for field, value in wanted.items() if field not in given and value is not None}
