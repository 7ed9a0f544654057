"""How a still picture moves: for each moment, where every point of the view is taken from. Frame 0 is the view itself.

Lengths are in view widths (of the longer side), x to the right and y down, (0, 0) the view's centre; times in seconds.
The camera's motion and the picture's are opposite: a pan to the left moves the picture to the right.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from lab.training.data.pictures import Dice

_TAU = 2 * math.pi

#: motion -> (slowest, fastest): widths a second for pans and parallax, e-foldings a second for zooms and light, radians
#: a second for rotation, widths or radians of amplitude for the rest
SPEEDS = {
    "pan_left": (0.015, 0.055),
    "pan_right": (0.015, 0.055),
    "pan_up": (0.015, 0.055),
    "pan_down": (0.015, 0.055),
    "zoom_in": (0.02, 0.09),
    "zoom_out": (0.02, 0.09),
    "rotate_left": (0.02, 0.09),
    "rotate_right": (0.02, 0.09),
    "brighten": (0.1, 0.45),
    "darken": (0.1, 0.6),
    "sway": (0.02, 0.06),
    "tilt": (0.05, 0.15),
    "ripple": (0.006, 0.02),
    "wind": (0.01, 0.04),
    "parallax_left": (0.015, 0.05),
    "parallax_right": (0.015, 0.05),
    "still": (0.0, 0.0),
}
#: those that can be measured as one affine motion or gain of the whole view; `framefarm bench pocket` asks for these
MEASURED = (
    "pan_left", "pan_right", "pan_up", "pan_down", "zoom_in", "zoom_out", "rotate_left", "rotate_right",
    "brighten", "darken",
)  # fmt: skip
#: pace -> share of the range of speeds, and how far off it may be: a prompt says nearly all of a motion, or what is
#: learned from it is a mean of many
PACES = {"slow": 0.12, "plain": 0.5, "quick": 0.88}
_SPREAD = 0.04
_CAMERAS = MEASURED[:8]  #: of a small model's few steps most go where a picture changes most
_DRAWN = tuple(kind for kind in SPEEDS for _ in range(3 if kind in _CAMERAS else 1))
_RATE_HZ = 0.5  #: of what comes and goes


@dataclass(frozen=True, slots=True)
class Motion:
    """One motion: `speed` as in `SPEEDS`, at `share` of its range."""

    kind: str
    speed: float
    share: float

    @property
    def pace(self) -> str:
        """The nearest of `PACES`, for the prompt."""
        return min(PACES, key=lambda pace: abs(PACES[pace] - self.share))


def throw_motion(dice: Dice, kind: str | None = None) -> Motion:
    """Draw a motion at one of the paces: of the named kind, or of any, camera motions three times as often."""
    name = dice.one_of(_DRAWN) if kind is None else kind
    low, high = SPEEDS[name]
    share = dice.uniform(-_SPREAD, _SPREAD) + PACES[dice.one_of(tuple(PACES))]
    return Motion(name, low + (high - low) * share, share)


def moved(motion: Motion, points: Tensor, times_s: Tensor, *, depth: float = 1.0) -> Tensor:
    """Return where the view's `points` (H, W, 2), as x and y, are taken from at each time: (T, H, W, 2).

    depth: how far a layer follows a parallax, 1 wholly. At time 0 every point is its own.
    """
    t = times_s[:, None, None]
    x, y = points[None, ..., 0], points[None, ..., 1]
    move = motion.speed * t
    kind = motion.kind
    if kind.startswith(("pan", "parallax")):
        move = move * (depth if kind.startswith("parallax") else 1)
        dx, dy = {"left": (-1, 0), "right": (1, 0), "up": (0, -1), "down": (0, 1)}[kind.split("_")[1]]
        x, y = x + dx * move, y + dy * move
    elif kind.startswith("zoom"):
        scale = torch.exp(-move if kind == "zoom_in" else move)
        x, y = x * scale, y * scale
    elif kind.startswith("rotate") or kind == "sway":
        angle = move if kind == "rotate_left" else -move
        if kind == "sway":
            angle = motion.speed * torch.sin(_TAU * _RATE_HZ * t)
        cos, sin = torch.cos(angle), torch.sin(angle)
        x, y = x * cos - y * sin, x * sin + y * cos
    elif kind == "tilt":
        far = 1 + motion.speed * (1 - torch.exp(-t)) * y * 2
        x, y = x / far, y / far
    elif kind == "ripple":
        rising = 1 - torch.exp(-2 * t)
        radius = torch.hypot(x, y)
        wave = motion.speed * rising * torch.sin(_TAU * (3 * radius - _RATE_HZ * 2 * t))
        x, y = x + wave * x / (radius + 0.05), y + wave * y / (radius + 0.05)
    elif kind == "wind":
        height = (0.5 - y).clamp(0, 1)
        gust = torch.sin(_TAU * _RATE_HZ * 1.5 * t + 4 * x) - torch.sin(4 * x)
        x = x + motion.speed * height * gust
    shape = (len(times_s), *points.shape[:2])
    return torch.stack([x.expand(shape), y.expand(shape)], dim=-1)


def light(motion: Motion, times_s: Tensor) -> Tensor:
    """Return the factor of brightness at each time, (T,); it is 1 unless the motion changes the light."""
    sign = {"brighten": 1.0, "darken": -1.0}.get(motion.kind, 0.0)
    return torch.exp(sign * motion.speed * times_s)
