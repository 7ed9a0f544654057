"""Stills: single frames of a video or a clip as PNG. Loads no torch."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import av
import numpy as np
from PIL import Image

from framepack_engine.errors import VideoMismatch
from framepack_engine.frames.video import frame_count, reading

_LONG_AGO = (1980, 1, 1, 0, 0, 0)  #: the earliest date of a zip: the same frames give the same bytes


def pictures(path: Path, numbers: Sequence[int]) -> Iterator[Image.Image]:
    """Yield the frames with these rising numbers as RGB. Raises: VideoMismatch if the video is shorter."""
    waiting = list(numbers)
    with reading(path), av.open(str(path)) as container:
        for number, frame in enumerate(container.decode(video=0)):
            if number == waiting[0]:
                yield frame.to_image()
                waiting.pop(0)
            if not waiting:
                return
    raise VideoMismatch(f"{Path(path).name} ends before frame {waiting[0]}")


def thumbnail_png(path: Path, *, side_px: int = 480) -> bytes:
    """Return the video's first frame as a PNG; its longer side is at most `side_px`. Raises: VideoMismatch."""
    return _png(next(pictures(path, [0])), side_px)


def spritesheet_png(path: Path, *, columns: int = 4, rows: int = 4, side_px: int = 160) -> bytes:
    """Return frames spread evenly over the video, first and last included, as one PNG grid, row by row.

    A video with fewer frames than places fills as many as it has. Keeps the grid and one frame in memory.
    Raises: VideoMismatch.
    """
    count = frame_count(path)
    places = min(columns * rows, count)
    wanted = [round(i * (count - 1) / max(places - 1, 1)) for i in range(places)]
    sheet: Image.Image | None = None
    for place, picture in enumerate(pictures(path, wanted)):
        picture.thumbnail((side_px, side_px))
        if sheet is None:
            used = min(columns, places)
            sheet = Image.new("RGB", (used * picture.width, -(-places // used) * picture.height))
        sheet.paste(picture, (place % columns * picture.width, place // columns * picture.height))
    if sheet is None:
        raise VideoMismatch(f"{Path(path).name} holds no frame")
    return _png(sheet, max(sheet.size))


def border_frames(first: int, count: int, *, total: int, window: int) -> list[int]:
    """Return which of the frames [first, first + count) end a section, or are the video's start image.

    total: frames of the whole video. A section has 4 · window frames; the last one ends with the video.
    """
    return [number for number in range(first, first + count) if (total - 1 - number) % (4 * window) == 0]


def stills_zip(frames: Any, numbers: Sequence[int], *, first: int) -> bytes:
    """Pack some frames of a clip as PNG files into a zip, named by their number in the video: 000042.png.

    frames: (T, H, W, 3) uint8. numbers: of the frames to pack. first: the number of frames[0].
    """
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        for number in numbers:
            picture = io.BytesIO()
            Image.fromarray(np.asarray(frames[number - first])).save(picture, "PNG")
            archive.writestr(zipfile.ZipInfo(f"{number:06}.png", _LONG_AGO), picture.getvalue())
    return file.getvalue()


def _png(image: Image.Image, side_px: int) -> bytes:
    image.thumbnail((side_px, side_px))
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()
