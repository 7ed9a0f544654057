"""Show the skill of a trained model on photos that it has never seen: figures, clips and one sheet of pictures.

`framefarm bench pocket` prints it. Nothing here knows which model it is: goals are docs/explanation/pocket.md's.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional

from framepack_engine.frames.decode import to_uint8
from framepack_engine.frames.images import fit, pixels
from framepack_engine.frames.video import encode_clip
from framepack_engine.pipeline import Renderer
from framepack_engine.planning.buckets import nearest_bucket
from framepack_engine.planning.sections import FPS, time_order
from framepack_engine.planning.spec import RenderSpec
from lab.training.data.motions import MEASURED, Motion
from lab.training.data.pictures import Dice
from lab.training.data.prompts import prompt_for
from lab.training.evaluate.motion_meter import measured_motion

_SEED = 31337
_STILL = "Nothing moves."
_QUICK_PAN = 0.15  #: widths a second: nearly three times the fastest that the transformer is trained on
_FRAMES_CODED = 17  #: of the clip that the autoencoder is tried on, beside single pictures


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """The tasks for a model. photos: files, by name. out: folder for the clips.

    sections: of each motion's video; 2 are the 2 seconds of the goal.
    """

    photos: Mapping[str, Path]
    resolution: int
    out: Path
    steps: int = 25
    window: int = 9
    sections: int = 2
    motions: Sequence[str] = MEASURED
    true_cfg_scale: float = 1.0

    def picture(self, name: str) -> Image.Image:
        """Return a photo, cut to its bucket."""
        with Image.open(self.photos[name]) as image:
            height, width = nearest_bucket(image.height, image.width, self.resolution)
            return fit(image, height=height, width=width)

    def spec(self, kind: Any, picture: Image.Image, prompt: str, *, sections: int | None = None) -> RenderSpec:
        """Return the specification of a video of this picture."""
        return RenderSpec(
            kind=kind,
            sections=sections or self.sections,
            height=picture.height,
            width=picture.width,
            seed=_SEED,
            prompt=prompt,
            latent_window_size=self.window,
            num_inference_steps=self.steps,
            true_cfg_scale=self.true_cfg_scale,
        )


@dataclass(frozen=True, slots=True)
class Made:
    """One video of a bench: a row for the table, and its frames (T, H, W, 3) uint8."""

    row: dict[str, Any]
    frames: Tensor


def psnr(one: Tensor, other: Tensor) -> float:
    """Return the PSNR of two uint8 pictures of one shape, in dB; 99 if they are equal."""
    error = float(((one.double() - other.double()) ** 2).mean())
    return 99.0 if error == 0 else float(10 * torch.log10(torch.tensor(255**2 / error)))


def still(picture: Image.Image) -> Tensor:
    """Return a picture as a frame, (H, W, 3) uint8."""
    return to_uint8(pixels(picture))[0]


def rendered(renderer: Renderer, spec: RenderSpec, images: Mapping[str, Image.Image]) -> Tensor:
    """Render all frames of a video, in time order: (T, H, W, 3) uint8."""
    conditioning = renderer.encode(spec, images)
    clips = dict(renderer.clips(spec, conditioning))
    return torch.cat([clips[index] for index in time_order(spec.kind, spec.sections)])


@torch.no_grad()
def reconstruction(vae: Any, bench: Bench) -> Iterator[Made]:
    """Pass each photo through the autoencoder, as a still and as a clip that pans over it."""
    vae.use_framewise_encoding = vae.use_framewise_decoding = True
    vae.use_tiling = False
    for name in bench.photos:
        picture = bench.picture(name)
        one, clip = pixels(picture), panned(picture, frames=_FRAMES_CODED)
        again, clip_again = (_through(vae, frames) for frames in (one, clip))
        yield Made(
            {
                "photo": name,
                "psnr_picture": round(psnr(to_uint8(one), again), 2),
                "psnr_clip": round(psnr(to_uint8(clip), clip_again), 2),
            },
            torch.cat([to_uint8(one), again, to_uint8(clip)[-1:], clip_again[-1:]]),
        )


def _through(vae: Any, frames: Tensor) -> Tensor:
    latents = vae.encode(frames.to(vae.device, vae.dtype)).latent_dist.mean
    return to_uint8(vae.decode(latents).sample.float().cpu())


def panned(picture: Image.Image, *, frames: int) -> Tensor:
    """(1, 3, T, H, W) in [-1, 1]: the picture, enlarged by a quarter, under a quick pan from left to right."""
    still_picture = pixels(picture)[:, :, 0]
    height, width = still_picture.shape[-2:]
    large = functional.interpolate(still_picture, scale_factor=1.25, mode="bilinear", antialias=True)
    top, room = (large.shape[-2] - height) // 2, large.shape[-1] - width
    lefts = [min(round(_QUICK_PAN * width * i / FPS), room) for i in range(frames)]
    return torch.stack([large[..., top : top + height, left : left + width] for left in lefts], dim=2).clamp(-1, 1)


def motions_followed(renderer: Renderer, bench: Bench, *, kind: str, say: Callable[[str], None]) -> Iterator[Made]:
    """Render each motion of each photo, with a wording that was not trained with."""
    for name in bench.photos:
        picture = bench.picture(name)
        for number, motion in enumerate(bench.motions):
            prompt = prompt_for(Motion(motion, 0.0, 0.5), Dice(_SEED, number), test=True)
            begun = time.monotonic()
            frames = rendered(renderer, bench.spec(kind, picture, prompt), {"start": picture})
            moved = measured_motion(frames)
            row = {
                "photo": name,
                "kind": kind,
                "asked": motion,
                "found": moved.name,
                "right": moved.name == motion,
                "psnr_first": round(psnr(frames[0], still(picture)), 2),
                "s": round(time.monotonic() - begun, 1),
                "prompt": prompt,
            }
            say(f"{name}, {kind}: {prompt} -> {moved.name}")
            yield Made(row, _kept(bench, f"{name}-{motion}-{kind}", frames))


def end_reached(renderer: Renderer, bench: Bench) -> Iterator[Made]:
    """i2v with an end image, the photo mirrored: how near the first frame is to the start, and the last to either."""
    for name in bench.photos:
        picture = bench.picture(name)
        end = picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        frames = rendered(renderer, bench.spec("i2v", picture, _STILL), {"start": picture, "end": end})
        row = {
            "photo": name,
            "psnr_first": round(psnr(frames[0], still(picture)), 2),
            "psnr_last_to_end": round(psnr(frames[-1], still(end)), 2),
            "psnr_last_to_start": round(psnr(frames[-1], still(picture)), 2),
            "psnr_start_to_end": round(psnr(still(picture), still(end)), 2),
        }
        yield Made(row, _kept(bench, f"{name}-end", frames))


def drift(renderer: Renderer, bench: Bench, *, kind: str, sections: int = 10) -> Iterator[Made]:
    """A long video of the first photo, in which nothing is to move: what is left of the start image, by section.

    colour: mean distance of the channels' means, of 255. sharp: edges beside the start image's, 1 as sharp.
    """
    name = next(iter(bench.photos))
    picture = bench.picture(name)
    start = still(picture)
    frames = rendered(renderer, bench.spec(kind, picture, _STILL, sections=sections), {"start": picture})
    _kept(bench, f"{name}-drift-{kind}", frames)
    for number in range(sections):
        stretch = frames[1 + number * 4 * bench.window : 1 + (number + 1) * 4 * bench.window]
        last = stretch[-1]
        row = {
            "kind": kind,
            "section": number + 1,
            "psnr_to_start": round(psnr(last, start), 2),
            "colour": round(float((last.float().mean((0, 1)) - start.float().mean((0, 1))).abs().mean()), 2),
            "sharp": round(_edges(last) / max(_edges(start), 1e-6), 3),
        }
        yield Made(row, last[None])


def _edges(frame: Tensor) -> float:
    grey = frame.float().mean(-1)
    return float(grey.diff(dim=0).abs().mean() + grey.diff(dim=1).abs().mean())


def _kept(bench: Bench, name: str, frames: Tensor) -> Tensor:
    bench.out.mkdir(parents=True, exist_ok=True)
    encode_clip(frames.numpy(), bench.out / f"{name}.mp4", crf=16)
    return frames
