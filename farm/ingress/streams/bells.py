"""Bells within this process: one part of the ingress wakes another that waits for the same thing."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager


class Bells:
    """Bells by name. Nothing is lost with them: each listener looks by itself now and then."""

    def __init__(self) -> None:
        self._heard: dict[str, set[asyncio.Event]] = {}

    @contextmanager
    def heard(self, name: str) -> Iterator[asyncio.Event]:
        """Give an event that is set at each ring for as long as the context lasts."""
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
