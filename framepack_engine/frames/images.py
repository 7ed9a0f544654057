"""Pictures as the engine needs them: upright, RGB, cut to the video's size. Only `pixels` loads torch."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageOps

from framepack_engine.errors import BadImage

if TYPE_CHECKING:
    from torch import Tensor

WHITE = (255, 255, 255, 255)
DEEP_GREY = frozenset({"I;16", "I;16L", "I;16B", "I;16N", "I"})  #: 16 bits a pixel; Pillow would clip them at 255


def upright_rgb(image: Image.Image) -> Image.Image:
    """Turn any picture into 8-bit RGB as people see it: rotated by its EXIF tag, transparency over white.

    16-bit grey keeps its upper 8 bits; an animation gives its current frame. `image` is left unchanged.
    Raises: BadImage for damaged data, or a mode without a defined brightness (floating point).
    """
    if image.mode == "F":
        raise BadImage("a floating-point picture (mode F) has no defined white; convert it to 8 or 16 bits", mode="F")
    try:
        turned = ImageOps.exif_transpose(image)
        if turned.mode in DEEP_GREY:
            levels = np.asarray(turned)  # 16 or 32 bits, not widened: a copy of 64 million pixels takes half a GiB
            turned = Image.fromarray((levels.clip(0, 65535) >> 8).astype(np.uint8))
        if turned.has_transparency_data:
            shown = turned.convert("RGBA")
            return Image.alpha_composite(Image.new("RGBA", shown.size, WHITE), shown).convert("RGB")
        return turned.convert("RGB")
    except (OSError, SyntaxError, ValueError) as err:
        raise BadImage(f"a {image.format or 'picture'} in mode {image.mode} cannot be read: {err}") from err


def fit(image: Image.Image, *, height: int, width: int) -> Image.Image:
    """Scale `image` by LANCZOS until it covers height x width (px), then cut out the centre.

    Returns: an RGB picture of exactly that size; a picture of that size is not resampled.
    Source: lllyasviel/FramePack diffusers_helper/utils.py (resize_and_center_crop).
    """
    rgb = upright_rgb(image)
    if rgb.size == (width, height):
        return rgb
    scale = max(width / rgb.width, height / rgb.height)
    covering = rgb.resize((round(rgb.width * scale), round(rgb.height * scale)), Image.Resampling.LANCZOS)
    left, top = round((covering.width - width) / 2), round((covering.height - height) / 2)
    return covering.crop((left, top, left + width, top + height))


def pixels(image: Image.Image) -> Tensor:
    """Turn `image` (RGB) into the VAE's input: (1, 3, 1, H, W) float32 in [-1, 1]."""
    import torch

    levels = torch.from_numpy(np.array(image, dtype=np.uint8))
    return (levels.float() / 127.5 - 1).permute(2, 0, 1)[None, :, None]
