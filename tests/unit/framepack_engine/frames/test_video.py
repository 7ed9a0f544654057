"""Clips and their joining: exact counts and times, every frame encoded once, nothing changed by copying."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from framepack_engine.errors import VideoMismatch
from framepack_engine.frames.source import SourceFacts, look_at, metadata_of
from framepack_engine.frames.stills import spritesheet_png, thumbnail_png
from framepack_engine.frames.video import encode_clip, frame_count, join_clips

Frames = NDArray[np.uint8]


def moving(count: int, *, seed: int = 0, height: int = 64, width: int = 96) -> Frames:
    """Frames with noise that moves: x264 uses B-frames on them."""
    rng = np.random.default_rng(seed)
    wall = (
        rng.integers(0, 255, (height // 8, (width + 4 * count) // 8 + 1, 3), dtype=np.uint8).repeat(8, 0).repeat(8, 1)
    )
    return np.stack([wall[:, 4 * t : 4 * t + width] for t in range(count)])


def decoded(path: Path) -> list[tuple[Fraction, Frames]]:
    """(time in s, yuv420p pixels) of every frame, in the order of showing."""
    with av.open(str(path)) as container:
        return [
            (
                (frame.pts or 0) * (frame.time_base or Fraction(0)),
                np.asarray(frame.to_ndarray(format="yuv420p"), dtype=np.uint8),
            )
            for frame in container.decode(video=0)
        ]


def clips(folder: Path, counts: Sequence[int]) -> list[Path]:
    """Clips of these lengths."""
    paths = []
    for number, count in enumerate(counts):
        paths.append(folder / f"{number}.mp4")
        encode_clip(moving(count, seed=number), paths[-1], crf=16)
    return paths


@pytest.mark.parametrize("counts", [[36], [73, 36], [4, 36, 36, 33], [1, 1, 2, 3, 1, 8, 2]])
def test_joining_changes_no_frame_and_loses_none(tmp_path: Path, counts: list[int]) -> None:
    """The joined video's frames are the clips' frames bit for bit, exactly 1/30 s apart from 0 on, B-frames and all."""
    paths = clips(tmp_path, counts)
    join_clips(paths, tmp_path / "out.mp4")
    joined, parts = decoded(tmp_path / "out.mp4"), [frame for path in paths for frame in decoded(path)]
    assert len(joined) == len(parts) == sum(counts)
    assert all(np.array_equal(ours, theirs) for (_, ours), (_, theirs) in zip(joined, parts, strict=True))
    assert [time for time, _ in joined] == [Fraction(n, 30) for n in range(sum(counts))]
    assert frame_count(tmp_path / "out.mp4") == sum(counts)
    assert look_at(tmp_path / "out.mp4") == SourceFacts(frames=sum(counts), height=64, width=96)


def test_the_header_tells_the_exact_length(tmp_path: Path) -> None:
    """Players that trust the header see as many frames and as long a video as there is."""
    join_clips(clips(tmp_path, [36, 36, 1]), tmp_path / "out.mp4")
    with av.open(str(tmp_path / "out.mp4")) as container:
        stream = container.streams.video[0]
        assert stream.frames == 73
        assert (stream.duration or 0) * (stream.time_base or 0) == Fraction(73, 30)
        assert stream.average_rate == 30
        assert (stream.codec_context.name, stream.codec_context.pix_fmt) == ("h264", "yuv420p")


def test_the_clips_really_have_b_frames(tmp_path: Path) -> None:
    """The frames used here are reordered by the encoder: else the tests above would prove little."""
    [clip] = clips(tmp_path, [36])
    with av.open(str(clip)) as container:
        assert any(frame.pict_type == av.video.frame.PictureType.B for frame in container.decode(video=0))


def test_decoding_times_rise_across_seams(tmp_path: Path) -> None:
    """No packet is to be decoded before its predecessor or after it is shown, also behind a clip of one frame."""
    join_clips(clips(tmp_path, [36, 1, 36, 2, 4]), tmp_path / "out.mp4")
    with av.open(str(tmp_path / "out.mp4")) as container:
        times = [(p.dts, p.pts) for p in container.demux(video=0) if p.dts is not None and p.pts is not None]
    assert [dts for dts, _ in times] == sorted({dts for dts, _ in times})
    assert all(dts <= pts for dts, pts in times)


def test_it_plays_while_it_loads(tmp_path: Path) -> None:
    """The index lies before the pictures (faststart), and seeking finds each clip's first frame as a key frame."""
    join_clips(clips(tmp_path, [8, 8]), tmp_path / "out.mp4")
    data = (tmp_path / "out.mp4").read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")
    with av.open(str(tmp_path / "out.mp4")) as container:
        keys = [frame.pts for frame in container.decode(video=0) if frame.key_frame]
    assert {0, 8 * 512} <= set(keys)


def test_the_same_frames_give_the_same_bytes(tmp_path: Path) -> None:
    """Clips and joined videos are reproducible, from arrays and from tensors."""
    frames = moving(12)
    data = encode_clip(frames, crf=16)
    assert encode_clip(torch.from_numpy(frames), tmp_path / "0.mp4", crf=16) == data
    assert (tmp_path / "0.mp4").read_bytes() == data
    for out in ("a.mp4", "b.mp4"):
        join_clips([tmp_path / "0.mp4"] * 2, tmp_path / out)
    assert (tmp_path / "a.mp4").read_bytes() == (tmp_path / "b.mp4").read_bytes()


