"""Which prompt acts in which section: snapped to borders, faded, and counted against time by i2v."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from framepack_engine.errors import InvalidSpec
from framepack_engine.planning.prompts import Share, prompt_borders, prompt_shares


def numbers(shares: tuple[tuple[Share, ...], ...]) -> list[list[int]]:
    """The prompts of each section."""
    return [[share.number for share in section] for section in shares]


def test_a_prompt_begins_at_the_nearest_border() -> None:
    """Sections of 1.2 s: 1.7 s is nearer to 1.2, 1.9 s to 2.4; the last section is the latest that one can begin."""
    assert prompt_borders([0, 1.7], sections=4, window=9) == (0, 1)
    assert prompt_borders([1.9, 4.8], sections=4, window=9) == (2, 3)


def test_i2v_counts_against_time() -> None:
    """Section 0 of an i2v video is its end: it gets the last prompt; of an f1 video it is the start."""
    assert numbers(prompt_shares("f1", sections=4, window=9, times_s=[1.2, 3.6])) == [[0], [1], [1], [2]]
    assert numbers(prompt_shares("i2v", sections=4, window=9, times_s=[1.2, 3.6])) == [[2], [1], [1], [0]]


def test_a_fade_rises_in_equal_steps() -> None:
    """Over two sections the new prompt has a third, then two thirds; then it is alone."""
    shares = prompt_shares("f1", sections=5, window=9, times_s=[1.2], fade_sections=2)
    assert numbers(shares) == [[0], [0, 1], [0, 1], [1], [1]]
    assert [share.weight for section in shares[1:3] for share in section] == pytest.approx([2 / 3, 1 / 3, 1 / 3, 2 / 3])


def test_a_prompt_at_the_start_has_nothing_to_fade_from() -> None:
    """It replaces the video's own prompt at once."""
    assert numbers(prompt_shares("f1", sections=2, window=9, times_s=[0], fade_sections=3)) == [[1], [1]]


@pytest.mark.parametrize("times_s", [[5.0], [1.2, 1.3], [-1.0]])
def test_times_that_cannot_be_are_named(times_s: list[float]) -> None:
    """Behind the video's end, two in one section, or before the start."""
    with pytest.raises(InvalidSpec, match="prompts"):
        prompt_shares("f1", sections=4, window=9, times_s=times_s)


@given(sections=st.integers(1, 60), window=st.integers(1, 33), fade=st.integers(0, 9), places=st.lists(st.floats(0, 1)))
def test_every_section_has_its_text(sections: int, window: int, fade: int, places: list[float]) -> None:
    """Weights are positive and add up to 1, at most two neighbours mix, prompts come in order, and each ends pure."""
    times_s = sorted({place * sections * 4 * window / 30 for place in places})
    try:
        shares = prompt_shares("f1", sections=sections, window=window, times_s=times_s, fade_sections=fade)
    except InvalidSpec:
        return
    assert len(shares) == sections
    for section in shares:
        assert sum(share.weight for share in section) == pytest.approx(1)
        assert all(share.weight > 0 for share in section)
        assert len(section) == 1 or section[1].number - section[0].number == 1
    newest = [section[-1].number for section in shares]
    assert newest == sorted(newest)
    assert {section[0].number for section in shares if len(section) == 1} == set(newest)
    assert prompt_shares("i2v", sections=sections, window=window, times_s=times_s, fade_sections=fade) == shares[::-1]
