"""Those who wait in one event loop for one kind of news."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager


class Bell:
    """Wakes everybody who listens, once. Use it in one event loop only."""

    def __init__(self) -> None:
        """Nobody listens."""
        self.listeners: set[asyncio.Event] = set()

    @contextmanager
    def listening(self) -> Iterator[asyncio.Event]:
        """What is set by the next ring: begin to listen before you look, so that no news falls in between."""
        event = asyncio.Event()
        self.listeners.add(event)
        try:
            yield event
        finally:
            self.listeners.discard(event)

    def ring(self) -> None:
        """There are news."""
        for event in self.listeners:
            event.set()


async def heard(ringing: asyncio.Event, timeout_s: float) -> bool:
    """Whether it rang before the time was over."""
    if ringing.is_set():
        return True
    try:
        await asyncio.wait_for(ringing.wait(), max(0.0, timeout_s))
    except TimeoutError:
        return False
    return True
