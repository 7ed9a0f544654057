"""The range or the choices of each field of a RenderSpec. Each of these rules is written here only. Loads no torch."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

from framepack_engine.errors import InvalidSpec
from framepack_engine.planning.cache_choice import CACHES
from framepack_engine.planning.choices import ATTENTIONS, DECODES, STARTS
from framepack_engine.planning.tiles import TILE_MAX_PX, TILE_MIN_PX, TILE_STEP_PX


class Limit(NamedTuple):
    """The limits of a field: a number within bounds, or one of some names. None is no bound."""

    ge: float | None = None  #: at least
    gt: float | None = None  #: more than
    le: float | None = None  #: at most
    multiple_of: int | None = None
    choices: tuple[str, ...] = ()

    def wanted(self, value: object) -> str | None:
        """Return what the field needs instead of `value`, or None if `value` is within the limit."""
        if self.choices:
            return None if value in self.choices else f"one of {', '.join(self.choices)}"
        if not isinstance(value, int | float):
            return "a number"
        if self.ge is not None and not value >= self.ge:  # NaN fails every comparison
            return f"at least {self.ge:g}"
        if self.gt is not None and not value > self.gt:
            return f"more than {self.gt:g}"
        if self.le is not None and not value <= self.le:
            return f"at most {self.le:g}"
        if self.multiple_of is not None and value % self.multiple_of:
            return f"a multiple of {self.multiple_of}"
        return None


LIMITS: Mapping[str, Limit] = MappingProxyType(
    {
        "latent_window_size": Limit(ge=1, le=33),
        "num_inference_steps": Limit(ge=1, le=100),
        "guidance_scale": Limit(ge=1, le=32),
        "true_cfg_scale": Limit(ge=1, le=32),
        "guidance_rescale": Limit(ge=0, le=1),
        "flow_shift": Limit(gt=0, le=100),
        "flow_exponent": Limit(gt=0, le=10),
        "cache": Limit(choices=CACHES),
        "cache_threshold": Limit(ge=0, le=10),
        "attention": Limit(choices=ATTENTIONS),
        "decode": Limit(choices=DECODES),
        "decode_tile_px": Limit(ge=TILE_MIN_PX, le=TILE_MAX_PX, multiple_of=TILE_STEP_PX),
        "crf": Limit(ge=0, le=51),
        "prompt_fade_sections": Limit(ge=0, le=20),
        "start": Limit(choices=STARTS),
    }
)


def check_limits(spec: object) -> None:
    """Check each limited field of `spec` that is not None. Raises: InvalidSpec naming the first bad field."""
    for field, limit in LIMITS.items():
        value = getattr(spec, field)
        if value is not None and (wanted := limit.wanted(value)):
            raise InvalidSpec(f"{field}={value!r}: need {wanted}", field=field)
