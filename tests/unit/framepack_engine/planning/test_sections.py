"""Sections are arithmetic: lengths, windows and final frames add up for every length, window and kind."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from framepack_engine.planning.sections import (
    FPS,
    HISTORY,
    Kind,
    decode_needs,
    final_frames,
    frames_for,
    index_layout,
    keyframe_section,
    paddings,
    section_layout,
    section_starts,
    sections_for,
    time_order,
    window_sections,
)

KINDS = st.sampled_from(["i2v", "f1"])
SECTIONS = st.integers(1, 60)
WINDOWS = st.integers(1, 33)


@pytest.mark.parametrize(
    ("seconds", "window", "sections"), [(3, 9, 2), (5, 9, 4), (0.1, 9, 1), (120, 9, 100), (1.2, 9, 1), (600, 1, 4500)]
)
def test_seconds_become_sections(seconds: float, window: int, sections: int) -> None:
    """Lengths are rounded to sections, half ones to the even number, and no video is empty."""
    assert sections_for(seconds, window=window) == sections


@pytest.mark.parametrize(
    ("sections", "wanted"),
    [(1, (0,)), (2, (1, 0)), (4, (3, 2, 1, 0)), (5, (3, 2, 2, 1, 0)), (7, (3, 2, 2, 2, 2, 1, 0))],
)
def test_paddings_of_short_and_long_videos(sections: int, wanted: tuple[int, ...]) -> None:
    """Up to four sections count down; more of them keep the distances that the model was trained on."""
    assert paddings(sections) == wanted


@given(KINDS, SECTIONS, WINDOWS)
def test_final_frames_add_up(kind: Kind, sections: int, window: int) -> None:
    """Each frame becomes final in exactly one section."""
    finals = final_frames(kind, sections, window)
    assert len(finals) == sections
    assert sum(finals) == frames_for(sections, window) == 4 * window * sections + 1


@given(st.floats(0.1, 600), WINDOWS)
def test_a_video_is_as_long_as_was_asked(seconds: float, window: int) -> None:
    """To half a section, or one section where less was asked: for every length and window."""
    sections = sections_for(seconds, window=window)
    off_frames = frames_for(sections, window) - 1 - seconds * FPS
    assert abs(off_frames) <= 2 * window + 1e-6 or (sections == 1 and off_frames > 0)


@given(KINDS, st.floats(0.1, 600), WINDOWS)
def test_every_length_is_planned_to_the_frame(kind: Kind, seconds: float, window: int) -> None:
    """Up to 600 s: final frames add up, clips follow time, and paddings end beside the start image."""
    sections = sections_for(seconds, window=window)
    finals = final_frames(kind, sections, window)
    assert sum(finals) == frames_for(sections, window)
    assert min(finals, default=0) >= 0
    assert sum(finals[k] for k in time_order(kind, sections)) == sum(finals)
    gaps = paddings(sections)
    assert len(gaps) == sections
    assert gaps[-1] == 0
    assert all(0 <= earlier - later <= 1 for earlier, later in pairwise(gaps))
    assert max(gaps) <= 3


@given(st.floats(0, 600), st.floats(0.1, 600), WINDOWS)
def test_every_keyframe_has_the_section_that_shows_it(at_s: float, seconds: float, window: int) -> None:
    """The section's frames lie around the keyframe's time; after the end it is the last in time, number 0."""
    sections = sections_for(seconds, window=window)
    section = keyframe_section(at_s, sections=sections, window=window)
    from_start = sections - 1 - section
    assert 0 <= section < sections
    if at_s * FPS < 4 * window * sections:
        assert 4 * window * from_start <= at_s * FPS < 4 * window * (from_start + 1)
    else:
        assert section == 0


@given(KINDS, SECTIONS)
def test_clips_follow_time(kind: Kind, sections: int) -> None:
    """The clips in time order are those sections that make frames final, i2v's end first in generation order."""
    order = time_order(kind, sections)
    assert sorted(order) == [k for k, n in enumerate(final_frames(kind, sections, 9)) if n]
    assert list(order) == sorted(order, reverse=kind == "i2v")
    assert all(decode_needs(kind, sections, k)[0] == k for k in order)


@given(KINDS, SECTIONS, st.data())
def test_a_decode_needs_its_window_and_the_one_before(kind: Kind, sections: int, data: st.DataObject) -> None:
    """Decoding a section needs the sections of its own window and, for the seam, of the one before: at most three."""
    k = data.draw(st.integers(0, sections - 1))
    needs = decode_needs(kind, sections, k)
    windows = set(window_sections(kind, k)) | (set(window_sections(kind, k - 1)) if k else set())
    assert set(needs) == (windows if final_frames(kind, sections, 9)[k] else set())
    assert len(needs) <= 3


@given(SECTIONS, WINDOWS, st.data())
def test_i2v_layout_is_one_run_of_positions(sections: int, window: int, data: st.DataObject) -> None:
    """Start, blank, noisy, 1x, 2x and 4x frames follow each other without gap or overlap."""
    k = data.draw(st.integers(0, sections - 1))
    layout = section_layout("i2v", sections=sections, index=k, window=window)
    blank = paddings(sections)[k] * window
    run = [layout.clean[0], *layout.noisy, layout.clean[1], *layout.history_2x, *layout.history_4x]
    assert run == [0, *range(1 + blank, 1 + blank + window + HISTORY)]


@given(WINDOWS)
def test_f1_layout_is_one_run_of_positions(window: int) -> None:
    """Start, 4x, 2x, 1x and noisy frames follow each other: the past lies before the new."""
    layout = index_layout("f1", padding=None, window=window)
    run = [layout.clean[0], *layout.history_4x, *layout.history_2x, layout.clean[1], *layout.noisy]
    assert run == list(range(1 + HISTORY + window))


@pytest.mark.parametrize(("at_s", "section"), [(0, 3), (1.19, 3), (1.2, 2), (4.7, 0), (99, 0)])
def test_keyframes_fall_into_sections(at_s: float, section: int) -> None:
    """A keyframe's second names a section in generation order, and the last second belongs to section 0."""
    assert keyframe_section(at_s, sections=4, window=9) == section


@pytest.mark.parametrize("sections", [1, 2, 5])
@pytest.mark.parametrize("window", [3, 9])
def test_a_section_begins_where_a_keyframe_falls_into_it(sections: int, window: int) -> None:
    """At the time of a section's first frame a keyframe is in that section, a frame earlier in the one before."""
    starts = section_starts("i2v", sections=sections, window=window)
    assert starts == section_starts("f1", sections=sections, window=window)[::-1]
    for section, frame in enumerate(starts):
        assert keyframe_section(frame / FPS + 1e-6, sections=sections, window=window) == section
        if frame:
            assert keyframe_section((frame - 1) / FPS, sections=sections, window=window) == section + 1
    assert section_starts("f1", sections=2, window=9, source_frames=73) == (73, 109)
