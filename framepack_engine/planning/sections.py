"""Sections as numbers: how many, where their latents lie in time, which frames each makes final. Loads no torch.

A *section* adds `window` latent frames, 4·window pixel frames. Sections are numbered in generation order: i2v makes
the END of the video first, f1 its start.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from framepack_engine.errors import InvalidSpec

Kind = Literal["i2v", "f1"]
FPS = 30
HISTORY_1X, HISTORY_2X, HISTORY_4X = 1, 2, 16
HISTORY = HISTORY_1X + HISTORY_2X + HISTORY_4X  #: latent frames of context, at any length of the video
_SEAM_LOSS = 3  # n latent frames decode to 4n-3 pixel frames


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexLayout:
    """Positions in time (for the rotary embedding) of every latent frame that the transformer sees.

    noisy: the `window` frames to be made. clean: the start latent (always 0) and the 1x frame. history_2x, history_4x:
    the 2 and 16 frames that are patchified at 2x and 4x.
    """

    noisy: tuple[int, ...]
    clean: tuple[int, int]
    history_2x: tuple[int, ...]
    history_4x: tuple[int, ...]


def sections_for(seconds: float, *, window: int) -> int:
    """Return the number of sections in about `seconds`; at least 1. Halves are rounded to the even number.

    Source: lllyasviel/FramePack demo_gradio.py (Python's round).
    """
    return max(round(seconds * FPS / (4 * window)), 1)


def frames_for(sections: int, window: int) -> int:
    """Pixel frames of the whole video."""
    return 4 * window * sections + 1


def paddings(sections: int) -> tuple[int, ...]:
    """Return how many windows lie between the start image and each section, in generation order (i2v).

    Videos of more than 4 sections keep the distances that the model was trained on.

    Source: lllyasviel/FramePack demo_gradio.py.
    """
    if sections > 4:
        return (3, *[2] * (sections - 3), 1, 0)
    return tuple(range(sections - 1, -1, -1))


def index_layout(kind: Kind, *, padding: int | None, window: int) -> IndexLayout:
    """Lay out the latent frames of one section in time.

    padding: the section's entry of `paddings`; None for f1, which has none.

    Source: arXiv:2504.12626 §3.2; i2v [start][blank][noisy][1x][2x][4x], f1 [start][4x][2x][1x][noisy].
    """
    if kind == "f1":
        first_2x = 1 + HISTORY_4X
        first_1x = first_2x + HISTORY_2X
        noisy = first_1x + HISTORY_1X
        return IndexLayout(
            noisy=tuple(range(noisy, noisy + window)),
            clean=(0, first_1x),
            history_2x=tuple(range(first_2x, first_1x)),
            history_4x=tuple(range(1, first_2x)),
        )
    if padding is None:
        raise InvalidSpec("an i2v section needs its padding", field="padding")
    noisy = 1 + padding * window
    first_1x = noisy + window
    first_2x = first_1x + HISTORY_1X
    first_4x = first_2x + HISTORY_2X
    return IndexLayout(
        noisy=tuple(range(noisy, first_1x)),
        clean=(0, first_1x),
        history_2x=tuple(range(first_2x, first_4x)),
        history_4x=tuple(range(first_4x, first_4x + HISTORY_4X)),
    )


def section_layout(kind: Kind, *, sections: int, index: int, window: int) -> IndexLayout:
    """Return the `index_layout` of section `index` in a video of `sections`."""
    padding = paddings(sections)[index] if kind == "i2v" else None
    return index_layout(kind, padding=padding, window=window)


def seam_frames(window: int) -> int:
    """Pixel frames that two neighbouring decode windows share; they are cross-faded there."""
    return 4 * window - _SEAM_LOSS


def final_frames(kind: Kind, sections: int, window: int, *, continues: bool = False) -> tuple[int, ...]:
    """Return how many pixel frames each section makes final, in generation order; together `frames_for`.

    A frame is final when no later section's cross-fade can change it. i2v's first section makes no frame final, and its
    last section makes the rest final; f1's first section makes 4. continues: leave out the first frame, which is the
    last one of another video.
    """
    if sections == 1:
        return (4 * window + 1 - continues,)
    middle = (4 * window,) * (sections - 2)
    if kind == "f1":
        return (4 - continues, *middle, 8 * window - _SEAM_LOSS)
    return (0, *middle, 8 * window + 1)


def window_sections(kind: Kind, k: int) -> tuple[int, ...]:
    """Sections whose latents are decoded together after section `k`, in time order, without the start latent."""
    if k == 0:
        return (0,)
    return (k, k - 1) if kind == "i2v" else (k - 1, k)


def window_has_start(kind: Kind, sections: int, k: int) -> bool:
    """Whether the decode window of section `k` begins with the start latent."""
    return k == sections - 1 if kind == "i2v" else k == 0


def decode_needs(kind: Kind, sections: int, k: int) -> tuple[int, ...]:
    """Sections whose latents the decode of section `k` needs, newest first; empty if it makes no frame final."""
    if final_frames(kind, sections, 1)[k] == 0:
        return ()
    return tuple(range(k, max(k - 3, -1), -1))


def time_order(kind: Kind, sections: int) -> tuple[int, ...]:
    """Sections whose clips make the video, in time order; a section that makes no frame final has no clip."""
    with_clip = [k for k, count in enumerate(final_frames(kind, sections, 1)) if count]
    return tuple(reversed(with_clip)) if kind == "i2v" else tuple(with_clip)


def first_frames(kind: Kind, finals: tuple[int, ...]) -> tuple[int, ...]:
    """Return the number of the first frame of each section's clip, in generation order. finals: `final_frames`."""
    order = range(len(finals)) if kind == "f1" else range(len(finals) - 1, -1, -1)
    begins, first = [0] * len(finals), 0
    for section in order:
        begins[section] = first
        first += finals[section]
    return tuple(begins)


def keyframe_section(at_s: float, *, sections: int, window: int) -> int:
    """Return the section (generation order, i2v) of a keyframe at `at_s` seconds."""
    return min(max(sections - 1 - math.floor(at_s * FPS / (4 * window)), 0), sections - 1)


def section_starts(kind: Kind, *, sections: int, window: int, source_frames: int = 0) -> tuple[int, ...]:
    """Return the frame at which each section begins, in generation order. source_frames: of the extended video."""
    order = range(sections - 1, -1, -1) if kind == "i2v" else range(sections)
    return tuple(source_frames + 4 * window * place for place in order)


def tail_frames(available: int = 4 * HISTORY) -> int:
    """Return how many of a video's last frames become the history of its continuation: 1 + 4n, 73 at most.

    Raises: InvalidSpec if there is no frame.
    """
    if available < 1:
        raise InvalidSpec("a video without a frame cannot be continued", field="video")
    return 1 + 4 * min((available - 1) // 4, HISTORY - 1)
