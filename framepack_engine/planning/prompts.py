"""Which prompt acts in which section: a pure rule over times. Loads no torch.

A prompt that begins at a time is snapped to the nearest section border and acts from there on, until the next one
begins. Sections are numbered in generation order: i2v makes the END of the video first, so time runs against it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

from framepack_engine.errors import InvalidSpec
from framepack_engine.planning.sections import FPS, Kind


class TimedPrompt(NamedTuple):
    """A prompt that acts from `at_s` seconds into the video on."""

    at_s: float
    text: str


class Share(NamedTuple):
    """How much of a section's text is prompt `number`: 0 is the video's own, 1 … are the timed ones in time order."""

    number: int
    weight: float


def prompt_borders(times_s: Sequence[float], *, sections: int, window: int) -> tuple[int, ...]:
    """Number, in time order, of the section that each prompt begins with: the nearest border, the last section at most.

    times_s: rising. Raises: InvalidSpec where one lies behind the video's end, or two fall on the same border.
    """
    section_s = 4 * window / FPS
    for at_s in times_s:
        if not 0 <= at_s <= sections * section_s:
            raise InvalidSpec(
                f"prompts: at_s={at_s:g} is not within the video's {sections * section_s:g} s", field="prompts"
            )
    borders = tuple(min(math.floor(at_s / section_s + 0.5), sections - 1) for at_s in times_s)
    if len(set(borders)) != len(borders):
        raise InvalidSpec(
            f"prompts: two of them begin with the same section of {section_s:g} s; a section begins one",
            field="prompts",
        )
    return borders


def prompt_shares(
    kind: Kind, *, sections: int, window: int, times_s: Sequence[float], fade_sections: int = 0
) -> tuple[tuple[Share, ...], ...]:
    """For each section, in generation order, the prompts that make its text: one, or two while one fades in.

    fade_sections: the first so many sections of a new prompt mix it with the one before, its share rising linearly; a
    fade ends at the latest one section before the next prompt begins. Shares add up to 1.
    Raises: InvalidSpec, as `prompt_borders`.
    """
    borders = prompt_borders(times_s, sections=sections, window=window)
    shares: list[tuple[Share, ...]] = [(Share(0, 1.0),)] * sections
    for number, (begin, end) in enumerate(pairwise((*borders, sections)), start=1):
        fade = min(fade_sections, end - begin - 1) if begin else 0  # before the first section there is nothing
        for section in range(begin, end):
            rise = (section - begin + 1) / (fade + 1)
            pure = (Share(number, 1.0),)
            shares[section] = pure if rise >= 1 else (Share(number - 1, 1 - rise), Share(number, rise))
    return tuple(reversed(shares)) if kind == "i2v" else tuple(shares)


PROMPT_TOKENS = 256  #: room for the prompt and what follows it, behind the cropped prefix
CROPPED_TOKENS = 95  #: length of the prefix, begin-of-text included
CLIP_TOKENS = 77

#: Source: HunyuanVideo's video template, as in diffusers' pipeline_hunyuan_video_framepack.py (a test compares them;
#: importing that pipeline costs seconds and warns without torchvision).
TEMPLATE = (
    "<|start_header_id|>system<|end_header_id|>\n\nDescribe the video by detailing the following aspects: "
    "1. The main content and theme of the video."
    "2. The color, shape, size, texture, quantity, text, and spatial relationships of the objects."
    "3. Actions, events, behaviors temporal relationships, physical movement changes of the objects."
    "4. background environment, light, style and atmosphere."
    "5. camera angles, movements, and transitions used in the video:<|eot_id|>"
    "<|start_header_id|>user<|end_header_id|>\n\n{}<|eot_id|>"
)
