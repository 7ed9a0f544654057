"""Hours of the day in which a worker may work: `22:00-07:00`, several by commas. Pure: the time is given."""

from __future__ import annotations

import re

from farm.errors import ConfigError

_SPAN = re.compile(r"(\d\d?):(\d\d)-(\d\d?):(\d\d)")
_DAY_MIN = 24 * 60
Span = tuple[int, int]  #: minutes since midnight: from the first, up to but without the second


def parse_hours(text: str) -> tuple[Span, ...]:
    """The spans that `text` names; none: always. A span whose end is before its begin goes over midnight.

    Raises: ConfigError.
    """
    return tuple(_span(part.strip(), text) for part in text.split(",")) if text.strip() else ()


def is_open(spans: tuple[Span, ...], *, hour: int, minute: int) -> bool:
    """Whether work is allowed at that time of the day."""
    now = hour * 60 + minute
    return not spans or any(begin <= now < end if begin < end else now >= begin or now < end for begin, end in spans)


def _span(part: str, text: str) -> Span:
    match = _SPAN.fullmatch(part)
    if match:
        hours, minutes = (int(match[1]), int(match[3])), (int(match[2]), int(match[4]))
        begin, end = hours[0] * 60 + minutes[0], hours[1] * 60 + minutes[1]
        if max(minutes) < 60 and begin < _DAY_MIN and end <= _DAY_MIN and begin != end:
            return begin, end
    msg = f"FARM_HOURS={text!r}: {part!r} is no span of time; need HH:MM-HH:MM with an end that differs from the begin"
    raise ConfigError(msg)
