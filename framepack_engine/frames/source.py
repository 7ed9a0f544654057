"""The video that another video continues: its size, its last frames, and its clips before the new ones.

Users send these files. Only mp4, mov, webm and mkv are opened, each as its own format, so that no playlist can name
other files. A video of another rate is brought to 30 frames a second: each frame shows until the next one begins.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice, repeat
from pathlib import Path
from typing import Any, TypeVar, cast

import av
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from framepack_engine.errors import VideoMismatch
from framepack_engine.frames.images import fit
from framepack_engine.frames.video import TICKS_A_FRAME, UNREADABLE, encode_clip, same_coding
from framepack_engine.planning.sections import FPS

_CHUNK_FRAMES = 120  #: frames of a clip, and of the source in memory
_MIN_ASPECT = Fraction(1, 8)  #: of a pixel; beyond it, or its inverse, the file is wrong
#: the first atom of an mp4 or mov; old QuickTime files have no ftyp
_QUICKTIME = frozenset({b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot"})
_MATROSKA = b"\x1a\x45\xdf\xa3"

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceFacts:
    """A video as it is shown: upright, at 30 frames a second."""

    frames: int
    height: int
    width: int


def look_at(path: Path) -> SourceFacts:
    """Read the size and length of a video from its packets; only the first frame is decoded.

    Raises: VideoMismatch if the file is no video or cannot be read.
    """
    with _opened(path) as container:
        stream = container.streams.video[0]
        first = _upright(next(container.decode(stream)), stream)
        container.seek(0)
        times = sorted(
            (packet.pts * packet.time_base, (packet.duration or 0) * packet.time_base)
            for packet in container.demux(stream)
            if packet.pts is not None and not packet.is_discard  # an edit list hides it
        )
    frames = sum(count for _, count in _held((None, at, duration) for at, duration in times))
    return SourceFacts(frames=frames, height=first.height, width=first.width)


def metadata_of(path: Path) -> dict[str, str]:
    """Return the texts that a video file holds about itself; no frame is decoded. Raises: VideoMismatch."""
    with _opened(path) as container:
        return dict(container.metadata)


def frame_at(path: Path, number: int) -> Image.Image:
    """Return the frame that a video of 30 frames a second shows as its frame `number`, from 0 on.

    Decodes from the key frame before it on, and keeps one frame.
    Raises: VideoMismatch if the video is shorter or cannot be read.
    """
    with _opened(path) as container:
        stream = container.streams.video[0]
        begin = stream.start_time or 0
        wanted = begin + Fraction(number, FPS) / stream.time_base
        if number:
            container.seek(int(wanted), stream=stream)
        earliest = wanted - Fraction(1, 2 * FPS) / stream.time_base
        for frame in container.decode(stream):
            if not number or (frame.pts or 0) >= earliest:
                return _upright(frame, stream)
    raise VideoMismatch(f"the video ends before frame {number}")


def last_frames(path: Path, count: int) -> NDArray[np.uint8]:
    """Return the last `count` frames, or all of a shorter video: (T, H, W, 3). Decodes the whole video.

    Raises: VideoMismatch.
    """
    kept = deque(video_frames(path), maxlen=count)
    return np.stack([np.asarray(frame) for frame in kept])


def source_clips(path: Path, folder: Path, *, like: Path, frames: int, height: int, width: int, crf: int) -> list[Path]:
    """Return the video as clips that `join_clips` can put before the clip `like`: `frames` frames of height x width.

    If the video is coded as `like` is, the clip is the file itself, and nothing is encoded twice. Otherwise it is cut
    to size and encoded, a few seconds at a time. A video shorter than `frames` repeats its last frame.
    Raises: VideoMismatch.
    """
    if _fits(path, like, frames):
        return [path]
    clips: list[Path] = []
    pictures = islice(_then_still(video_frames(path)), frames)
    while chunk := [np.asarray(fit(frame, height=height, width=width)) for frame in islice(pictures, _CHUNK_FRAMES)]:
        clips.append(folder / f"source-{len(clips):06}.mp4")
        encode_clip(np.stack(chunk), clips[-1], crf=crf)
    return clips


def _fits(path: Path, like: Path, frames: int) -> bool:
    """Whether both can be one stream: coded alike, with one frame each 1/30 s from 0 on."""
    if not same_coding(path, like):
        return False
    with _opened(path) as container:
        times = sorted(packet.pts for packet in container.demux(container.streams.video[0]) if packet.pts is not None)
    return times == [number * TICKS_A_FRAME for number in range(frames)]


def video_frames(path: Path) -> Iterator[Image.Image]:
    """Yield every frame as shown, upright RGB, 30 a second. Raises: VideoMismatch if it cannot be read."""
    with _opened(path) as container:
        stream = container.streams.video[0]
        decoded = (
            (frame, Fraction(frame.pts or 0) * frame.time_base, Fraction(frame.duration or 0) * frame.time_base)
            for frame in container.decode(stream)
        )
        for frame, count in _held(decoded):
            yield from repeat(_upright(frame, stream), count)


def _held(frames: Iterable[tuple[T, Fraction, Fraction]]) -> Iterator[tuple[T, int]]:
    """Yield each frame, given with its time and duration in seconds, and the number of pictures that show it."""
    before: T | None = None
    begin = end = Fraction(0)
    shown = 0
    for number, (frame, at, duration) in enumerate(frames):
        if number == 0:
            begin = at
        else:
            until = max(_index(at - begin), shown)
            yield cast("T", before), until - shown
            shown = until
        before, end = frame, at + (duration or Fraction(1, FPS))
    if end > begin:
        yield cast("T", before), max(_index(end - begin), 1) - shown


def _then_still(pictures: Iterator[Image.Image]) -> Iterator[Image.Image]:
    """Yield `pictures`, then the last one for ever."""
    picture: Image.Image | None = None
    for picture in pictures:
        yield picture
    if picture is not None:
        yield from repeat(picture)


def _index(seconds: Fraction) -> int:
    return int(seconds * FPS + Fraction(1, 2))


def _upright(frame: Any, stream: Any) -> Image.Image:
    """The frame as RGB with square pixels, rotated as the file asks."""
    picture: Image.Image = frame.to_image()
    aspect, (width, height) = Fraction(stream.sample_aspect_ratio or 1), picture.size
    if aspect != 1 and _MIN_ASPECT <= aspect <= 1 / _MIN_ASPECT:
        wide = round(width * aspect), height
        picture = picture.resize(wide if aspect > 1 else (width, round(height / aspect)), Image.Resampling.LANCZOS)
    return picture.rotate(frame.rotation, expand=True) if frame.rotation else picture


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """Open a file that holds a video; an error inside becomes a VideoMismatch."""
    with Path(path).open("rb") as file:
        head = file.read(12)
    kind = "mp4" if head[4:8] in _QUICKTIME else "matroska" if head.startswith(_MATROSKA) else None
    if kind is None:
        raise VideoMismatch("the file is not an mp4, mov, webm or mkv video")
    try:
        with av.open(str(path), format=kind) as container:
            if not container.streams.video:
                raise VideoMismatch("the file has no video track")
            yield container
    except (*UNREADABLE, StopIteration, IndexError) as err:
        raise VideoMismatch("the video cannot be read: it is damaged or cut short") from err
