"""Videos side by side, and one video, as an animated WebP."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageDraw
from torch import Tensor

from framepack_engine.frames.stills import pictures
from framepack_engine.frames.video import frame_count
from framepack_engine.planning.sections import FPS

LARGEST_BYTES = 2_000_000
_MOVING_PX = 128
_LABEL_PX = 16
_GAP_PX = 2
_EVERY = 2  #: frames from one that is shown to the next
_RESAMPLING = Image.Resampling.LANCZOS
_QUALITIES = (85, 70, 55, 40, 25)  #: of WebP; the first that is small enough


def moving_sheet(path: Path, rows: Sequence[tuple[str, Sequence[Tensor]]]) -> None:
    """Write a looping WebP of at most 2 MB, if the lowest quality is small enough.

    rows: captions, and videos of frames (T, H, W, 3) uint8, of any sizes; all end with the shortest.
    """
    count = min(len(frames) for _, videos in rows for frames in videos)
    _save(path, [_picture(rows, number) for number in range(0, count, _EVERY)])


def moving_picture(video: Path, path: Path) -> None:
    """Write an mp4 as such a WebP: every second frame, at twice its size. Raises: VideoMismatch if it is no video."""
    shown = pictures(video, range(0, frame_count(video), _EVERY))
    _save(path, [picture.resize((2 * picture.width, 2 * picture.height), _RESAMPLING) for picture in shown])


def _save(path: Path, frames: Sequence[Image.Image]) -> None:
    """Write the frames at the best quality that is small enough."""
    for quality in _QUALITIES:
        data = io.BytesIO()
        frames[0].save(
            data,
            "WEBP",
            save_all=True,
            append_images=frames[1:],
            duration=round(1000 * _EVERY / FPS),
            loop=0,
            quality=quality,
            method=6,
        )
        if data.tell() <= LARGEST_BYTES:
            break
    path.write_bytes(data.getvalue())


def _picture(rows: Sequence[tuple[str, Sequence[Tensor]]], number: int) -> Image.Image:
    """Draw frame `number` of all videos."""
    shown = [(words, [_thumb(frames[number]) for frames in videos]) for words, videos in rows]
    width = max(sum(thumb.width + _GAP_PX for thumb in thumbs) for _, thumbs in shown)
    sheet = Image.new("RGB", (width, len(shown) * (_MOVING_PX + _LABEL_PX)), "white")
    pen = ImageDraw.Draw(sheet)
    for row, (words, thumbs) in enumerate(shown):
        top, left = row * (_MOVING_PX + _LABEL_PX), 0
        pen.text((2, top + 2), words, fill="black")
        for thumb in thumbs:
            sheet.paste(thumb, (left, top + _LABEL_PX))
            left += thumb.width + _GAP_PX
    return sheet


def _thumb(frame: Tensor) -> Image.Image:
    width = round(frame.shape[1] * _MOVING_PX / frame.shape[0])
    return Image.fromarray(frame.numpy()).resize((width, _MOVING_PX), _RESAMPLING)
