"""Hours of the day: which minutes they hold."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farm.errors import ConfigError
from farm.setting_types import is_open, parse_hours
from farm.settings import FarmSettings

DAY_MIN = 24 * 60
MINUTES = st.integers(0, DAY_MIN - 1)
SPANS = st.lists(st.tuples(MINUTES, MINUTES).filter(lambda span: span[0] != span[1]), min_size=1, max_size=3)


def text_of(spans: list[tuple[int, int]]) -> str:
    """The setting that names those spans."""
    return ",".join("-".join(f"{m // 60:02}:{m % 60:02}" for m in span) for span in spans)


def open_minutes(text: str) -> set[int]:
    """All minutes of the day in which work is allowed."""
    spans = parse_hours(text)
    return {m for m in range(DAY_MIN) if is_open(spans, hour=m // 60, minute=m % 60)}


@given(spans=SPANS)
def test_a_span_holds_the_minutes_from_its_begin_to_its_end(spans: list[tuple[int, int]]) -> None:
    """Walking from a span's begin to its end, over midnight where need be, gives exactly the minutes that are open."""
    walked = {(begin + n) % DAY_MIN for begin, end in spans for n in range((end - begin) % DAY_MIN)}
    assert open_minutes(text_of(spans)) == walked


@given(begin=MINUTES, end=MINUTES)
def test_a_span_and_its_reverse_share_out_the_day(begin: int, end: int) -> None:
    """22:00-07:00 and 07:00-22:00: each minute belongs to one of them."""
    if begin == end:
        return
    there, back = open_minutes(text_of([(begin, end)])), open_minutes(text_of([(end, begin)]))
    assert there | back == set(range(DAY_MIN))
    assert not there & back


def test_no_hours_mean_always() -> None:
    """An empty setting allows every minute, as does the whole day written out."""
    assert open_minutes("") == open_minutes("00:00-24:00") == set(range(DAY_MIN))


@pytest.mark.parametrize("text", ["22-7", "22:00", "22:00-22:00", "25:00-26:00", "7:60-8:00", "7:00-24:01", "a-b", ","])
def test_what_is_no_span_is_refused(text: str) -> None:
    """The error names the setting and the part that is wrong."""
    with pytest.raises(ConfigError, match="FARM_HOURS"):
        FarmSettings(hours=text)
