"""Images that users send. The farm distrusts them: it decodes each once, with limits, and keeps a plain PNG."""

from __future__ import annotations

import io
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

from PIL import Image

from farm.errors import TooLarge, Unavailable, UnsupportedImage
from farm.intake.repair import end_marked, picture_only

#: formats that cameras and browsers write, but none that reads other files or runs programs (TIFF, EPS, PDF …)
_FORMATS = ("JPEG", "PNG", "WEBP", "AVIF", "GIF", "BMP")
MIN_SIDE_PX = 32
SMALL_PX = 640
#: how the files of other formats begin, so that an error can name the format
_OTHERS = {
    "TIFF": rb"II\*\0|MM\0\*|II\+\0|MM\0\+",
    "HEIC": rb".{4}ftyp(?:hei[cmsx]|hev[cm]|mif1|msf1)",
    "JPEG XL": rb"\xff\x0a|\0\0\0\x0cJXL ",
    "JPEG 2000": rb"\0\0\0\x0cjP  |\xff\x4f\xff\x51",
    "Photoshop": rb"8BPS",
    "PDF": rb"%PDF",
    "PostScript": rb"%!PS",
    "SVG": rb"\s*(?:<\?xml.{0,400})?<svg",
    "OpenEXR": rb"\x76\x2f\x31\x01",
    "icon": rb"\0\0[\x01\x02]\0",
    "mp4 video": rb".{4}ftyp(?!avi[fs])",
    "WebM or Matroska video": rb"\x1a\x45\xdf\xa3",
}


class Room:
    """A limit on the pixels that this process decodes at once. Images beyond the limit wait."""

    def __init__(self, *, wait_s: float = 20.0) -> None:
        """wait_s: how long an image waits before it is refused."""
        self._wait_s, self._taken, self._changed = wait_s, 0, threading.Condition()

    @contextmanager
    def taken(self, pixels: int, *, of: int) -> Iterator[None]:
        """Reserve room for `pixels`, of the `of` pixels that may be decoded at once. Raises: Unavailable."""
        with self._changed:
            if not self._changed.wait_for(lambda: not self._taken or self._taken + pixels <= of, self._wait_s):
                raise Unavailable("the farm is decoding many large images; ask again, or send a smaller image")
            self._taken += pixels
        try:
            yield
        finally:
            with self._changed:
                self._taken -= pixels
                self._changed.notify_all()


#: this process's. A file of 34 KB may hold 64 million pixels, and decoding them takes 0.8 to 1.7 GiB
_ROOM = Room()


class CleanImage(NamedTuple):
    """An upright RGB picture without metadata."""

    png: bytes
    height: int  #: px
    width: int  #: px
    small: Image.Image  #: the same with sides of at most SMALL_PX
    media_type: str  #: of the file that was sent


def clean_image(
    data: bytes, *, max_pixels: int, upright_rgb: Callable[[Image.Image], Image.Image], name: str = "image"
) -> CleanImage:
    """Decode `data` once and encode it as PNG, without its metadata. Of an animation, take the first picture.

    max_pixels: also the limit for all images that this process decodes at once. upright_rgb: converts pixels to 8-bit
    RGB (Media). name: the request's part, for the message.
    Raises: TooLarge for more than `max_pixels`, before decoding; UnsupportedImage for an unreadable or truncated file,
    or a side under 32 px; Unavailable if other images take too long.
    """
    image = _open_small(data, max_pixels=max_pixels, name=name)
    width, height = image.size
    if min(width, height) < MIN_SIDE_PX:
        raise UnsupportedImage(f"{name} is {width}x{height} px; each side needs at least {MIN_SIDE_PX} px", param=name)
    with _ROOM.taken(width * height, of=max_pixels):
        try:
            upright = _upright(image, data, upright_rgb)
        except Exception as err:  # border: on foreign bytes, a decoder may raise anything
            raise UnsupportedImage(f"{name} is a damaged or truncated {image.format} file: {err}", param=name) from err
        finally:
            image.close()
        out = io.BytesIO()
        upright.info.clear()  # or else the ICC profile and comments would go into the PNG
        upright.save(out, "PNG", compress_level=1)  # level 6 takes four times as long for a tenth less
        small = _shrunk(upright)
    return CleanImage(out.getvalue(), upright.height, upright.width, small, _media_type(image))


def pixels_of(data: bytes, *, max_pixels: int, name: str) -> int:
    """Return how many pixels a picture has, without decoding it. Raises: TooLarge, UnsupportedImage."""
    with _open_small(data, max_pixels=max_pixels, name=name) as image:
        return image.width * image.height


def formats() -> list[str]:
    """Return the media types of the pictures that this process reads."""
    Image.init()
    return [Image.MIME[name] for name in _FORMATS if name in Image.OPEN]  # Pillow may be built without AVIF or WebP


def small_image(png: bytes, *, max_pixels: int) -> Image.Image:
    """Decode a PNG that the farm stored, and return it with sides of at most SMALL_PX.

    Raises: Unavailable if other images take too long; any error for a damaged file.
    """
    with Image.open(io.BytesIO(png), formats=["PNG"]) as image, _ROOM.taken(image.width * image.height, of=max_pixels):
        return _shrunk(image.convert("RGB"))


def _media_type(image: Image.Image) -> str:
    kind = "JPEG" if image.format == "MPO" else str(image.format)  # a JPEG file with further pictures behind the first
    return Image.MIME[kind]


def _shrunk(image: Image.Image) -> Image.Image:
    scale = SMALL_PX / max(image.size)
    if scale >= 1:
        return image
    size = max(round(image.width * scale), 1), max(round(image.height * scale), 1)
    return image.resize(size, Image.Resampling.LANCZOS, reducing_gap=2.0)


def _upright(image: Image.Image, data: bytes, upright_rgb: Callable[[Image.Image], Image.Image]) -> Image.Image:
    """Decode `image`, the file `data`. Viewers show a JPEG that lacks only its end marker, so the farm takes it."""
    try:
        return upright_rgb(image)
    except Exception:
        whole = end_marked(data)
        if whole is None:
            raise
        with Image.open(io.BytesIO(whole), formats=["JPEG"]) as ended:
            return upright_rgb(ended)


def _open_small(data: bytes, *, max_pixels: int, name: str) -> Image.Image:
    """Open an image of at most `max_pixels`."""
    image = _open(picture_only(data), name=name)
    width, height = image.size
    if width * height > max_pixels:
        raise _too_large(name, f"{width}x{height} px", max_pixels)
    return image


def _open(data: bytes, *, name: str) -> Image.Image:
    """Open the image; this reads only its header."""
    Image.init()
    known = [name for name in _FORMATS if name in Image.OPEN]  # Pillow may be built without AVIF or WebP
    try:
        return Image.open(io.BytesIO(data), formats=known)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as err:
        raise _too_large(name, "far too many pixels", None) from err
    except Exception as err:  # border: as in clean_image
        found = next((kind for kind, head in _OTHERS.items() if re.match(head, data[:500], re.DOTALL)), None)
        what = "not a readable image" if found is None else f"a {found} file, which this farm does not accept"
        raise UnsupportedImage(f"{name} is {what}; send one of {', '.join(known)}", param=name) from err


def _too_large(name: str, found: str, max_pixels: int | None) -> TooLarge:
    limit = "the limit" if max_pixels is None else f"the limit of {max_pixels:,} px"
    return TooLarge(f"{name} has {found}, over {limit} (FARM_MAX_PIXELS); send a smaller image", param=name)
