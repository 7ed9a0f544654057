"""Many videos on one picture: a row for each, with its caption and a few frames."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageDraw
from torch import Tensor

_STRIP_PX = 96
_LABEL_PX = 16
_GAP_PX = 2


def contact_sheet(path: Path, videos: Sequence[tuple[str, Tensor]], *, columns: int = 6) -> None:
    """Write a PNG. videos: captions and frames (T, H, W, 3) uint8; the sheet shows `columns` frames of each."""
    rows = [(words, _strip(frames, columns)) for words, frames in videos]
    width = max(strip.width for _, strip in rows)
    sheet = Image.new("RGB", (width, len(rows) * (_STRIP_PX + _LABEL_PX)), "white")
    pen = ImageDraw.Draw(sheet)
    for number, (words, strip) in enumerate(rows):
        top = number * (_STRIP_PX + _LABEL_PX)
        pen.text((2, top + 2), words, fill="black")
        sheet.paste(strip, (0, top + _LABEL_PX))
    path.parent.mkdir(parents=True, exist_ok=True)
    sheet.save(path)


def _strip(frames: Tensor, columns: int) -> Image.Image:
    count = min(columns, len(frames))
    numbers = [round(i * (len(frames) - 1) / max(count - 1, 1)) for i in range(count)]
    width = round(frames.shape[2] * _STRIP_PX / frames.shape[1])
    strip = Image.new("RGB", (columns * (width + _GAP_PX), _STRIP_PX), "white")
    for column, number in enumerate(numbers):
        thumb = Image.fromarray(frames[number].numpy()).resize((width, _STRIP_PX), Image.Resampling.LANCZOS)
        strip.paste(thumb, (column * (width + _GAP_PX), 0))
    return strip
