"""Pictures as the engine needs them: upright, RGB, cut to the video's size. Only `pixels` loads torch."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from PIL import Image

from framepack_engine.errors import BadImage

if TYPE_CHECKING:
    from torch import Tensor

Picture: TypeAlias = "str | os.PathLike[str] | Image.Image | np.ndarray[Any, np.dtype[np.uint8]]"

WHITE = (255, 255, 255, 255)
_WHITE_LEVEL = 255
_ORIENTATION = 0x0112  #: EXIF's tag
_TURNS: Mapping[Any, Image.Transpose] = {  #: its values, and what undoes them
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_TURNED_BY = ("exif", "Raw profile type exif", "XML:com.adobe.xmp", "xmp")  #: where Pillow finds the tag
DEEP_GREY = frozenset({"I;16", "I;16L", "I;16B", "I;16N", "I"})  #: 16 bits a pixel; Pillow would clip them at 255


def opened(image: Picture) -> Image.Image:
    """Return a picture of a path, a PIL picture or an array: height x width x 3, uint8, RGB.

    Raises: BadImage, which names the file and what is wrong.
    """
    if isinstance(image, Image.Image):
        return image
    if isinstance(image, np.ndarray):
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
            raise BadImage(f"an array of {image.dtype} {image.shape}: need uint8 of (height, width, 3), RGB")
        return Image.fromarray(image)
    try:
        name = os.fspath(image)
    except TypeError as err:
        raise BadImage(f"{type(image).__name__} is no picture: need a path, a PIL picture, or an array") from err
    try:
        with Image.open(name) as file:
            file.load()
            return file.copy() if getattr(file, "n_frames", 1) > 1 else file
    except FileNotFoundError as err:
        raise BadImage(f"there is no file {name!r}") from err
    except (OSError, SyntaxError, ValueError) as err:
        raise BadImage(f"{name!r} cannot be read as a picture: {err}") from err


def upright_rgb(image: Image.Image) -> Image.Image:
    """Turn any picture into 8-bit RGB as people see it: rotated by its EXIF tag, transparency over white.

    16-bit grey keeps its upper 8 bits; an animation gives its current frame. Damaged EXIF turns nothing. `image` is
    left unchanged.
    Raises: BadImage for damaged data, or a mode without a defined brightness (floating point).
    """
    if image.mode == "F":
        raise BadImage("a floating-point picture (mode F) has no defined white; convert it to 8 or 16 bits", mode="F")
    try:
        image.load()
        turn = _turn_of(image)
        turned = image if turn is None else image.transpose(turn)
        for key in () if turn is None else _TURNED_BY:
            turned.info.pop(key, None)
        if turned.mode in DEEP_GREY:
            levels = np.asarray(turned)  # 16 or 32 bits, not widened: a copy of 64 million pixels takes half a GiB
            clear = image.info.get("transparency")
            turned = Image.fromarray((levels.clip(0, 65535) >> 8).astype(np.uint8))
            if isinstance(clear, int):  # one level of the 65536 is transparent
                turned.paste(_WHITE_LEVEL, mask=Image.fromarray(levels == clear))
        if turned.has_transparency_data:
            shown = turned.convert("RGBA")
            return Image.alpha_composite(Image.new("RGBA", shown.size, WHITE), shown).convert("RGB")
        return turned.convert("RGB")
    except (OSError, SyntaxError, ValueError) as err:
        raise BadImage(f"a {image.format or 'picture'} in mode {image.mode} cannot be read: {err}") from err


def _turn_of(image: Image.Image) -> Image.Transpose | None:
    """Return how EXIF turns the picture. Some programs write EXIF that cannot be read; it turns nothing."""
    try:
        return _TURNS.get(image.getexif().get(_ORIENTATION))
    except Exception:  # noqa: BLE001 - border: on foreign bytes, Pillow's reader raises many types
        return None


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
