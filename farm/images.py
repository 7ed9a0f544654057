"""Images that users send: looked at with suspicion, turned upright, and kept as plain PNG."""

from __future__ import annotations

import io
from typing import NamedTuple

from PIL import Image, ImageOps

from farm.errors import TooLarge, UnsupportedImage

#: what cameras and browsers make; no format that reads other files or runs a language (TIFF, EPS, PDF …)
_FORMATS = ("JPEG", "PNG", "WEBP", "AVIF", "GIF", "BMP")
_MIN_SIDE_PX = 32


class CleanImage(NamedTuple):
    """An upright RGB picture without metadata."""

    png: bytes
    height: int  #: px
    width: int  #: px


def clean_image(data: bytes, *, max_pixels: int, name: str = "image") -> CleanImage:
    """Decode `data` once and encode it again as PNG: EXIF turns applied, alpha laid over white, metadata dropped.

    Raises: TooLarge for more than `max_pixels`, seen before decoding; UnsupportedImage for what is no image, a
    truncated one, or a side under 32 px. `name` is the request's part, for the message.
    """
    image = _open(data, name=name)
    width, height = image.size
    if width * height > max_pixels:
        raise _too_large(name, f"{width}x{height} px", max_pixels)
    if min(width, height) < _MIN_SIDE_PX:
        raise UnsupportedImage(
            f"{name} is {width}x{height} px; each side must have at least {_MIN_SIDE_PX}", param=name
        )
    try:
        upright = _rgb(ImageOps.exif_transpose(image))
    except Exception as err:  # border: a decoder of foreign bytes raises whatever it meets
        raise UnsupportedImage(f"{name} is a damaged or truncated {image.format} file: {err}", param=name) from err
    out = io.BytesIO()
    upright.save(out, "PNG", compress_level=1)  # level 6 takes four times as long for a tenth less
    return CleanImage(out.getvalue(), upright.height, upright.width)


def _open(data: bytes, *, name: str) -> Image.Image:
    """Read the header only."""
    Image.init()
    known = [name for name in _FORMATS if name in Image.OPEN]  # a Pillow may be built without AVIF or WebP
    try:
        return Image.open(io.BytesIO(data), formats=known)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as err:
        raise _too_large(name, "far too many pixels", None) from err
    except Exception as err:  # border: as in clean_image
        raise UnsupportedImage(
            f"{name} is no image that can be read; send one of {', '.join(known)}", param=name
        ) from err


def _rgb(image: Image.Image) -> Image.Image:
    """`image` in 8 bits a channel, its transparent parts white."""
    if image.mode.startswith("I") or image.mode == "F":  # Pillow would clip 16 bits, not scale them
        image = image.convert("F").point(lambda level: level / 257).convert("L")
    if "A" in image.mode or "a" in image.mode or "transparency" in image.info:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image)
    image = image.convert("RGB")
    image.info.clear()  # else the ICC profile and comments go into the PNG
    return image


def _too_large(name: str, found: str, max_pixels: int | None) -> TooLarge:
    limit = "the limit" if max_pixels is None else f"the limit of {max_pixels:,} px"
    return TooLarge(f"{name} has {found}, over {limit} (FARM_MAX_PIXELS); send a smaller picture", param=name)
