"""Loss curves, as numbers and as a picture."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from PIL import Image, ImageDraw

_PANEL = (720, 200)
_MARGIN = (64, 24)
_INK, _GRID, _FAINT, _LINE = (20, 20, 20), (225, 225, 225), (190, 205, 235), (30, 80, 190)
_SMOOTHED = 25  #: points that the dark line is the running mean of


def write_curves(path: Path, curves: Mapping[str, Sequence[float]], *, every: int) -> None:
    """Write {"every": steps a point, "curves": {name: points}}, whole or not at all."""
    aside = path.with_name(f".{path.name}")
    aside.write_text(json.dumps({"every": every, "curves": curves}))
    aside.replace(path)


def draw_curves(path: Path, curves: Mapping[str, Sequence[float]], *, every: int, title: str) -> None:
    """Draw the curves as a PNG. Leave out curves without a positive value; write no file if none is left."""
    drawn = {name: points for name, points in curves.items() if any(point > 0 for point in points)}
    if not drawn:
        return
    width, height = _PANEL
    picture = Image.new("RGB", (width, height * len(drawn)), "white")
    pen = ImageDraw.Draw(picture)
    for row, (name, points) in enumerate(drawn.items()):
        _panel(pen, row * height, points, every=every, title=f"{title}: {name}")
    picture.save(path)


def _panel(pen: ImageDraw.ImageDraw, top: int, points: Sequence[float], *, every: int, title: str) -> None:
    width, height = _PANEL
    left, gap = _MARGIN
    low, high = (math.log10(limit) for limit in (min(p for p in points if p > 0), max(points)))
    span = max(high - low, 1e-3)
    floor = 10**low

    def at(i: int, value: float) -> tuple[float, float]:
        share = (math.log10(max(value, floor)) - low) / span
        across = left + (width - left - gap) * (i + 1) / len(points)
        return across, top + height - gap - (height - 2 * gap) * share

    for tick in range(5):
        value = 10 ** (low + span * tick / 4)
        y = at(0, value)[1]
        pen.line([(left, y), (width - gap, y)], fill=_GRID)
        pen.text((4, y - 6), f"{value:.3g}", fill=_INK)
    pen.text((left, top + 4), f"{title}, {len(points) * every} steps, last {points[-1]:.4g}", fill=_INK)
    if len(points) > 1:
        pen.line([at(i, point) for i, point in enumerate(points)], fill=_FAINT)
        means = [sum(points[max(i - _SMOOTHED + 1, 0) : i + 1]) / min(i + 1, _SMOOTHED) for i in range(len(points))]
        pen.line([at(i, mean) for i, mean in enumerate(means)], fill=_LINE, width=2)
