"""Results of the engine for a program: clips while a video is made, and the whole video."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from torch import Tensor

from framepack_engine.errors import InvalidSpec
from framepack_engine.planning.sections import FPS
from framepack_engine.planning.spec import RenderSpec


class Clip(NamedTuple):
    """Frames that are final. An i2v model makes the end of a video first, an F1 model its beginning."""

    first_frame: int  #: where in the video the clip begins
    frames: Tensor  #: (T, height, width, 3) uint8, RGB, on the CPU


@dataclass(frozen=True, slots=True, kw_only=True)
class GeneratedVideo:
    """A whole video in memory."""

    frames: Tensor = field(repr=False)  #: (T, height, width, 3) uint8, RGB, on the CPU; `.numpy()` makes an array
    spec: RenderSpec  #: all that decides the frames; spec.seed is the seed, drawn or given
    tags: Mapping[str, str] = field(repr=False)  #: the mp4's metadata: how the video was made
    fps: int = FPS

    @property
    def seconds(self) -> float:
        """The length in seconds."""
        return len(self.frames) / self.fps

    def save(self, path: str | os.PathLike[str], *, metadata: bool = True) -> Path:
        """Write an mp4; an existing file is replaced. Return its path.

        metadata: let the mp4 say how it was made (`read_provenance`).
        Raises: InvalidSpec unless the path ends in .mp4; OSError.
        """
        from framepack_engine.frames.video import encode_clip, join_clips

        out = Path(path)
        if out.suffix.lower() != ".mp4":
            raise InvalidSpec(f"path={str(out)!r}: need a name that ends in .mp4", field="path")
        out.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}-") as folder:
            clip, whole = Path(folder, "clip.mp4"), Path(folder, "video.mp4")
            encode_clip(self.frames, clip, crf=self.spec.crf)
            join_clips([clip], whole, metadata=self.tags if metadata else None)
            whole.replace(out)
        return out