def test_colours_come_back(tmp_path: Path) -> None:
    """Pure colours survive to within 3 of 255, and the file says which matrix it was written with."""
    colours = [(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255), (0, 0, 0), (90, 140, 200)]
    for number, colour in enumerate(colours):
        path = tmp_path / f"{number}.mp4"
        encode_clip(np.full((3, 32, 32, 3), colour, dtype=np.uint8), path, crf=4)
        with av.open(str(path)) as container:
            frame = next(container.decode(video=0))
            assert frame.colorspace == av.video.reformatter.Colorspace.ITU709
            shown = frame.to_ndarray(format="rgb24")
        assert np.abs(shown.astype(int) - np.array(colour)).max() <= 3


def test_a_higher_crf_is_smaller() -> None:
    """The quality asked for reaches the encoder."""
    frames = moving(12)
    assert len(encode_clip(frames, crf=40)) < len(encode_clip(frames, crf=16)) < len(encode_clip(frames, crf=0))


def test_metadata_comes_back(tmp_path: Path) -> None:
    """Any name and text written by the join is read back."""
    join_clips(clips(tmp_path, [2]), tmp_path / "out.mp4", metadata={"framepack": '{"seed": 7, "prompt": "кот 🐈"}'})
    assert metadata_of(tmp_path / "out.mp4")["framepack"] == '{"seed": 7, "prompt": "кот 🐈"}'


@pytest.mark.parametrize(
    "frames",
    [
        np.zeros((0, 32, 32, 3), np.uint8),
        np.zeros((2, 32, 32, 4), np.uint8),
        np.zeros((2, 32, 32, 3), np.float32),
        np.zeros((32, 32, 3), np.uint8),
        np.zeros((2, 33, 32, 3), np.uint8),
    ],
)
def test_what_is_no_video_is_refused(frames: object) -> None:
    """No frames, a wrong shape or type, an odd side: a named error."""
    with pytest.raises(VideoMismatch):
        encode_clip(frames, crf=16)


def test_clips_of_another_size_are_not_joined(tmp_path: Path) -> None:
    """The error names the clip that differs and both codings; no file is left."""
    paths = clips(tmp_path, [4])
    encode_clip(moving(4, height=32), tmp_path / "small.mp4", crf=16)
    with pytest.raises(VideoMismatch, match=r"small\.mp4.*96 32.*96 64"):
        join_clips([*paths, tmp_path / "small.mp4"], tmp_path / "out.mp4")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["0.mp4", "small.mp4"]


def test_damaged_and_missing_clips_are_named_errors(tmp_path: Path) -> None:
    """Half a clip, a text file, nothing at all: VideoMismatch, and an older result stays as it was."""
    [whole] = clips(tmp_path, [4])
    (tmp_path / "half.mp4").write_bytes(whole.read_bytes()[:300])
    (tmp_path / "text.mp4").write_text("no video")
    (tmp_path / "out.mp4").write_text("older")
    for broken in ([tmp_path / "half.mp4"], [whole, tmp_path / "text.mp4"], [tmp_path / "none.mp4"], []):
        with pytest.raises(VideoMismatch):
            join_clips(broken, tmp_path / "out.mp4")
        assert (tmp_path / "out.mp4").read_text() == "older"
    said = r"^text\.mp4 cannot be read as a video: Invalid data found when processing input$"
    for read in (frame_count, thumbnail_png):
        with pytest.raises(VideoMismatch, match=said):
            read(tmp_path / "text.mp4")


def test_the_thumbnail_is_the_first_frame(tmp_path: Path) -> None:
    """A PNG of the first frame, no larger than asked for."""
    frames = np.concatenate([np.full((1, 64, 96, 3), 200, np.uint8), np.zeros((5, 64, 96, 3), np.uint8)])
    encode_clip(frames, tmp_path / "0.mp4", crf=4)
    picture = Image.open(io.BytesIO(thumbnail_png(tmp_path / "0.mp4", side_px=48)))
    assert (picture.format, picture.size) == ("PNG", (48, 32))
    assert picture.convert("L").getpixel((20, 10)) == pytest.approx(200, abs=3)


@pytest.mark.parametrize(
    ("count", "size"), [(40, (4 * 96, 4 * 64)), (3, (3 * 96, 64)), (6, (4 * 96, 2 * 64)), (1, (96, 64))]
)
def test_the_spritesheet_runs_from_first_to_last(tmp_path: Path, count: int, size: tuple[int, int]) -> None:
    """Sixteen frames spread over the video, or as many as it has; the first is top left, the last one ends it."""
    shades = np.linspace(40, 220, count).astype(np.uint8)
    encode_clip(np.ones((count, 64, 96, 3), np.uint8) * shades[:, None, None, None], tmp_path / "0.mp4", crf=4)
    sheet = Image.open(io.BytesIO(spritesheet_png(tmp_path / "0.mp4"))).convert("L")
    assert sheet.size == size
    places = min(count, 16)
    columns = min(places, 4)
    last = ((places - 1) % columns * 96 + 48, (places - 1) // columns * 64 + 32)
    assert sheet.getpixel((48, 32)) == pytest.approx(40, abs=3)
    assert sheet.getpixel(last) == pytest.approx(int(shades[-1]), abs=3)


def test_what_lay_in_memory_before_changes_no_byte() -> None:
    """Processes whose fresh memory is filled with other bytes encode the same clip: x264 reads nothing unwritten."""
    code = """
import hashlib, numpy as np
from framepack_engine.frames.video import encode_clip
for shape in ((13, 4, 6), (9, 6, 10), (36, 20, 19)):
    cells = np.random.default_rng(0).integers(0, 256, (*shape, 3), np.uint8)
    print(hashlib.sha256(encode_clip(cells.repeat(16, 1).repeat(16, 2), crf=16)).hexdigest())
"""
    said = {
        subprocess.run(
            [sys.executable, "-c", code],
            env=os.environ | {"MALLOC_PERTURB_": fill},
            check=True,
            capture_output=True,
        ).stdout
        for fill in ("0", "85", "255")
    }
    assert len(said) == 1
