"""The feed: this process's knowledge of the farm, from one question to the dispatcher for all of its streams.

It holds nothing that must survive. If the process ends, its clients resume their streams at another one.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, NamedTuple

from starlette.concurrency import run_in_threadpool

from farm.contract import JobId, LiveJob, WorkerState
from farm.dispatch.news import WATCH_S, DispatcherDoor, News, Place, VideoNews
from farm.errors import Damaged, FarmError, NotFound, StoreError
from farm.ingress.content import etag_of
from farm.ingress.ready import Readiness
from farm.ingress.streams.subjects import Key, Subject, Subjects
from farm.ingress.views import progress_view, video_view, worker_view
from farm.jobs import Jobs, Record
from farm.ledger.states import OPEN

log = logging.getLogger(__name__)
_WAIT_S = 5.0  #: for news from the dispatcher, which answers as soon as there is some
_PAUSE_S = 0.05  #: between two questions, so that news that come together are fetched together
_AGAIN_S = 0.5  #: to the next question after one that the dispatcher did not answer
_STORE_S = 10.0  #: between two trials of the store
_ENDED = 500  #: ended videos that are remembered
_FARM = Key("farm", "")


class Known(NamedTuple):
    """An open video as the dispatcher told it last."""

    record: Record
    live: LiveJob


class Feed:
    """The newest truth of all videos, workers and the queue. It asks the dispatcher only while somebody follows it."""

    def __init__(
        self,
        jobs: Jobs,
        door: DispatcherDoor,
        readiness: Readiness,
        *,
        keep_days: float | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Neither blocks nor asks anything. `clock` is monotonic."""
        self._jobs, self._door, self._readiness, self._keep_days = jobs, door, readiness, keep_days
        self._clock = clock
        self.subjects = Subjects(clock)
        self.place: Place | None = None  #: how far the dispatcher was heard; None: never
        self.floor = 0  #: of changes up to this version, those of ended videos are forgotten
        self.open: dict[JobId, Known] = {}
        self._parts = {"dispatcher": "ok", "store": "ok"}
        self._followers = 0
        self._watched, self._watch = Counter[JobId](), asyncio.Event()  # set when another video is watched
        self._tasks: list[asyncio.Task[None]] = []
        self._lost: dict[JobId, Known] = {}  # they ended while no dispatcher told
        self._heard, self._hears = asyncio.Event(), False
        self.news = asyncio.Event()  #: set at the next change, and replaced

    @contextmanager
    def following(self, watched: frozenset[JobId] = frozenset()) -> Iterator[None]:
        """Keep the feed fresh for as long as the context lasts, and let workers show the `watched` videos.

        The first follower begins where the last one left, if the dispatcher still knows that place.
        """
        self._followers += 1
        self._watched.update(watched)
        if watched:
            self._watch.set()
        if not self._tasks:
            self._heard = asyncio.Event()
            self._tasks = [asyncio.create_task(loop()) for loop in (self._listen, self._try_store, self._let_show)]
        try:
            yield
        finally:
            self._followers -= 1
            self._watched -= Counter(watched)
            if not self._followers:
                for task in self._tasks:
                    task.cancel()
                self._tasks, self._hears = [], False

    @property
    def has_heard(self) -> bool:
        """Whether the dispatcher has answered or failed to since the first follower came."""
        return self._heard.is_set()

    async def heard(self) -> None:
        """Wait until the dispatcher has answered or failed to."""
        await self._heard.wait()

    def known(self, job_id: JobId) -> Known | None:
        """Return an open video as it is now. None: it is not open, or the dispatcher does not answer."""
        return self.open.get(job_id) if self._hears else None

    def counts(self, owner: str) -> dict[str, int]:
        """Count the owner's videos that have not ended, by status."""
        found: dict[str, int] = dict.fromkeys(sorted(OPEN), 0)
        for known in self.open.values():
            if known.record.asked.owner == owner:
                found[known.record.head.state.status] += 1
        return found

    # --- what it hears -----------------------------------------------------------------------------------------------

    async def _listen(self) -> None:
        due_s: float | None = 0.0  # ask at once: a follower waits
        while True:
            try:
                wait_s = _WAIT_S if due_s is None else min(due_s, _WAIT_S)
                news = await self._door.news(self.place, timeout_s=wait_s if self.has_heard else 0.0)
                await self._take_in(news)
                self._note("dispatcher", "ok")
                self._hears, pause_s = True, _PAUSE_S
            except FarmError as err:
                self._note("dispatcher", str(err))
                self._hears, pause_s = False, _AGAIN_S
            except Exception:  # border: the streams of all clients hang on this task
                log.exception("feed_failed")
                self._hears, pause_s = False, _AGAIN_S
            due_s = self.subjects.flush()
            self._heard.set()
            self._ring()
            await asyncio.sleep(pause_s)

    async def _try_store(self) -> None:
        while True:
            self._note("store", await self._readiness.store())
            self._ring()
            await asyncio.sleep(_STORE_S)

    async def _let_show(self) -> None:
        """Let workers show what is watched: at once, and again before the dispatcher forgets it."""
        while True:
            self._watch.clear()
            if self._watched:
                with suppress(FarmError):  # `_listen` tells that the dispatcher is away
                    await self._door.watch(frozenset(self._watched))
            with suppress(TimeoutError):
                await asyncio.wait_for(self._watch.wait(), WATCH_S / 3)

    async def _take_in(self, news: News) -> None:
        if news.is_whole and not self.has_heard:  # nobody has heard what is known from before
            self.subjects, self.open, self._lost = Subjects(self._clock), {}, {}
        before = self.open
        if news.is_whole:
            self.open, self.floor = {}, news.floor
            for _, subject in self.subjects.of("video", "gone"):
                subject.version = 0  # of another dispatcher: each client that names a place of this one has heard of it
        for told in news.videos:
            self._lost.pop(told.job, None)
            self._take_video(told, before.get(told.job))
        if news.is_whole:
            self._lost |= {job_id: known for job_id, known in before.items() if job_id not in self.open}
        await self._find_lost(news.place.version)
        if news.workers is not None:
            self._take_workers(news.workers)
        if news.queue is not None:
            self._take_queue(news.queue)
        self.place = news.place
        self._forget_ended()

    async def _find_lost(self, version: int) -> None:
        """Read the ends of videos that no dispatcher reported. If the store is silent, a later call asks again."""
        for job_id, known in list(self._lost.items()):
            record: Record | None = None
            try:
                record = await run_in_threadpool(self._jobs.get, job_id, owner=None)
            except NotFound:  # it was erased
                pass
            except Damaged as err:
                log.warning("feed_skips: %s", err, extra={"job_id": job_id})
            except StoreError:
                return
            del self._lost[job_id]
            self._take_video(VideoNews(version, job_id, known.record.asked.owner, record, None), None)

    def _take_video(self, told: VideoNews, before: Known | None) -> None:
        record, live, key = told.record, told.live, Key("video", told.job)
        if live is None or record is None:
            self.open.pop(told.job, None)
            self.subjects.drop(Key("progress", told.job))
            self.subjects.drop(Key("preview", told.job))
            self.subjects.drop(key)
        else:
            self.open[told.job] = Known(record, live)
            self.subjects.drop(Key("gone", told.job))  # it can be read again
            self._put(Key("progress", told.job), told.owner, progress_view(record, live))
            self._take_preview(record, live)
        if record is None:
            self.subjects.put(Key("gone", told.job), _gone(told.job, "video", told.owner, told.version))
            return
        same = self.subjects.get(key)
        if same is not None and before is not None and live is not None and _shown(record, live) == _shown(*before):
            same.version = told.version
            return
        keep_days = self._keep_days
        self.subjects.put(key, Subject(told.owner, lambda: _video(record, live, keep_days), version=told.version))

    def _take_preview(self, record: Record, live: LiveJob) -> None:
        progress, found = live.progress, None
        if progress is not None and progress.preview is not None:
            shown = progress.preview
            found = {
                "id": record.asked.id,
                "section": progress.key.section,
                "step": shown.step,
                "etag": etag_of(shown),
            }
        self._put(Key("preview", record.asked.id), record.asked.owner, found)

    def _take_workers(self, workers: tuple[WorkerState, ...]) -> None:
        for state in workers:
            self.subjects.drop(Key("gone", state.card.id))
            public = worker_view(state, names_video=False)
            self._put(Key("worker", state.card.id), state.owner, worker_view(state), public)
        there = {state.card.id for state in workers}
        for key, _ in list(self.subjects.of("worker")):
            if key.name not in there:
                self.subjects.drop(key)
                self.subjects.put(Key("gone", key.name), _gone(key.name, "worker", None, 0))

    def _take_queue(self, queue: tuple[JobId, ...]) -> None:
        lines: dict[str, tuple[list[str], list[int]]] = {key.name: ([], []) for key, _ in self.subjects.of("queue")}
        for place, job_id in enumerate(queue):
            if known := self.open.get(job_id):
                ids, positions = lines.setdefault(known.record.asked.owner, ([], []))
                ids.append(job_id)
                positions.append(place)
        for owner, (ids, positions) in lines.items():
            self._put(Key("queue", owner), owner, {"ids": ids, "positions": positions})

    def _put(
        self, key: Key, owner: str | None, found: dict[str, Any] | None, public: dict[str, Any] | None = None
    ) -> None:
        """Send a subject's state if it has changed; None: there is none."""
        if found is None:
            self.subjects.drop(key)
        elif (same := self.subjects.get(key)) is None or same.truth() != found:
            self.subjects.put(key, Subject(owner, lambda: found, public))

    def _note(self, part: str, state: str) -> None:
        parts = self._parts | {part: state}
        if parts != self._parts or self.subjects.get(_FARM) is None:
            self._parts = parts
            self.subjects.put(_FARM, Subject(None, lambda: parts, parts))

    def _forget_ended(self) -> None:
        """Forget the ends told long ago, and tell nobody who comes back that they know it all."""
        ended = [(key, each) for key, each in self.subjects.of("video", "gone") if key.name not in self.open]
        for key, subject in ended[: max(0, len(ended) - _ENDED)]:
            self.subjects.drop(key)
            self.floor = max(self.floor, subject.version)

    def _ring(self) -> None:
        news, self.news = self.news, asyncio.Event()
        news.set()


def _video(record: Record, live: LiveJob | None, keep_days: float | None) -> dict[str, Any]:
    found = video_view(record, live, keep_days=keep_days)
    del found["request"]
    return found | {"at": record.head.at}


def _shown(record: Record, live: LiveJob) -> tuple[int, str | None]:
    """Return what a `video` event shows and no other event does."""
    return record.head.seq, live.waiting_for


def _gone(name: str, kind: str, owner: str | None, version: int) -> Subject:
    found = {"id": name, "object": kind}
    return Subject(owner, lambda: found, None if owner else found, version=version)
