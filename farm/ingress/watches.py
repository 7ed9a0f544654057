"""The videos that clients follow through this process. All followers of a video share one watch.

A watch holds nothing that must survive. If the process ends, its clients resume their streams at another one.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from contextlib import contextmanager

from anyio import current_time
from starlette.concurrency import run_in_threadpool

from farm.contract import DispatcherDoor, JobId, LiveJob
from farm.errors import Damaged, FarmError, StoreError
from farm.jobs import Jobs
from farm.ledger import Entry
from farm.metrics import Meter, Unmetered

log = logging.getLogger(__name__)
_WAIT_S = 5.0  #: for news from the dispatcher, which answers as soon as there is some
_ALONE_S = 0.5  #: between two reads of the ledger while the dispatcher does not answer
_LOOK_S = 10.0  #: between two reads of the ledger while the dispatcher reports no new entry


class Watch:
    """A followed video: entries of its ledger, and what the dispatcher knows of it."""

    def __init__(self, job_id: JobId, *, jobs: Jobs, door: DispatcherDoor) -> None:
        """Start without entries. Nothing is read until a follower waits."""
        self._job_id, self._ledger, self._door = job_id, jobs.ledger, door
        self._entries: dict[int, Entry] = {}  # contiguous
        self._reading = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None
        self._failed: Exception | None = None
        self.live: LiveJob | None = None  #: None: the dispatcher does not answer, or knows nothing of the video
        self.news = asyncio.Event()  #: set at the next change, and replaced
        self.followers = 0

    async def entry(self, seq: int) -> Entry:
        """Return entry `seq`. Raises: ObjectMissing."""
        if seq in self._entries:
            return self._entries[seq]
        return await run_in_threadpool(self._ledger.entry, self._job_id, seq)

    async def after(self, seq: int, *, head_seq: int) -> list[Entry]:
        """Return the entries after `seq` in order, at least up to `head_seq`. Raises: StoreError."""
        async with self._reading:
            if self._entries and seq + 1 < min(self._entries):
                await self._read(seq + 1, min(self._entries))
            if max(self._entries, default=-1) < head_seq:
                await self._read(max(self._entries, default=seq) + 1, None)
            return [entry for number, entry in sorted(self._entries.items()) if number > seq]

    async def changed(self, news: asyncio.Event) -> None:
        """Wait until `news` is set; take it from `self.news` before reading. Raises: the error that ended the watch."""
        if self._failed is None:  # or else no task would ever set `news`
            if self._task is None:
                self._task = asyncio.create_task(self._look())
            await news.wait()
        if self._failed:
            raise self._failed

    def close(self) -> None:
        """Stop watching; the last follower has left."""
        if self._task:
            self._task.cancel()

    async def _look(self) -> None:
        """Watch forever: ask the dispatcher, which knows of every entry, and sometimes read the ledger."""
        looked_at = current_time()
        while True:
            last, begun, known = self.live, current_time(), len(self._entries)
            try:
                self.live = await self._ask(last)
                told = self.live is not None and self.live.seq <= max(self._entries, default=-1)
                if not told or current_time() - looked_at > _LOOK_S:
                    looked_at = current_time()
                    async with self._reading:
                        await self._read(max(self._entries, default=-1) + 1, None)
            except Damaged as err:  # asking again does not help
                self._failed = err
                self._ring()
                return
            except StoreError as err:  # keep trying
                log.warning("watch_store_unavailable: %s", err, extra={"job_id": self._job_id})
            except Exception as err:  # border: the followers must learn of it
                log.exception("watch_failed", extra={"job_id": self._job_id})
                self._failed = err
                self._ring()
                return
            if self.live != last or len(self._entries) != known:
                self._ring()
            if self.live is None or self.live == last:
                await asyncio.sleep(max(_ALONE_S - (current_time() - begun), 0))

    async def _ask(self, last: LiveJob | None) -> LiveJob | None:
        try:
            return await self._door.live(
                self._job_id, after_version=last.version if last else -1, timeout_s=_WAIT_S if last else 0.0
            )
        except FarmError:
            return None

    async def _read(self, first: int, stop: int | None) -> None:
        """Read the entries from `first` up to, but not including, `stop` (None: to the end)."""
        found = await run_in_threadpool(self._read_now, first, stop)
        if stop is None or len(found) == stop - first:
            self._entries |= found

    def _read_now(self, first: int, stop: int | None) -> dict[int, Entry]:
        found: dict[int, Entry] = {}
        for entry in self._ledger.following(self._job_id, first - 1):
            if entry.seq == stop:
                break
            found[entry.seq] = entry
        return found

    def _ring(self) -> None:
        news, self.news = self.news, asyncio.Event()
        news.set()


class Watches:
    """The watches of this process."""

    def __init__(self, jobs: Jobs, door: DispatcherDoor, *, meter: Meter | None = None) -> None:
        self._jobs, self._door, self._meter = jobs, door, meter or Unmetered()
        self._watches: dict[JobId, Watch] = {}

    @property
    def followers(self) -> int:
        """How many clients follow a video through this process."""
        return sum(watch.followers for watch in self._watches.values())

    @contextmanager
    def following(self, job_id: JobId) -> Iterator[Watch]:
        """Share the video's watch for as long as the context lasts."""
        watch = self._watches.get(job_id)
        if watch is None:
            watch = self._watches[job_id] = Watch(job_id, jobs=self._jobs, door=self._door)
        watch.followers += 1
        self._meter.set("framefarm_watchers", self.followers)
        try:
            yield watch
        finally:
            watch.followers -= 1
            if not watch.followers:
                watch.close()
                del self._watches[job_id]
            self._meter.set("framefarm_watchers", self.followers)
