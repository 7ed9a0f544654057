"""Still pictures drawn with torch: landscapes, cells, clouds, shapes, walls, faces, towns, flowers, strokes, balls, …

A picture is a pure function of a `Dice` (and so of its seed): the draws are made on the CPU, the pixels on the device.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor
from torch.nn import functional

_TAU = 2 * math.pi
_T = TypeVar("_T")


class Dice:
    """Random numbers of one picture or clip. The same seed gives the same numbers on every machine and device."""

    def __init__(self, *seed: int) -> None:
        """seed: the numbers that name what is drawn, in order (run, index, …)."""
        mixed = 0x9E3779B97F4A7C15
        for part in seed:
            mixed = ((mixed ^ (part + 0x9E3779B97F4A7C15)) * 0xBF58476D1CE4E5B9 + (mixed >> 31)) & (2**63 - 1)
        self._generator = torch.Generator("cpu").manual_seed(mixed)

    def uniform(self, low: float = 0.0, high: float = 1.0) -> float:
        """One number in [low, high)."""
        return low + (high - low) * float(torch.rand((), generator=self._generator))

    def many(self, *shape: int, low: float = 0.0, high: float = 1.0) -> Tensor:
        """Numbers in [low, high), on the CPU."""
        return low + (high - low) * torch.rand(shape, generator=self._generator)

    def normal(self, *shape: int) -> Tensor:
        """Standard normal numbers, on the CPU."""
        return torch.randn(shape, generator=self._generator)

    def whole(self, low: int, high: int) -> int:
        """A whole number from `low` to `high`, both included."""
        return int(torch.randint(low, high + 1, (), generator=self._generator))

    def one_of(self, choices: Sequence[_T]) -> _T:
        """Return one of them, all equally likely."""
        return choices[self.whole(0, len(choices) - 1)]

    def chance(self, share: float) -> bool:
        """Return True with probability `share`."""
        return self.uniform() < share


@dataclass(frozen=True, slots=True)
class Canvas:
    """Where a picture is drawn: `y` and `x` (side, side) run from 0 to 1, `dice` decides."""

    side_px: int
    device: torch.device
    dice: Dice
    y: Tensor
    x: Tensor

    def colours(self, count: int) -> Tensor:
        """Return (count, 3) colours that go together: a base hue, its neighbours and its opposite."""
        hue, spread = self.dice.uniform(), self.dice.one_of([0.06, 0.15, 0.5])
        hues = (hue + spread * (self.dice.many(count) - 0.5) * 2) % 1
        saturation = self.dice.many(count, low=0.1, high=0.9)
        value = self.dice.many(count, low=0.15, high=1.0)
        wheel = (hues[:, None] + torch.tensor([0.0, 2 / 3, 1 / 3])) % 1
        full = (wheel * 6 - 3).abs().sub(1).clamp(0, 1)
        return (value[:, None] * (1 - saturation[:, None] * (1 - full))).to(self.device)

    def noise(self, *, cells: int, octaves: int = 4, channels: int = 1) -> Tensor:
        """(channels, side, side) smooth noise in about [0, 1]; `cells` is how many bumps fit in the width."""
        total = torch.zeros((channels, self.side_px, self.side_px), device=self.device)
        weight_sum = 0.0
        for octave in range(octaves):
            grid = min(cells << octave, self.side_px)
            drawn = self.dice.many(1, channels, grid + 1, grid + 1).to(self.device)
            size = (self.side_px, self.side_px)
            weight = 0.55**octave
            total += weight * functional.interpolate(drawn, size, mode="bicubic", align_corners=True)[0]
            weight_sum += weight
        return total / weight_sum

    def blend(self, below: Tensor, above: Tensor, mask: Tensor) -> Tensor:
        """(3, side, side): `above` (a picture, or a colour of 3) over `below` where `mask` is 1."""
        above = above[:, None, None] if above.ndim == 1 else above
        return below + (above - below) * mask

    def edge(self, distance: Tensor) -> Tensor:
        """1 where a distance (in widths) is positive, 0 where it is negative, and soft over about a pixel."""
        return (distance * self.side_px + 0.5).clamp(0, 1)

    def plain(self, colour: Tensor) -> Tensor:
        """(3, side, side) of one colour."""
        return colour[:, None, None].expand(3, self.side_px, self.side_px)


def _landscape(c: Canvas) -> Tensor:
    """Sky, a sun, and rows of hills that get darker towards the front."""
    colours = c.colours(8)
    picture = c.blend(c.plain(colours[0]), colours[1], c.y[None])
    sun = c.dice.uniform(0.03, 0.12) - torch.hypot(c.y - c.dice.uniform(0.1, 0.45), c.x - c.dice.uniform())
    picture = c.blend(picture, colours[2].sqrt(), c.edge(sun)[None])
    for row in range(c.dice.whole(2, 5)):
        height = 0.35 + 0.13 * row + 0.3 * (c.noise(cells=c.dice.whole(2, 9), octaves=5)[0, 0] - 0.5)
        shade = colours[3 + row][:, None, None] * (0.7 + 0.5 * c.noise(cells=12)) * (1 - 0.12 * row)
        picture = c.blend(picture, shade, c.edge(c.y - height[None])[None])
    return picture


def _cells(c: Canvas) -> Tensor:
    """Stained glass or cobbles: the nearest of some points decides the colour."""
    count = c.dice.whole(12, 70)
    points = c.dice.many(count, 2).to(c.device)
    distance = torch.hypot(c.y[None] - points[:, 0, None, None], c.x[None] - points[:, 1, None, None])
    two, which = distance.topk(2, dim=0, largest=False)
    picture = c.colours(count)[which[0]].permute(2, 0, 1)
    line = c.edge(two[1] - two[0] - c.dice.uniform(0.0, 0.02))
    relief = 1 - c.dice.uniform(0, 1.5) * two[0] * count**0.5 / 2
    return c.blend(c.plain(c.colours(1)[0] * 0.3), picture * relief, line[None])


def _clouds(c: Canvas) -> Tensor:
    """Clouds, marble or wood: noise through a map of three colours."""
    field = c.noise(cells=c.dice.whole(2, 8), octaves=6)[0]
    if c.dice.chance(0.5):
        turns = c.dice.uniform(1, 7)
        field = 0.5 + 0.5 * torch.sin(_TAU * (turns * (c.x if c.dice.chance(0.5) else c.y) + 2 * field))
    low, middle, high = c.colours(3)
    picture = c.blend(c.plain(low), middle, (field * 2).clamp(0, 1)[None])
    return c.blend(picture, high, (field * 2 - 1).clamp(0, 1)[None])


def _shapes(c: Canvas) -> Tensor:
    """Discs, boxes, rings and polygons over each other."""
    count = c.dice.whole(5, 25)
    colours = c.colours(count + 2)
    picture = c.blend(c.plain(colours[0]), colours[1], c.noise(cells=2, octaves=2))
    for colour in colours[2:]:
        mask = c.edge(_shape(c, size=c.dice.uniform(0.03, 0.22)))
        picture = c.blend(picture, colour * c.dice.uniform(0.7, 1), mask[None] * c.dice.uniform(0.6, 1))
    return picture


def _shape(c: Canvas, *, size: float) -> Tensor:
    """Signed distance (positive inside, in widths) of one shape somewhere."""
    dy, dx = c.y - c.dice.uniform(), c.x - c.dice.uniform()
    angle = c.dice.uniform(0, _TAU)
    u, v = dx * math.cos(angle) + dy * math.sin(angle), dy * math.cos(angle) - dx * math.sin(angle)
    kind = c.dice.whole(0, 3)
    if kind == 0:
        return size - torch.hypot(u, v * c.dice.uniform(1, 2.5))
    if kind == 1:
        return size - torch.maximum(u.abs(), v.abs() * c.dice.uniform(1, 3))
    if kind == 2:
        return size * c.dice.uniform(0.1, 0.4) - (torch.hypot(u, v) - size).abs()
    corners = c.dice.whole(3, 8)
    around = torch.atan2(v, u)
    wedge = (around + math.pi) % (_TAU / corners) - math.pi / corners
    star = 1 - c.dice.uniform(0, 0.6) * (wedge.abs() * corners / math.pi)
    return size * star - torch.hypot(u, v) * torch.cos(wedge)


def _wall(c: Canvas) -> Tensor:
    """Bricks, tiles, stripes or cloth, each piece in its own shade."""
    rows, columns = c.dice.whole(3, 20), c.dice.whole(2, 14)
    row = c.y * rows
    column = c.x * columns + (0.5 * (row.floor() % 2) if c.dice.chance(0.6) else 0)
    shade = c.dice.many(rows + 2, columns + 3, low=0.6, high=1.1).to(c.device)
    piece = shade[row.long(), column.long()]
    gap = c.dice.uniform(0.01, 0.12)
    joint = torch.minimum(torch.minimum(row % 1, 1 - row % 1), torch.minimum(column % 1, 1 - column % 1)) - gap
    brick, mortar = c.colours(2)
    grain = 0.75 + 0.5 * c.noise(cells=24, octaves=3)
    return c.blend(c.plain(mortar), brick[:, None, None] * piece, c.edge(joint / rows)[None]) * grain


def _faces(c: Canvas) -> Tensor:
    """Drawn heads of people or cats, with ears, eyes and a mouth."""
    picture = _clouds(c) if c.dice.chance(0.5) else c.plain(c.colours(1)[0])
    for _ in range(c.dice.whole(1, 4)):
        y, x, size = c.dice.uniform(0.25, 0.75), c.dice.uniform(0.2, 0.8), c.dice.uniform(0.08, 0.25)
        skin, hair, iris, lips = c.colours(4)

        def oval(
            dy: float, dx: float, height: float, width: float, at: tuple[float, float, float] = (y, x, size)
        ) -> Tensor:
            v, u = (c.y - at[0]) / at[2] - dy, (c.x - at[1]) / at[2] - dx
            return c.edge((1 - torch.hypot(v / height, u / width)) * min(height, width) * at[2])[None]

        fur = skin[:, None, None] * (0.8 + 0.4 * c.noise(cells=32, octaves=3))
        for side in (-1, 1):
            picture = c.blend(picture, hair, oval(-0.8, side * 0.75, c.dice.uniform(0.3, 0.7), 0.3))
        picture = c.blend(picture, fur * (1.15 - 0.5 * oval(0.2, 0.5, 1.0, 0.8) * 0.5), oval(0, 0, 1.15, 0.95))
        picture = c.blend(picture, hair, oval(-0.75, 0, c.dice.uniform(0.1, 0.5), 0.8))
        for side in (-1, 1):
            picture = c.blend(picture, torch.ones_like(skin), oval(-0.15, side * 0.4, 0.16, 0.22))
            picture = c.blend(picture, iris * 0.6, oval(-0.15, side * 0.4, 0.13, 0.1))
        picture = c.blend(picture, skin * 0.6, oval(0.2, 0, 0.12, 0.1))
        picture = c.blend(picture, lips * 0.8, oval(0.55, 0, c.dice.uniform(0.05, 0.2), 0.35))
    return picture


def _town(c: Canvas) -> Tensor:
    """Houses with lit windows before a sky."""
    colours = c.colours(10)
    picture = c.blend(c.plain(colours[0]), colours[1], c.y[None])
    for i in range(c.dice.whole(4, 9)):
        left, width, top = c.dice.uniform(-0.1, 0.95), c.dice.uniform(0.08, 0.25), c.dice.uniform(0.15, 0.8)
        inside = torch.minimum(torch.minimum(c.x - left, left + width - c.x), c.y - top)
        floors, columns = c.dice.whole(3, 18), c.dice.whole(2, 7)
        row, column = (c.y - top) * floors / 0.6, (c.x - left) / width * columns
        lit = c.dice.many(40, 16).to(c.device)[row.long().clamp(0, 39), column.long().clamp(0, 15)]
        pane = (((row % 1) - 0.5).abs() < 0.28) & (((column % 1) - 0.5).abs() < 0.28)
        front = c.blend(c.plain(colours[2 + i % 7] * 0.6), (colours[9] + lit[..., None]).permute(2, 0, 1), pane[None])
        picture = c.blend(picture, front, c.edge(inside)[None])
    return picture


def _flowers(c: Canvas) -> Tensor:
    """Blossoms with petals on a meadow of noise."""
    meadow = c.colours(2)
    picture = c.blend(c.plain(meadow[0] * 0.6), meadow[1], c.noise(cells=20, octaves=3))
    for _ in range(c.dice.whole(2, 9)):
        dy, dx, size = c.y - c.dice.uniform(), c.x - c.dice.uniform(), c.dice.uniform(0.05, 0.22)
        radius, around = torch.hypot(dy, dx), torch.atan2(dy, dx) + c.dice.uniform(0, _TAU)
        petals, heart = c.dice.whole(3, 9), c.colours(2)
        reach = size * (0.55 + 0.45 * torch.cos(petals * around).abs() ** c.dice.uniform(0.3, 1))
        shade = heart[0][:, None, None] * (0.6 + 0.5 * (radius / size).clamp(0, 1))
        picture = c.blend(picture, shade, c.edge(reach - radius)[None])
        picture = c.blend(picture, heart[1], c.edge(size * 0.2 - radius)[None])
    return picture


def _strokes(c: Canvas) -> Tensor:
    """Branches, hair or handwriting: curved strokes."""
    ground = c.colours(2)
    picture = c.blend(c.plain(ground[0]), ground[1], c.noise(cells=3))
    for colour in c.colours(c.dice.whole(6, 22)):
        middle, slope, bend = c.dice.uniform(), c.dice.uniform(-1.5, 1.5), c.dice.uniform(-2, 2)
        along, across = (c.x, c.y) if c.dice.chance(0.5) else (c.y, c.x)
        line = middle + slope * (along - 0.5) + bend * (along - 0.5) ** 2
        line = line + c.dice.uniform(0, 0.08) * torch.sin(_TAU * (c.dice.uniform(0.5, 6) * along + c.dice.uniform()))
        distance = (across - line).abs() / math.hypot(1, slope)
        picture = c.blend(picture, colour, c.edge(c.dice.uniform(0.002, 0.025) - distance)[None])
    return picture


def _balls(c: Canvas) -> Tensor:
    """Shaded balls and cups on a table, with shadows: a still life."""
    table, wall = c.colours(2)
    horizon = c.dice.uniform(0.2, 0.6)
    wood = table[:, None, None] * (0.7 + 0.5 * c.noise(cells=6, octaves=5))
    picture = c.blend(wall[:, None, None] * (1.1 - 0.5 * c.y[None]), wood, c.edge(c.y - horizon)[None])
    light = c.dice.uniform(-0.6, 0.6)
    for _ in range(c.dice.whole(2, 7)):
        y, x, size = c.dice.uniform(horizon, 0.9), c.dice.uniform(), c.dice.uniform(0.05, 0.18)
        squeeze = c.dice.uniform(0.6, 1.5)
        dy, dx = (c.y - y) / size * squeeze, (c.x - x) / size
        shadow = 1 - torch.hypot((dy - 0.8) * 3, dx + light)
        picture = picture * (1 - 0.6 * shadow.clamp(0, 1)[None])
        radius = torch.hypot(dy, dx)
        height = (1 - radius**2).clamp_min(0).sqrt()
        lit = (0.25 + 0.75 * (0.6 * height - 0.5 * dy + light * dx)).clamp(0.1, 1.2)
        shine = (height * 0.8 - 0.5 * dy + light * dx).clamp(0, 1) ** 12
        body = c.colours(1)[0][:, None, None] * lit + shine
        picture = c.blend(picture, body, c.edge((1 - radius) * size)[None])
    return picture


def _night(c: Canvas) -> Tensor:
    """Lights out of focus, or stars, in the dark."""
    picture = c.plain(c.colours(1)[0] * 0.25) * (0.4 + c.noise(cells=3))
    small = c.dice.chance(0.5)
    for colour in c.colours(c.dice.whole(15, 40)):
        size = c.dice.uniform(0.002, 0.012) if small else c.dice.uniform(0.01, 0.08)
        distance = torch.hypot(c.y - c.dice.uniform(), c.x - c.dice.uniform())
        disc = torch.exp(-((distance / size) ** 2)) if small else 0.5 * c.edge(size - distance)
        picture = picture + colour[:, None, None] * disc[None]
    return picture


def _collage(c: Canvas) -> Tensor:
    """Two other pictures, one seen through holes in the other."""
    first, second = c.dice.one_of(_DRAWN), c.dice.one_of(_DRAWN)
    field = c.noise(cells=c.dice.whole(2, 5), octaves=3)[0]
    return c.blend(first(c), second(c), c.edge((field - 0.5) * 0.3)[None])


_DRAWN: tuple[Callable[[Canvas], Tensor], ...] = (
    _landscape, _cells, _clouds, _shapes, _wall, _faces, _town, _flowers, _strokes, _balls, _night,
)  # fmt: skip
KINDS = {draw.__name__.removeprefix("_"): draw for draw in (*_DRAWN, _collage)}  #: by name


def draw_picture(dice: Dice, *, side_px: int, device: torch.device, kind: str | None = None) -> Tensor:
    """Draw one picture, (3, side, side) float32 in [0, 1]. kind: one of `KINDS`; None draws one.

    Grain, blur and uneven light come on top, so that edges and areas are not cleaner than a camera's.
    """
    line = (torch.arange(side_px, device=device) + 0.5) / side_px
    y, x = torch.meshgrid(line, line, indexing="ij")
    canvas = Canvas(side_px, device, dice, y, x)
    name = dice.one_of(tuple(KINDS)) if kind is None else kind
    picture = KINDS[name](canvas)
    if dice.chance(0.4):
        picture = picture * (0.8 + 0.4 * canvas.noise(cells=2, octaves=1))
    if dice.chance(0.3):
        picture = picture + dice.uniform(0, 0.06) * (canvas.noise(cells=side_px // 2, octaves=1, channels=3) - 0.5)
    if dice.chance(0.3):
        picture = functional.avg_pool2d(functional.pad(picture[None], (1, 1, 1, 1), mode="replicate"), 3, 1)[0]
    return picture.clamp(0, 1)
