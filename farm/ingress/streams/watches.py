"""The videos that clients follow through this process: a watch for the followers of each, one feed for all watches.

A watch holds nothing that must survive. If the process ends, its clients resume their streams at another one.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from itertools import takewhile
from typing import Any, NamedTuple

from anyio import current_time
from starlette.concurrency import run_in_threadpool

from farm.contract import Job, JobId, LiveJob
from farm.errors import Damaged, StoreError
from farm.ingress.streams.feed import Feed, Known
from farm.ingress.streams.subjects import Key, Subject, encoded
from farm.ingress.views import video_view
from farm.jobs import Jobs, Record
from farm.ledger import Entry, Ledger
from farm.ledger.states import ENDED
from farm.metrics import Meter, Unmetered

log = logging.getLogger(__name__)
_ALONE_S = 0.5  #: between two reads of a ledger whose video the feed does not know


class Told(NamedTuple):
    """An event of a ledger entry, encoded once for all followers."""

    is_end: bool
    text: bytes


class Watch:
    """A followed video: the entries of its ledger and their events, and the newest progress."""

    def __init__(self, job: Job, ledger: Ledger, *, keep_days: float | None, hear: Callable[[Watch], None]) -> None:
        """Start without entries. Nothing is read until a follower waits; `hear` then asks the feed."""
        self.job, self._ledger, self._keep_days, self._hear = job, ledger, keep_days, hear
        self._entries: list[Entry] = []  # contiguous, up to the newest known
        self._events: dict[int, list[Told]] = {}
        self._reading = asyncio.Lock()
        self._look: asyncio.Task[None] | None = None
        self._looked_at, self._was_known = float("-inf"), True
        self._failed: Exception | None = None
        self.live: LiveJob | None = None  #: None: the dispatcher does not answer, or knows nothing of the video
        self.progress: Subject | None = None  #: None: nothing is known of an order
        self.news = asyncio.Event()  #: set at the next change, and replaced
        self.followers = 0
        self.is_awaited = False  #: a follower has read all that there was

    async def entry(self, seq: int) -> Entry:
        """Return entry `seq`. Raises: ObjectMissing."""
        if self._entries and self._entries[0].seq <= seq <= self._last:
            return self._entries[seq - self._entries[0].seq]
        return await run_in_threadpool(self._ledger.entry, self.job.id, seq)

    async def after(self, seq: int, *, head_seq: int) -> list[Entry]:
        """Return the entries after `seq` in order, at least up to `head_seq`. Raises: StoreError."""
        async with self._reading:
            first = self._entries[0].seq if self._entries else 0
            if seq + 1 < first and len(earlier := await self._read(seq, first)) == first - seq - 1:
                self._entries = earlier + self._entries
            if self._last < head_seq:
                self._append(await self._read(self._last if self._entries else seq, None))
        return [entry for entry in self._entries if entry.seq > seq]

    def events(self, entry: Entry, before: Entry | None) -> list[Told]:
        """Return the events of an entry, at most one of each kind. before: the entry before it."""
        found = self._events.get(entry.seq)
        if found is None:
            told = _events_of(Record(self.job, entry), before, keep_days=self._keep_days)
            found = self._events[entry.seq] = [
                Told(kind == "end", b"id: %d.%d\r\n%b" % (entry.seq, n, encoded(kind, data)))
                for n, (kind, data) in enumerate(told)
            ]
        return found

    async def changed(self, news: asyncio.Event) -> None:
        """Wait until `news` is set; take it from `self.news` before reading. Raises: the error that ended the watch."""
        if self._failed is None:  # or else nobody would ever set `news`
            if not self.is_awaited:
                self.is_awaited = True
                self._hear(self)
            await news.wait()
        if self._failed:
            raise self._failed

    def hear(self, known: Known | None, progress: Subject | None) -> None:
        """Take in the feed's facts about the video. If it has none, read the ledger."""
        head, self.live = (known.record.head, known.live) if known else (None, None)
        if head is None:
            if self._was_known or current_time() - self._looked_at >= _ALONE_S:
                self._look_soon()
        elif head.seq == self._last + 1:
            self._append([head])
            self._ring()
        elif head.seq > self._last:
            self._look_soon()
        self._was_known = head is not None
        if progress is not self.progress:
            self.progress = progress
            self._ring()

    def fail(self, error: Exception) -> None:
        """End the watch: its followers get the error."""
        self._failed = error
        self._ring()

    def close(self) -> None:
        """Stop watching; the last follower has left."""
        if self._look:
            self._look.cancel()

    @property
    def _last(self) -> int:
        return self._entries[-1].seq if self._entries else -1

    def _look_soon(self) -> None:
        if self._look is None or self._look.done():
            self._look = asyncio.create_task(self._look_now())

    async def _look_now(self) -> None:
        self._looked_at, last = current_time(), self._last
        try:
            async with self._reading:
                self._append(await self._read(self._last, None))
        except Damaged as err:  # asking again does not help
            self._failed = err
        except StoreError as err:  # the next news or the next look try again
            log.warning("watch_store_unavailable: %s", err, extra={"job_id": self.job.id})
        except Exception as err:  # border: the followers must learn of it
            log.exception("watch_failed", extra={"job_id": self.job.id})
            self._failed = err
        if self._failed or self._last != last:
            self._ring()

    async def _read(self, after: int, stop: int | None) -> list[Entry]:
        """Read the entries after `after` up to, but not including, `stop` (None: to the end)."""
        return await run_in_threadpool(self._read_now, after, stop)

    def _read_now(self, after: int, stop: int | None) -> list[Entry]:
        return list(takewhile(lambda entry: entry.seq != stop, self._ledger.following(self.job.id, after)))

    def _append(self, found: list[Entry]) -> None:
        """Add those that the feed has not brought meanwhile."""
        last = self._last
        self._entries += [entry for entry in found if entry.seq > last]

    def _ring(self) -> None:
        news, self.news = self.news, asyncio.Event()
        news.set()


