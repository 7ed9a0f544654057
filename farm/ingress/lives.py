"""Ask the dispatcher about the videos on lists, once for many readers."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping

from farm.contract import JobId, LiveJob
from farm.dispatch.news import DispatcherDoor
from farm.errors import FarmError


class Lives:
    """Asks the dispatcher one question at a time. Readers that come meanwhile share the next one."""

    def __init__(self, door: DispatcherDoor) -> None:
        self._door = door
        self._wanted = set[JobId]()
        self._asking: asyncio.Task[Mapping[JobId, LiveJob]] | None = None
        self._next: asyncio.Task[Mapping[JobId, LiveJob]] | None = None

    async def of(self, jobs: Collection[JobId]) -> Mapping[JobId, LiveJob]:
        """Return what the dispatcher knows now of these videos, and maybe of others; nothing if it does not answer."""
        if not jobs:
            return {}
        self._wanted.update(jobs)
        if self._next is None:
            self._next = asyncio.create_task(self._ask(self._asking))
        return await asyncio.shield(self._next)  # a reader who leaves takes no answer from the others

    async def _ask(self, before: asyncio.Task[Mapping[JobId, LiveJob]] | None) -> Mapping[JobId, LiveJob]:
        if before is not None and not before.done():
            await asyncio.wait([before])
        jobs, self._wanted = sorted(self._wanted), set()
        self._asking, self._next = self._next, None
        try:
            return await self._door.lives(jobs)
        except FarmError:
            return {}
