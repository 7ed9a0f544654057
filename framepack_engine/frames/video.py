"""mp4 files: encode each frame once, join clips by copying their packets. Loads no torch."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.video.reformatter import ColorPrimaries, ColorRange, Colorspace, ColorTrc

from framepack_engine.errors import VideoMismatch
from framepack_engine.planning.sections import FPS

TICKS_A_FRAME = 512  #: of the mp4's clock: every frame begins at a whole number
#: without macroblock trees: there x264 reads memory that it never wrote, with AVX-512, and the same frames give other
#: bytes (measured: docs/decisions/0007)
X264 = {"preset": "medium", "x264-params": "mbtree=0"}
REORDERED_FRAMES = 2  #: x264's medium preset decodes a frame at most so many frames before it is shown
UNREADABLE = (av.error.FFmpegError, OSError, ValueError)


def encode_clip(frames: Any, path: Path | None = None, *, crf: int, fps: int = FPS) -> bytes:
    """Encode frames as a clip for `join_clips`: H.264, yuv420p, BT.709, beginning with a key frame.

    x264 has one thread, so that the same frames give the same bytes.

    frames: (T, H, W, 3) uint8 RGB, a numpy array or a CPU tensor; H and W even.
    path:   a file to write the clip to as well.
    crf:    0 (lossless except for the half resolution of colours) to 51.
    Returns: the mp4.
    Raises: VideoMismatch if `frames` are no video.
    """
    pixels = np.asarray(frames)
    if pixels.ndim != 4 or pixels.dtype != np.uint8 or 0 in pixels.shape or pixels.shape[3] != 3:
        raise VideoMismatch(f"found frames {pixels.shape} {pixels.dtype}, wanted (T, H, W, 3) uint8 with T > 0")
    height, width = pixels.shape[1:3]
    if height % 2 or width % 2:
        raise VideoMismatch(f"frames of {width}x{height} px: H.264 in yuv420p needs even sides")
    file = io.BytesIO()
    clock = str(fps * TICKS_A_FRAME)
    options = {"fflags": "+bitexact", "video_track_timescale": clock, "movie_timescale": clock}
    with av.open(file, "w", format="mp4", options=options) as container:
        stream = container.add_stream("libx264", rate=fps, options=X264 | {"crf": str(crf)})
        stream.height, stream.width, stream.pix_fmt = height, width, "yuv420p"
        codec = stream.codec_context
        codec.thread_count = 1
        codec.colorspace, codec.color_range = int(Colorspace.ITU709), int(ColorRange.MPEG)
        codec.color_primaries, codec.color_trc = int(ColorPrimaries.BT709), int(ColorTrc.BT709)
        for number, picture in enumerate(pixels):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24").reformat(
                format="yuv420p", dst_colorspace=Colorspace.ITU709, dst_color_range=ColorRange.MPEG
            )
            frame.pts, frame.time_base = number, Fraction(1, fps)
            container.mux([_timed(packet) for packet in stream.encode(frame)])
        container.mux([_timed(packet) for packet in stream.encode(None)])
    data = file.getvalue()
    if path is not None:
        Path(path).write_bytes(data)
    return data


def join_clips(clips: Sequence[Path], out: Path, *, metadata: Mapping[str, str] | None = None) -> None:
    """Join clips of `encode_clip`, in the order given, without encoding anything again. Takes constant memory.

    The index comes first in the file (faststart), so that a browser can play it while it loads. `out` appears whole or
    not at all. metadata: names and texts that `source.metadata_of` reads back.
    Raises: VideoMismatch if clips differ in size, rate or coding, or one cannot be read.
    """
    if not clips:
        raise VideoMismatch("no clips to join")
    out = Path(out)
    aside = out.with_name(f".{out.name}.part")
    flags = "+faststart+use_metadata_tags" if metadata else "+faststart"
    options = {"movflags": flags, "fflags": "+bitexact"}
    try:
        with av.open(str(clips[0])) as example:
            pattern = example.streams.video[0]
            coding, clock = _coding(pattern), pattern.time_base or Fraction(0)
            if clock * TICKS_A_FRAME * (pattern.average_rate or 0) != 1:
                raise VideoMismatch(f"{Path(clips[0]).name} is no clip of encode_clip: its clock ticks {clock} s")
            # the header's clock too: most videos have no whole number of milliseconds
            options["video_track_timescale"] = options["movie_timescale"] = str(clock.denominator)
            with av.open(str(aside), "w", format="mp4", options=options) as container:
                container.metadata.update(metadata or {})
                stream = container.add_stream_from_template(pattern)
                stream.time_base = clock
                _copy(clips, container, stream, coding)
        aside.replace(out)
    except (*UNREADABLE, IndexError) as err:  # IndexError: a file without a video track
        raise VideoMismatch(f"{len(clips)} clips cannot be joined into {out.name}: {err}") from err
    finally:
        aside.unlink(missing_ok=True)


def _copy(clips: Sequence[Path], container: Any, stream: Any, coding: tuple[object, ...]) -> None:
    """Copy every packet of `clips` into `stream`; each clip's clock starts at the end of the one before.

    Decoding times are counted from the start: a clip of one or two frames has other ones than a longer clip, and they
    would collide at the seam.
    """
    count = 0
    for clip in clips:
        with av.open(str(clip)) as source:
            video = source.streams.video[0]
            if _coding(video) != coding:
                raise VideoMismatch(
                    f"{Path(clip).name} is not coded like the first clip: "
                    f"{_words(_coding(video))}, not {_words(coding)}",
                    clip=str(clip),
                )
            first = count
            for packet in source.demux(video):
                if packet.pts is None:  # the demuxer's end mark
                    continue
                packet.pts += first * TICKS_A_FRAME
                packet.dts = (count - REORDERED_FRAMES) * TICKS_A_FRAME
                packet.duration = TICKS_A_FRAME
                packet.stream = stream
                container.mux(packet)
                count += 1


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Name a file that PyAV cannot read inside. Raises: VideoMismatch."""
    try:
        yield
    except (*UNREADABLE, IndexError) as err:
        why = getattr(err, "strerror", None) or "it holds no video"
        raise VideoMismatch(f"{Path(path).name} cannot be read as a video: {why}") from err


def same_coding(path: Path, other: Path) -> bool:
    """Whether the packets of two videos can be one stream. Raises: VideoMismatch if one cannot be read."""
    with reading(path), av.open(str(path)) as one, av.open(str(other)) as two:
        return _coding(one.streams.video[0]) == _coding(two.streams.video[0])


def frame_count(path: Path) -> int:
    """Count the frames of an mp4 by its packets, not by its header. Raises: VideoMismatch if it cannot be read."""
    with reading(path), av.open(str(path)) as container:
        return sum(packet.dts is not None for packet in container.demux(container.streams.video[0]))


def _timed(packet: Any) -> Any:
    packet.duration = 1  # in frames: the muxer guesses the duration of the last one
    return packet


def _coding(stream: Any) -> tuple[object, ...]:
    """Return the coding that two clips must share, so that their packets can be one stream."""
    codec = stream.codec_context
    return codec.name, stream.width, stream.height, codec.pix_fmt, stream.time_base, bytes(codec.extradata or b"")


def _words(coding: tuple[object, ...]) -> str:
    return " ".join(str(fact) for fact in coding[:-1]) + f", {len(bytes(coding[-1]))} bytes of parameters"  # type: ignore[call-overload]
