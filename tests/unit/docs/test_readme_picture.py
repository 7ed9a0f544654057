"""The picture that README.md shows: what it is, what made it, and how a video becomes one."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageSequence

from framepack_engine.errors import VideoMismatch
from framepack_engine.frames.video import encode_clip
from lab.training.evaluate.moving_sheet import LARGEST_BYTES, moving_picture
from tests.imports import ROOT


def test_the_readme_shows_what_the_demo_makes() -> None:
    """A WebP that moves, of 2 MB at most, with the command that made it and the prompt that examples/demo.sh has."""
    readme = " ".join((ROOT / "README.md").read_text().split())
    assert re.search(r"!\[[^\]]+\]\(docs/demo\.webp\)", readme)
    assert "`make demo && cp demo/coffee.webp docs/demo.webp`" in readme
    (prompt,) = re.findall(r'^prompt="(.+)"$', (ROOT / "examples/demo.sh").read_text(), re.MULTILINE)
    assert f'"{prompt}"' in readme
    assert (ROOT / "docs/demo.webp").stat().st_size <= LARGEST_BYTES == 2_000_000
    with Image.open(ROOT / "docs/demo.webp") as image:
        assert (image.format, image.info["loop"]) == ("WEBP", 0)
        first, *later = (np.asarray(frame.convert("RGB"), float) for frame in ImageSequence.Iterator(image))
    assert max(np.abs(frame - first).mean() for frame in later) > 2


def test_a_video_becomes_a_picture_that_moves(tmp_path: Path) -> None:
    """Every second frame, at twice its size, as fast as the video; what is no video is named."""
    levels = np.arange(8, dtype=np.uint8) * 30
    encode_clip(np.broadcast_to(levels[:, None, None, None], (8, 32, 48, 3)), tmp_path / "grey.mp4", crf=10)
    moving_picture(tmp_path / "grey.mp4", tmp_path / "grey.webp")
    with Image.open(tmp_path / "grey.webp") as image:
        assert image.size == (96, 64)
        seen = [int(np.asarray(frame.convert("RGB"))[30, 50, 0]) for frame in ImageSequence.Iterator(image)]
        assert image.info["duration"] == 67
    assert seen == pytest.approx([0, 60, 120, 180], abs=5)
    (tmp_path / "words.mp4").write_text("no video")
    with pytest.raises(VideoMismatch, match=r"words\.mp4 cannot be read"):
        moving_picture(tmp_path / "words.mp4", tmp_path / "words.webp")
    assert not (tmp_path / "words.webp").exists()
