"""What a video will be, as numbers: sections, windows, index layouts, final frames. Loads no torch.

A *section* adds `window` latent frames, 4·window pixel frames. Sections are numbered in generation order: i2v makes
the END of the video first, f1 its start.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from framepack_engine.errors import InvalidSpec

_RESOLUTION = 640
_STEP = 32
_SMALLEST = 64
_LANDSCAPE = ((416, 960), (448, 864), (480, 832), (512, 768), (544, 704), (576, 672), (608, 640))
_TRAINED = (*_LANDSCAPE, *((width, height) for height, width in reversed(_LANDSCAPE)))


def _scaled(side: int, resolution: int) -> int:
    """`side` × resolution/640, to the nearest multiple of 32 (halves up), at least 64."""
    return max((side * resolution + _RESOLUTION * _STEP // 2) // (_RESOLUTION * _STEP) * _STEP, _SMALLEST)


def buckets(resolution: int = _RESOLUTION) -> tuple[tuple[int, int], ...]:
    """All (height, width) of a resolution class in px, in order of rising height.

    Source: lllyasviel/FramePack diffusers_helper/bucket_tools.py for 640; other classes scale it.
    """
    if resolution < 1:
        raise InvalidSpec(f"resolution={resolution}: need at least 1", field="resolution")
    return tuple((_scaled(height, resolution), _scaled(width, resolution)) for height, width in _TRAINED)


def nearest_bucket(height: int, width: int, resolution: int = _RESOLUTION) -> tuple[int, int]:
    """The (height, width) in px of the bucket whose shape is nearest to an image of height × width.

    The shape is compared with the buckets the model was trained on, whatever the class; on a tie the higher one wins.
    """
    if height < 1 or width < 1:
        raise InvalidSpec(f"an image of {width}x{height} px has no shape", field="size")
    best = min(range(len(_TRAINED)), key=lambda i: (abs(height * _TRAINED[i][1] - width * _TRAINED[i][0]), -i))
    return buckets(resolution)[best]


__all__ = [
    "FPS",
    "HISTORY",
    "IndexLayout",
    "Kind",
    "buckets",
    "decode_needs",
    "final_frames",
    "frames_for",
    "index_layout",
    "keyframe_section",
    "nearest_bucket",
    "paddings",
    "seam_frames",
    "section_layout",
    "sections_for",
    "tail_frames",
    "time_order",
    "window_has_start",
    "window_sections",
]

Kind = Literal["i2v", "f1"]
FPS = 30
HISTORY_1X, HISTORY_2X, HISTORY_4X = 1, 2, 16
HISTORY = HISTORY_1X + HISTORY_2X + HISTORY_4X  #: latent frames of context, whatever the video's length
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
    """Sections of a video of about `seconds`; at least 1. Half sections go to the even number.

    Source: lllyasviel/FramePack demo_gradio.py (Python's round).
    """
    return max(round(seconds * FPS / (4 * window)), 1)


def frames_for(sections: int, window: int) -> int:
    """Pixel frames of the whole video."""
    return 4 * window * sections + 1


def paddings(sections: int) -> tuple[int, ...]:
    """How many windows lie between the start image and each section, in generation order (i2v).

    Source: lllyasviel/FramePack demo_gradio.py; more than 4 sections keep the distances the model was trained on.
    """
    if sections > 4:
        return (3, *[2] * (sections - 3), 1, 0)
    return tuple(range(sections - 1, -1, -1))


def index_layout(kind: Kind, *, padding: int | None, window: int) -> IndexLayout:
    """Where each latent frame of one section lies in time.

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
    """`index_layout` of section `index` of a video of `sections`."""
    padding = paddings(sections)[index] if kind == "i2v" else None
    return index_layout(kind, padding=padding, window=window)


def seam_frames(window: int) -> int:
    """Pixel frames that two neighbouring decode windows share, and over which they are cross-faded."""
    return 4 * window - _SEAM_LOSS


def final_frames(kind: Kind, sections: int, window: int, *, continues: bool = False) -> tuple[int, ...]:
    """How many pixel frames each section makes final, in generation order; they add up to `frames_for`.

    A frame is final when no later section's cross-fade can change it. i2v's first section makes none final, its last
    one what is left; f1's first section makes 4 final. continues: without the first frame, which another video ends in.
    """
    if sections == 1:
        return (4 * window + 1 - continues,)
    middle = (4 * window,) * (sections - 2)
    if kind == "f1":
        return (4 - continues, *middle, 8 * window - _SEAM_LOSS)
    return (0, *middle, 8 * window + 1)


def window_sections(kind: Kind, k: int) -> tuple[int, ...]:
    """Sections whose latents are decoded together after section `k`, in time order (the start latent not counted)."""
    if k == 0:
        return (0,)
    return (k, k - 1) if kind == "i2v" else (k - 1, k)


def window_has_start(kind: Kind, sections: int, k: int) -> bool:
    """Whether the decode window of section `k` begins with the start latent."""
    return k == sections - 1 if kind == "i2v" else k == 0


def decode_needs(kind: Kind, sections: int, k: int) -> tuple[int, ...]:
    """Sections whose latents `decode` of section `k` needs, newest first; empty where it makes no frame final."""
    if final_frames(kind, sections, 1)[k] == 0:
        return ()
    return tuple(range(k, max(k - 3, -1), -1))


def time_order(kind: Kind, sections: int) -> tuple[int, ...]:
    """Sections whose clips make the video, in time order; those that make no frame final have no clip."""
    with_clip = [k for k, count in enumerate(final_frames(kind, sections, 1)) if count]
    return tuple(reversed(with_clip)) if kind == "i2v" else tuple(with_clip)


def keyframe_section(at_s: float, *, sections: int, window: int) -> int:
    """Section (generation order, i2v) that a keyframe `at_s` seconds into the video belongs to."""
    return min(max(sections - 1 - math.floor(at_s * FPS / (4 * window)), 0), sections - 1)


def tail_frames(available: int = 4 * HISTORY) -> int:
    """How many of a video's last frames become the history of what continues it: 1 + 4n, 73 at most.

    Raises: InvalidSpec where there is no frame.
    """
    if available < 1:
        raise InvalidSpec("a video without a frame cannot be continued", field="video")
    return 1 + 4 * min((available - 1) // 4, HISTORY - 1)
