"""A video to extend is read as players show it."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from framepack_engine.errors import VideoMismatch
from framepack_engine.frames.source import look_at, video_frames


def film(path: Path, *, frames: int, rate: int = 30, aspect: Fraction | None = None, kind: str = "mp4") -> Path:
    """Write an H.264 video of 144x128 px that gets brighter by a level a frame, with one keyframe."""
    with av.open(str(path), "w", format=kind) as container:
        stream = container.add_stream("libx264", rate=rate, options={"g": "300", "bf": "2", "crf": "10"})
        stream.width, stream.height, stream.pix_fmt = 144, 128, "yuv420p"
        if aspect is not None:
            stream.codec_context.sample_aspect_ratio = aspect
        for level in range(frames):
            picture = np.full((128, 144, 3), level, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture)))
        container.mux(stream.encode(None))
    return path


def begun_late(source: Path, out: Path, *, hidden_s: Fraction) -> Path:
    """Copy a video as `ffmpeg -ss … -c copy` does: an edit list hides the frames before `hidden_s`."""
    with av.open(str(source)) as one, av.open(str(out), "w", format="mp4") as two:
        stream = two.add_stream_from_template(one.streams.video[0])
        for packet in one.demux(one.streams.video[0]):
            if packet.dts is None or packet.pts is None:
                continue
            shift = int(hidden_s / packet.time_base)
            packet.pts, packet.dts, packet.stream = packet.pts - shift, packet.dts - shift, stream
            two.mux(packet)
    return out


def shown(path: Path) -> list[int]:
    """The level of each picture."""
    return [round(float(np.asarray(picture).mean())) for picture in video_frames(path)]


def test_an_edit_list_hides_frames(tmp_path: Path) -> None:
    """The first 21 of 120 frames are in the file, and no player shows them."""
    late = begun_late(film(tmp_path / "a.mp4", frames=120), tmp_path / "b.mp4", hidden_s=Fraction(7, 10))
    levels = shown(late)
    assert look_at(late).frames == len(levels) == 99
    assert abs(levels[0] - 21) <= 2


@pytest.mark.parametrize(
    ("aspect", "width", "height"), [(Fraction(4, 3), 192, 128), (Fraction(3, 4), 144, 171), (None, 144, 128)]
)
def test_pixels_may_be_oblong(tmp_path: Path, aspect: Fraction | None, width: int, height: int) -> None:
    """DVDs and camcorders store them; a player stretches the picture."""
    path = film(tmp_path / "a.mp4", frames=3, aspect=aspect)
    facts = look_at(path)
    assert (facts.width, facts.height, facts.frames) == (width, height, 3)
    assert next(video_frames(path)).size == (width, height)


@pytest.mark.parametrize(
    ("rate", "frames", "expected"), [(60, 120, 60), (60, 1, 1), (25, 50, 60), (30, 30, 30), (15, 3, 6), (120, 240, 60)]
)
def test_a_video_keeps_its_length_at_any_rate(tmp_path: Path, rate: int, frames: int, expected: int) -> None:
    """Two seconds are 60 frames, neither 59 nor 61."""
    path = film(tmp_path / "a.mp4", frames=frames, rate=rate)
    assert look_at(path).frames == len(shown(path)) == expected


@pytest.mark.parametrize("first", [b"wide", b"free", b"skip"])
def test_old_quicktime_has_no_ftyp(tmp_path: Path, first: bytes) -> None:
    """Such a file begins with another atom."""
    path = film(tmp_path / "a.mov", frames=3, kind="mov")
    data = path.read_bytes()
    path.write_bytes(data[:4] + first + data[8:])
    assert look_at(path).frames == 3


def test_a_video_cut_short_is_said_plainly(tmp_path: Path) -> None:
    """No path and no number of a library reach the user."""
    path = film(tmp_path / "a.mp4", frames=30)
    path.write_bytes(path.read_bytes()[:900])
    with pytest.raises(VideoMismatch) as caught:
        look_at(path)
    assert str(caught.value) == "the video cannot be read: it is damaged or cut short"
