"""How long the tests wait for something to happen: long enough for a machine with other work on every core.

A wait ends as soon as what it waits for is there, so patience costs nothing where all is well.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")
#: times the seconds that a wait names, which fit an idle machine; `TEST_PATIENCE=1` finds out sooner that one hangs
FACTOR = float(os.environ.get("TEST_PATIENCE", "6"))


def patient(seconds: float) -> float:
    """Return how long to wait for what takes at most `seconds` on an idle machine."""
    return seconds * FACTOR


def wait_for(look: Callable[[], T | None], *, seconds: float, what: str, pause_s: float = 0.5) -> T:
    """Call `look` until it returns something else than None, and return that.

    seconds: that it takes at most on an idle machine. pause_s: longest pause between two looks; pauses grow, because
    looks at a farm take time from what is waited for.
    Raises: AssertionError that names `what`, after `patient(seconds)`.
    """
    until, pause = time.monotonic() + patient(seconds), 0.05
    while time.monotonic() < until:
        if (found := look()) is not None:
            return found
        time.sleep(pause)
        pause = min(1.2 * pause, pause_s)
    raise AssertionError(f"waited {patient(seconds):.0f} s in vain for {what}")
