"""Single frames of a video as PNG files, zipped clip by clip as they become final. Loads no torch."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image

from framepack_engine.plan import Kind, time_order

_LONG_AGO = (1980, 1, 1, 0, 0, 0)  #: a zip's earliest date: the same frames give the same bytes


def first_frame(kind: Kind, final_frames: Sequence[int], index: int) -> int:
    """The number, in the whole video, of the first frame that section `index` makes final; the video's first is 0."""
    order = time_order(kind, len(final_frames))
    return sum(final_frames[k] for k in order[: order.index(index)]) if index in order else 0


def border_frames(first: int, count: int, *, total: int, window: int) -> list[int]:
    """Which of the frames [first, first + count) are the last of a section, or the video's start image.

    total: frames of the whole video. Sections are 4 · window frames long and end with the video's end.
    """
    return [number for number in range(first, first + count) if (total - 1 - number) % (4 * window) == 0]


def stills_zip(frames: Any, numbers: Sequence[int], *, first: int) -> bytes:
    """Some frames of a clip as a zip of PNG files, named by their number in the video: 000042.png.

    frames: (T, H, W, 3) uint8. numbers: of the wanted ones; first: of frames[0].
    """
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        for number in numbers:
            picture = io.BytesIO()
            Image.fromarray(np.asarray(frames[number - first])).save(picture, "PNG")
            archive.writestr(zipfile.ZipInfo(f"{number:06}.png", _LONG_AGO), picture.getvalue())
    return file.getvalue()
