"""The step caches: their thresholds, and the models that can use them. A table: loads no torch.

| cache         | rule                                                   | threshold                         | default |
|---------------|--------------------------------------------------------|-----------------------------------|---------|
| `teacache`    | sum of the expected changes of the input               | run where the sum reaches it      | 0.15    |
| `first_block` | relative change of what the first block adds           | run where the change is above it  | 0.05    |
| `magcache`    | sum of the errors that known magnitude ratios predict  | run where the sum is above it     | 0.1     |
| `taylorseer`  | the output is extrapolated as a straight line          | steps from one run to the next    | 5       |

A higher threshold always skips more and is worse. The first and the last step of a section always run.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from framepack_engine.errors import CacheUnusable, InvalidSpec

THRESHOLDS: Mapping[str, float] = MappingProxyType(
    {"teacache": 0.15, "first_block": 0.05, "magcache": 0.1, "taylorseer": 5.0}
)
CACHES = ("none", *THRESHOLDS)

# How much larger the residual of the block stack is in each of 25 steps than in the step before, beginning with 1.
# Others measured them with the official weights; diffusers stretches them to other numbers of steps.
# i2v: FP-Studio/FramePack-Studio mag_cache_ratios.py (640 px); f1: Zehong-Ma/MagCache MagCache4FramePack.
# fmt: off
_I2V = (
    1.0, 1.30469, 1.22656, 1.05469, 1.02344, 1.03906, 1.02344, 1.03906, 1.05469, 1.02344, 1.03906, 0.99609, 1.02344,
    1.03125, 1.01562, 1.02344, 1.00781, 1.03906, 0.98828, 1.0, 1.0, 0.98828, 0.94531, 0.93359, 0.78516,
)
_F1 = (
    1.0, 1.25781, 1.08594, 1.02344, 1.00781, 1.02344, 1.00781, 1.02344, 1.05469, 0.99609, 1.03906, 1.00781, 1.01562,
    1.00781, 1.02344, 1.01562, 0.98047, 1.05469, 0.98047, 0.96875, 1.03125, 0.97266, 0.9375, 0.96484, 0.78516,
)
# We measured the tiny models: Renderer.magnitude_ratios, examples/cat.jpg, "a cat", 128x128 px, seed 1.
_TINY = (
    1.0, 1.26414, 0.9481, 1.01102, 0.83786, 0.87488, 1.19758, 1.3697, 0.63853, 0.9979, 1.52467, 1.47262, 0.58866,
    1.09831, 0.81008, 1.14256, 0.82042, 1.41362, 0.83709, 1.29526, 0.93031, 0.96626, 1.62329, 0.47285, 1.68294,
)
_TINY_F1 = (
    1.0, 0.79234, 0.96933, 1.103, 1.03764, 1.13305, 0.95722, 1.06343, 0.84733, 1.5587, 0.6375, 1.17813, 0.87035,
    1.08185, 0.9676, 1.01607, 0.96168, 1.16632, 1.32219, 0.95129, 1.23074, 0.71756, 1.23347, 1.03293, 0.64149,
)
# fmt: on
MAG_RATIOS: Mapping[str, tuple[float, ...]] = MappingProxyType(
    {"framepack-i2v": _I2V, "framepack-f1": _F1, "tiny": _TINY, "tiny-f1": _TINY_F1}
)


def check_cache(cache: str, threshold: float | None) -> None:
    """Check that `threshold` means something to `cache`. Raises: InvalidSpec."""
    if threshold is None:
        return
    if cache == "none":
        raise InvalidSpec(
            f"cache_threshold={threshold:g}: there is no cache to take it; set cache as well, or leave this out",
            field="cache_threshold",
        )
    if cache == "taylorseer" and (threshold < 1 or threshold != int(threshold)):
        raise InvalidSpec(
            f"cache_threshold={threshold:g}: taylorseer runs one step in so many; need a whole number from 1 on",
            field="cache_threshold",
        )


def mag_ratios(model: str | None, given: Sequence[float] | None) -> tuple[float, ...]:
    """Return MagCache's ratios: those given, else the known ones of `model`. Raises: CacheUnusable."""
    found = tuple(given) if given is not None else MAG_RATIOS.get(model or "")
    if not found:
        raise CacheUnusable(
            f"cache=magcache cannot be used with the model {model!r}: it needs the ratios of that model's residuals, "
            f"which are known for {', '.join(MAG_RATIOS)} only. Measure them (Renderer.magnitude_ratios) and give them "
            "as cache_ratios, or choose another cache",
            field="cache",
        )
    return found