class Watches:
    """The watches of this process."""

    def __init__(self, jobs: Jobs, feed: Feed, *, keep_days: float | None = None, meter: Meter | None = None) -> None:
        self._jobs, self._feed, self._keep_days, self._meter = jobs, feed, keep_days, meter or Unmetered()
        self._watches: dict[JobId, Watch] = {}
        self._task: asyncio.Task[None] | None = None

    @property
    def followers(self) -> int:
        """How many clients follow a video through this process."""
        return sum(watch.followers for watch in self._watches.values())

    @contextmanager
    def following(self, job: Job) -> Iterator[Watch]:
        """Share the video's watch for as long as the context lasts."""
        watch = self._watches.get(job.id)
        if watch is None:
            watch = Watch(job, self._jobs.ledger, keep_days=self._keep_days, hear=self._hear)
            self._watches[job.id] = watch
        watch.followers += 1
        self._meter.set("framefarm_watchers", self.followers)
        try:
            yield watch
        finally:
            watch.followers -= 1
            if not watch.followers:
                watch.close()
                if self._watches.get(job.id) is watch:  # it has not failed
                    del self._watches[job.id]
            if not self._watches and self._task:
                self._task.cancel()
                self._task = None
            self._meter.set("framefarm_watchers", self.followers)

    def _hear(self, watch: Watch) -> None:
        """Tell a watch what the feed knows; follow the feed from now on."""
        if self._task is None:
            self._task = asyncio.create_task(self._follow_feed())
            self._task.add_done_callback(self._ended)
        elif self._feed.has_heard:
            self._tell(watch)

    async def _follow_feed(self) -> None:
        with self._feed.following():
            await self._feed.heard()
            while True:
                news = self._feed.news
                for watch in self._watches.values():
                    if watch.is_awaited:
                        self._tell(watch)
                with suppress(TimeoutError):
                    await asyncio.wait_for(news.wait(), _ALONE_S)

    def _ended(self, task: asyncio.Task[None]) -> None:
        """End all watches, or else their followers would wait for ever. New watches begin to follow the feed again."""
        if task is not self._task:  # the last follower had left
            return
        self._task = None
        if not task.cancelled() and isinstance(error := task.exception(), Exception):
            log.error("watches_failed", exc_info=error)
            watches, self._watches = self._watches, {}
            for watch in watches.values():
                watch.fail(error)

    def _tell(self, watch: Watch) -> None:
        known = self._feed.known(watch.job.id)
        progress = self._feed.subjects.told(Key("progress", watch.job.id)) if known else None
        watch.hear(known, progress)


def _events_of(
    record: Record, before: Entry | None, *, keep_days: float | None
) -> Iterator[tuple[str, dict[str, Any]]]:
    entry, job = record.head, record.job
    state = entry.state
    done = len(before.state.sections) if before else 0
    if len(state.sections) > done:
        news = {
            "section": len(state.sections) - 1,
            "sections_done": len(state.sections),
            "attempt": entry.event.attempt,
        }
        yield "section", {"id": job.id, **news, "sections_total": job.plan.sections, "at": entry.at}
    if before is None or before.state.status != state.status:
        error = state.error.model_dump() if state.error else None
        yield "status", {"id": job.id, "status": state.status, "error": error, "at": entry.at}
        if state.status in ENDED:
            yield "end", video_view(record, keep_days=keep_days)
