"""How a video moves as a whole: shift, zoom, rotation and light a second, estimated from its frames alone.

Each frame is laid over an earlier one by a similarity and a gain (Gauss-Newton, coarse to fine, outliers weighed down):
what most of the picture does counts, and the rest does not. Lengths are in view widths, as in `data/motions.py`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from framepack_engine.planning.sections import FPS

_STRIDE = 6  #: frames between the two that are compared: far enough to see, near enough to find
_LEVELS = (4, 2, 1)  #: by how much both are made smaller
_ROUNDS = 8  #: of each level
_OUTLIER = 0.06  #: difference in brightness (0 to 1) from which a point counts half
#: rates a second that the middle of a motion's range of speeds has: what makes shift, zoom, turn and light comparable
_USUAL = (0.035, 0.035, 0.055, 0.055, 0.3)
_NAMES = (
    ("pan_left", "pan_right"),
    ("pan_up", "pan_down"),
    ("zoom_in", "zoom_out"),
    ("rotate_right", "rotate_left"),
    ("brighten", "darken"),
)
_LEAST = 0.2  #: of the usual rate; what moves less is still


@dataclass(frozen=True, slots=True)
class Moved:
    """Rates a second of what is seen: x to the right and y down in widths, growth and gain as logarithms, turn in
    radians (clockwise on screen).
    """

    x: float
    y: float
    growth: float
    turn: float
    gain: float

    @property
    def name(self) -> str:
        """The most similar motion of `motions.MEASURED`; `still` if the video hardly moves."""
        shares = [rate / usual for rate, usual in zip(self._rates(), _USUAL, strict=True)]
        most = max(range(len(shares)), key=lambda i: abs(shares[i]))
        return "still" if abs(shares[most]) < _LEAST else _NAMES[most][shares[most] < 0]

    def _rates(self) -> tuple[float, float, float, float, float]:
        return self.x, self.y, self.growth, self.turn, self.gain


def measured_motion(frames: Any) -> Moved:
    """Measure the mean motion of a video, (T, H, W, 3) uint8, of at least two frames."""
    pixels = torch.as_tensor(frames).float() / 255
    grey = pixels.mean(dim=-1)[:, None]
    numbers = sorted({*range(0, len(grey), _STRIDE), len(grey) - 1})
    total = torch.zeros(5)
    for earlier, later in pairwise(numbers):
        total += _laid_over(grey[earlier], grey[later])
    seconds = (numbers[-1] - numbers[0]) / FPS
    return Moved(*(float(value) / seconds for value in total))


def _laid_over(earlier: Tensor, later: Tensor) -> Tensor:
    """(x, y, growth, turn, gain) that bring (1, H, W) `earlier` to `later`."""
    found = torch.zeros(5)
    for smaller in _LEVELS:
        if min(earlier.shape[-2:]) // smaller < 16:
            continue
        one, other = (functional.avg_pool2d(picture[None], smaller)[0] for picture in (earlier, later))
        points = _points(*one.shape[-2:])
        for _ in range(_ROUNDS):
            found = found + _correction(one, other, points, found)
    return found


def _points(height: int, width: int) -> Tensor:
    """(H, W, 2) x and y in widths from the centre."""
    longer = max(height, width)
    y = (torch.arange(height) + 0.5 - height / 2) / longer
    x = (torch.arange(width) + 0.5 - width / 2) / longer
    return torch.stack(torch.meshgrid(x, y, indexing="xy"), dim=-1)


def _correction(one: Tensor, other: Tensor, points: Tensor, found: Tensor) -> Tensor:
    """The least-squares step from `found`: other(W(p)) = gain · one(p), W(p) = growth · turn(p) + shift."""
    height, width = one.shape[-2:]
    longer = max(height, width)
    growth, turn = math.exp(float(found[2])), float(found[3])
    cos, sin = growth * math.cos(turn), growth * math.sin(turn)
    x, y = points[..., 0], points[..., 1]
    at = torch.stack([cos * x - sin * y + found[0], sin * x + cos * y + found[1]], dim=-1)
    grid = at * torch.tensor([2 * longer / width, 2 * longer / height])
    seen = functional.grid_sample(other[None], grid[None], padding_mode="border", align_corners=False)[0, 0]
    inside = (grid.abs() < 1 - 2 / min(height, width)).all(dim=-1)
    by_y, by_x = torch.gradient(seen, spacing=1 / longer)
    gain = math.exp(float(found[4]))
    residual = gain * one[0] - seen
    # the effect of a shift of the point p itself, and then growth and turn about the centre
    columns = torch.stack([by_x, by_y, by_x * x + by_y * y, by_y * x - by_x * y, -gain * one[0]], dim=-1)
    weight = (inside / (1 + (residual / _OUTLIER) ** 2))[..., None]
    matrix = (columns * weight).flatten(0, 1).T @ columns.flatten(0, 1) + 1e-6 * torch.eye(5)
    step = torch.linalg.solve(matrix, (columns * weight).flatten(0, 1).T @ residual.flatten())
    # the step was taken before the turn and growth that were found already: bring its shift behind them
    shift = torch.stack([cos * step[0] - sin * step[1], sin * step[0] + cos * step[1]])
    return torch.cat([shift, step[2:]]).clamp(-0.1, 0.1)
