"""Posters: the small pictures by which lists show videos.

A poster is made while the start image is decoded anyway, and travels inside the stored PNG as a chunk of its own: a
POST writes no further object. Readers of PNG skip a chunk that they do not know.
"""

from __future__ import annotations

import hashlib
import io
import struct
import zlib
from typing import NamedTuple

from PIL import Image, ImageOps

from farm.contract import JobPlan
from farm.jobs import Record

SIDE_PX = 320
MOST_BYTES = 24 * 1024
HEAD_BYTES = MOST_BYTES + 64  #: of a stored PNG: its signature, its header and the poster
_KIND = b"poSr"  #: ancillary, private, not safe to copy: an editor that changes the picture drops it
_AFTER = 8 + 25  #: a PNG's signature and its first chunk, IHDR
_QUALITIES = (80, 60, 30, 0)  #: of WebP; noise of 320x320 px takes 71, 58, 45 and 7 KB
_VERSION = 1  #: raise it when the same video gets another poster
_CARD = (128, 128, 128)  #: the colour with which a text-only video begins


class Poster(NamedTuple):
    """The poster, as a video object names it."""

    etag: str
    width: int  #: px
    height: int  #: px


def poster_of(record: Record) -> Poster:
    """Return the poster's facts without reading anything. The etag changes when the video is complete."""
    job, state = record.job, record.head.state
    width, height = _size(job.plan)
    begin = job.inputs.get("start") or job.inputs.get("source")
    shown = f"{job.id} {state.video}" if state.video is not None else begin.sha256 if begin else "card"
    text = f"{_VERSION} {width}x{height} {shown}"
    return Poster(hashlib.sha256(text.encode()).hexdigest()[:16], width, height)


def draw(picture: Image.Image, plan: JobPlan) -> bytes:
    """Return the picture as a poster: cut as the video is, WebP, at most MOST_BYTES."""
    small = ImageOps.fit(picture.convert("RGB"), _size(plan), Image.Resampling.LANCZOS)
    data = b""
    for quality in _QUALITIES:
        out = io.BytesIO()
        small.save(out, "WEBP", quality=quality)
        data = out.getvalue()
        if len(data) <= MOST_BYTES:
            break
    return data


def card(plan: JobPlan) -> bytes:
    """Return the plain poster of a video that begins without a picture."""
    return draw(Image.new("RGB", _size(plan), _CARD), plan)


def with_poster(png: bytes, poster: bytes) -> bytes:
    """Return the PNG with the poster inside."""
    chunk = struct.pack(">I", len(poster)) + _KIND + poster + struct.pack(">I", zlib.crc32(_KIND + poster))
    return png[:_AFTER] + chunk + png[_AFTER:]


def poster_in(head: bytes) -> bytes | None:
    """Return the poster in the first HEAD_BYTES of a stored PNG; None if it has none, or a damaged one."""
    length, kind = struct.unpack_from(">I4s", head, _AFTER) if len(head) >= _AFTER + 8 else (0, b"")
    body = head[_AFTER + 8 : _AFTER + 8 + length]
    crc = head[_AFTER + 8 + length : _AFTER + 12 + length]
    if kind != _KIND or crc != struct.pack(">I", zlib.crc32(_KIND + body)) or body[8:12] != b"WEBP":
        return None
    return body


def _size(plan: JobPlan) -> tuple[int, int]:
    """Return (width, height) of the video's poster in px."""
    scale = min(1.0, SIDE_PX / max(plan.width, plan.height))
    return max(round(plan.width * scale), 1), max(round(plan.height * scale), 1)
