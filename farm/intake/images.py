"""Images that users send: looked at with suspicion here, brought upright by the engine, and kept as plain PNG."""

from __future__ import annotations

import io
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

from PIL import Image

from farm.errors import TooLarge, Unavailable, UnsupportedImage

#: what cameras and browsers make; no format that reads other files or runs a language (TIFF, EPS, PDF …)
_FORMATS = ("JPEG", "PNG", "WEBP", "AVIF", "GIF", "BMP")
_MIN_SIDE_PX = 32
#: how files begin that people send and that are not taken, so that the answer can name them
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
    """So many pixels may be decoded at once in this process; whoever comes when there is no room waits."""

    def __init__(self, *, wait_s: float = 20.0) -> None:
        """`wait_s`: how long, before the caller hears that there is none."""
        self._wait_s, self._taken, self._changed = wait_s, 0, threading.Condition()

    @contextmanager
    def taken(self, pixels: int, *, of: int) -> Iterator[None]:
        """Room for `pixels` where no more than `of` are decoded at once. Raises: Unavailable."""
        with self._changed:
            if not self._changed.wait_for(lambda: not self._taken or self._taken + pixels <= of, self._wait_s):
                raise Unavailable("many large pictures came at once; ask again, or send a smaller one")
            self._taken += pixels
        try:
            yield
        finally:
            with self._changed:
                self._taken -= pixels
                self._changed.notify_all()


#: of this process. A file of 34 KB may hold 64 million pixels, which take 0.8 to 1.7 GiB while they are decoded
_ROOM = Room()


class CleanImage(NamedTuple):
    """An upright RGB picture without metadata."""

    png: bytes
    height: int  #: px
    width: int  #: px


def clean_image(
    data: bytes, *, max_pixels: int, upright_rgb: Callable[[Image.Image], Image.Image], name: str = "image"
) -> CleanImage:
    """Decode `data` once and encode it again as PNG, without its metadata. Of an animation the first picture is taken.

    upright_rgb: how pixels are brought to 8-bit RGB (Media). name: the request's part, for the message.
    No more than `max_pixels` are decoded at once in this process, however many images come.
    Raises: TooLarge for more than `max_pixels`, seen before decoding; UnsupportedImage for what is no image (a format
    that is not taken is named), a truncated one, or a side under 32 px; Unavailable where others are decoded for long.
    """
    image = _open(data, name=name)
    width, height = image.size
    if width * height > max_pixels:
        raise _too_large(name, f"{width}x{height} px", max_pixels)
    if min(width, height) < _MIN_SIDE_PX:
        raise UnsupportedImage(
            f"{name} is {width}x{height} px; each side must have at least {_MIN_SIDE_PX}", param=name
        )
    with _ROOM.taken(width * height, of=max_pixels):
        try:
            upright = upright_rgb(image)
        except Exception as err:  # border: a decoder of foreign bytes raises whatever it meets
            raise UnsupportedImage(f"{name} is a damaged or truncated {image.format} file: {err}", param=name) from err
        finally:
            image.close()
        out = io.BytesIO()
        upright.info.clear()  # else the ICC profile and comments go into the PNG
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
        found = next((kind for kind, head in _OTHERS.items() if re.match(head, data[:500], re.DOTALL)), None)
        what = "no image that can be read" if found is None else f"a {found} file, which is not taken"
        raise UnsupportedImage(f"{name} is {what}; send one of {', '.join(known)}", param=name) from err


def _too_large(name: str, found: str, max_pixels: int | None) -> TooLarge:
    limit = "the limit" if max_pixels is None else f"the limit of {max_pixels:,} px"
    return TooLarge(f"{name} has {found}, over {limit} (FARM_MAX_PIXELS); send a smaller picture", param=name)
