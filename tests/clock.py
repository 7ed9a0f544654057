"""Time that a test moves on."""

from __future__ import annotations


class Clock:
    """Seconds that pass when the test says so."""

    def __init__(self, now: float = 100.0) -> None:
        """Begins at `now`: of any clock, or of Unix time."""
        self.now = now

    def __call__(self) -> float:
        """The time now."""
        return self.now
