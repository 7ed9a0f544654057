"""Timed prompts: which prompt acts in which section. Loads no torch.

A prompt begins at the section border nearest to its time and acts until the next prompt begins. Sections are numbered
in generation order; i2v makes the END of the video first, so there the numbers run against time.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

from framepack_engine.errors import InvalidSpec
from framepack_engine.planning.sections import FPS, Kind


class TimedPrompt(NamedTuple):
    """A prompt that begins `at_s` seconds into the video."""

    at_s: float
    text: str


class Share(NamedTuple):
    """The share of a prompt in a section's text. Number 0 is the video's own prompt; the timed ones count from 1."""

    number: int
    weight: float


def nearest_border(at_s: float, *, sections: int, window: int) -> int:
    """Return the border nearest to `at_s`, as the number of the section that begins there; `sections` is the end."""
    return math.floor(min(at_s / (4 * window / FPS) + 0.5, sections))


def prompt_borders(times_s: Sequence[float], *, sections: int, window: int) -> tuple[int, ...]:
    """Return the section, in time order, that each prompt begins with: the nearest border, the last section at most.

    times_s: rising. Raises: InvalidSpec if one lies behind the video's end, or two fall on the same border.
    """
    section_s = 4 * window / FPS
    for at_s in times_s:
        if not 0 <= at_s <= sections * section_s:
            raise InvalidSpec(
                f"prompts: at_s={at_s:g} is outside the video, which lasts {sections * section_s:g} s", field="prompts"
            )
    borders = tuple(nearest_border(at_s, sections=sections - 1, window=window) for at_s in times_s)
    if len(set(borders)) != len(borders):
        raise InvalidSpec(
            f"prompts: two prompts begin with the same section of {section_s:g} s; leave a section between them",
            field="prompts",
        )
    return borders


def prompt_shares(
    kind: Kind, *, sections: int, window: int, times_s: Sequence[float], fade_sections: int = 0
) -> tuple[tuple[Share, ...], ...]:
    """Return the prompts of each section, in generation order: one, or two while a prompt fades in.

    fade_sections: length of a fade, in which the share of the new prompt rises linearly. A fade ends at least one
    section before the next prompt begins. The shares of a section add up to 1.
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
