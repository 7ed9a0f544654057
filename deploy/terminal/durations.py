"""Times in words: 17 s, 1 min 13 s, 2 h 5 min, 3 days 4 h."""

from __future__ import annotations

_UNITS = (("day", 86400), ("h", 3600), ("min", 60), ("s", 1))


def duration(seconds: float) -> str:
    """Return a time in whole seconds, in its two largest units."""
    left = max(round(seconds), 0)
    first = next((place for place, (_, size) in enumerate(_UNITS) if left >= size), len(_UNITS) - 1)
    words: list[str] = []
    for name, size in _UNITS[first : first + 2]:
        if left >= size or not words:
            words.append(_counted(left // size, name))
        left %= size
    return " ".join(words)


def length(seconds: float | str) -> str:
    """Return the length of a video: 2.43 s, 1 min 13 s."""
    exact = float(seconds)
    return duration(exact) if exact >= 60 else f"{round(exact, 2):g} s"


def _counted(number: int, unit: str) -> str:
    return f"{number} {unit}{'s' if unit == 'day' and number != 1 else ''}"
