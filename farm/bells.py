"""Bells within this process: one part of it wakes others that wait for the same thing."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager, suppress


class Bells:
    """Bells by name, for one event loop. Nothing is lost with them: each listener looks by itself now and then."""

    def __init__(self) -> None:
        self._heard: dict[str, set[asyncio.Event]] = {}

    @contextmanager
    def heard(self, name: str) -> Iterator[asyncio.Event]:
        """Give an event that is set at each ring in the context. Enter it before you look: no news falls in between."""
        bell = asyncio.Event()
        self._heard.setdefault(name, set()).add(bell)
        try:
            yield bell
        finally:
            self._heard[name].discard(bell)
            if not self._heard[name]:
                del self._heard[name]

    def ring(self, name: str) -> None:
        """Wake all who hear this bell."""
        for bell in self._heard.get(name, ()):
            bell.set()


async def rings(bell: asyncio.Event, timeout_s: float) -> bool:
    """Wait for the ring; return whether it came in time."""
    with suppress(TimeoutError):
        await asyncio.wait_for(bell.wait(), timeout_s)
    return bell.is_set()
