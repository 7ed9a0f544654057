"""Clips that are made, not fetched: a still picture, a known motion, and words that ask for it.

Clip n of a seed is the same on every machine of one device kind; nothing is stored, and nothing is read but the photos.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from framepack_engine.planning.sections import FPS
from lab.training.data.motions import Motion, light, moved, throw_motion
from lab.training.data.photos import photos
from lab.training.data.pictures import Dice, draw_picture
from lab.training.data.prompts import prompt_for

_ROOM = 1.8  #: a canvas is so many times as wide as the view, so that a moving view finds something
_PHOTO_SHARE = 0.45  #: of all clips


@dataclass(frozen=True, slots=True)
class Clip:
    """Frames (3, T, H, W) float32 in [-1, 1] on the device, the motion that made them, a prompt that asks for it."""

    frames: Tensor
    motion: Motion
    prompt: str


class ClipMaker:
    """Makes clips. Use it from one thread at a time."""

    def __init__(self, *, seed: int, device: str | torch.device = "cpu", photo_share: float = _PHOTO_SHARE) -> None:
        """photo_share: the share of clips from photographs; the rest is drawn. 0 needs no photo packages."""
        self._seed, self._device, self._photo_share = seed, torch.device(device), photo_share

    def clip(
        self, index: int, *, height: int, width: int, frames: int, motion: str | None = None, every: int = 1
    ) -> Clip:
        """Clip number `index`, height x width px.

        motion: of this kind; None throws for it. every: only each so many-th moment is made, 1/30 s x `every` apart.
        """
        dice = Dice(self._seed, index)
        chosen = throw_motion(dice, motion)
        prompt = prompt_for(chosen, dice)
        side = round(_ROOM * max(height, width))
        picture = self._picture(dice, side)
        times_s = torch.arange(frames, device=self._device) * (every / FPS)
        made = self._look(picture, chosen, times_s, height=height, width=width)
        if chosen.kind.startswith("parallax"):
            made = self._before(dice, side, chosen, times_s, made)
        made = made * light(chosen, times_s)[:, None, None, None]
        return Clip(made.clamp(0, 1).mul(2).sub(1).transpose(0, 1).contiguous(), chosen, prompt)

    def _picture(self, dice: Dice, side: int) -> Tensor:
        if dice.chance(self._photo_share):
            return self._photo(dice, side)
        return draw_picture(dice, side_px=side, device=self._device)

    def _photo(self, dice: Dice, side: int) -> Tensor:
        """Cut a random square from a photo, scale and perhaps mirror it, and shift its colours."""
        photo = dice.one_of(photos())
        short = min(photo.shape[1:])
        cut = min(max(round(short * dice.uniform(0.25, 1.0)), min(side // 2, short)), short)
        top, left = dice.whole(0, photo.shape[1] - cut), dice.whole(0, photo.shape[2] - cut)
        piece = photo[:, top : top + cut, left : left + cut].to(self._device).float()[None] / 255
        picture = functional.interpolate(piece, (side, side), mode="bilinear", antialias=True, align_corners=False)[0]
        if dice.chance(0.5):
            picture = picture.flip(2)
        gains = dice.many(3, low=0.8, high=1.2).to(self._device)[:, None, None]
        return (picture.clamp(1e-4, 1) ** dice.uniform(0.7, 1.4) * gains).clamp(0, 1)

    def _look(
        self, picture: Tensor, motion: Motion, times_s: Tensor, *, height: int, width: int, depth: float = 0.5
    ) -> Tensor:
        """Return the view of a canvas (C, side, side) at each time, (T, C, H, W)."""
        longer, side = max(height, width), picture.shape[-1]
        y = (torch.arange(height, device=self._device) + 0.5 - height / 2) / longer
        x = (torch.arange(width, device=self._device) + 0.5 - width / 2) / longer
        points = torch.stack(torch.meshgrid(x, y, indexing="xy"), dim=-1)
        grid = moved(motion, points, times_s, depth=depth) * (2 * longer / side)
        stack = picture[None].expand(len(times_s), *picture.shape)
        return functional.grid_sample(stack, grid, mode="bicubic", padding_mode="reflection", align_corners=False)

    def _before(self, dice: Dice, side: int, motion: Motion, times_s: Tensor, behind: Tensor) -> Tensor:
        """Put a nearer layer, which moves further, in front of the frames `behind`."""
        layer = draw_picture(dice, side_px=side, device=self._device)
        field = functional.interpolate(
            dice.many(1, 1, 6, 6).to(self._device), (side, side), mode="bicubic", align_corners=True
        )[0]
        mask = ((field - 0.58) * side * 0.15 + 0.5).clamp(0, 1)
        height, width = behind.shape[-2:]
        front = self._look(torch.cat([layer, mask]), motion, times_s, height=height, width=width, depth=1.0)
        cover = front[:, 3:].clamp(0, 1)
        return behind + (front[:, :3] - behind) * cover
