"""The dispatcher's news for the ingress: every open video, the workers, the queue, and the changes since a place.

A version rises with every change. A `Place` is a version of one dispatcher: its successor counts from the beginning.
Nothing here must survive, because the ledgers are the truth.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from farm.contract import JobId, LiveJob, Load, WorkerState, WorkerWish
from farm.jobs import Record
from farm.request import Move, VideoRequest

_ENDED = 500  #: ended and deleted videos that are remembered; to hear of earlier ones, list the videos
WATCH_S = 10.0  #: a video whose watchers are not heard of for so long is not watched any more
_QUEUE_S = 1.0  #: between two looks at the order of the queue


class Place(NamedTuple):
    """How far somebody has heard the news of a dispatcher."""

    epoch: int
    version: int


class VideoNews(NamedTuple):
    """A video that changed. Without `live` it has ended; without `record`, too, it is erased or cannot be read."""

    version: int
    job: JobId
    owner: str
    record: Record | None
    live: LiveJob | None


class News(NamedTuple):
    """The changes after a place, oldest first."""

    place: Place  #: the place up to which this news goes
    floor: int  #: of changes up to this version, those of ended videos are forgotten
    is_whole: bool  #: it holds every open video, because the place was unknown
    videos: tuple[VideoNews, ...]
    workers: tuple[WorkerState, ...] | None  #: None: unchanged
    queue: tuple[JobId, ...] | None  #: the videos that were not begun, in the order of their turns; None: unchanged

    @property
    def is_news(self) -> bool:
        """Whether anything changed."""
        return self.is_whole or bool(self.videos) or self.workers is not None or self.queue is not None


class DispatcherDoor(Protocol):
    """The dispatcher as the ingress sees it. Every call may raise Unavailable: the ledger remains the truth."""

    async def nudge(self, job: JobId, owner: str | None = None) -> None:
        """Tell the dispatcher that the ledger of `job` has news. A lost nudge delays the news, but loses nothing.

        owner: whose streams must hear of it although the video has ended.
        """

    async def move(self, job: JobId, move: Move) -> None:
        """Write a video's new turn into its ledger. Raises: Conflict if it, or the video that `move` names, is not
        queued; StoreError.
        """

    async def live(self, job: JobId) -> LiveJob | None:
        """Return what the dispatcher knows of `job`; None: it has ended."""

    async def lives(self, jobs: Sequence[JobId]) -> Mapping[JobId, LiveJob]:
        """Return what the dispatcher knows of those of `jobs` that have not ended."""

    async def workers(self) -> Sequence[WorkerState]:
        """Return all workers that the dispatcher has heard of lately, and the paused and drained ones."""

    async def worker_wish(self, worker_id: str, wish: WorkerWish) -> WorkerState:
        """Pause, resume or drain a worker, by its id or slot. Raises: NotFound; Conflict; StoreError."""

    async def waiting_for(self, request: VideoRequest) -> str | None:
        """Say why no worker could make a video of this request now; None: one could, perhaps after others."""

    async def load(self, owner: str) -> Load:
        """Return how many videos have not ended, as far as the dispatcher knows."""

    async def news(self, after: Place | None, *, timeout_s: float) -> News:
        """Return what changed after a place (None: all), as soon as something did."""

    async def watch(self, jobs: frozenset[JobId]) -> None:
        """Let the workers send previews of these videos for the next `WATCH_S`."""


class _Dated:
    """A value and the version of its last change."""

    def __init__(self) -> None:
        self.value: Any = None
        self.version = 0


class Changes:
    """Numbers the changes. Not for several threads at once."""

    def __init__(self, epoch: int, *, clock: Callable[[], float]) -> None:
        """`clock` is monotonic."""
        self._epoch, self._clock = epoch, clock
        self._version = self._floor = 0
        self._changed: dict[JobId, int] = {}  # in the order of the changes
        self._ended: dict[JobId, tuple[str, Record | None]] = {}  # in the order of their ends
        self._workers, self._queue = _Dated(), _Dated()
        self._queue_due = 0.0

    def note(self, job_id: JobId) -> None:
        """Note that an open video changed."""
        self._ended.pop(job_id, None)
        self._changed.pop(job_id, None)
        self._changed[job_id] = self._next()

    def note_end(self, job_id: JobId, owner: str, record: Record | None) -> None:
        """Note that a video ended, or changed after its end. Without `record`, it is erased or cannot be read."""
        self.note(job_id)
        self._ended[job_id] = owner, record
        while len(self._ended) > _ENDED:
            oldest = next(iter(self._ended))
            del self._ended[oldest]
            self._floor = max(self._floor, self._changed.pop(oldest))

    def news(
        self,
        after: Place | None,
        *,
        look: Callable[[JobId], tuple[Record, LiveJob] | None],
        workers: tuple[WorkerState, ...],
        queue: Callable[[], tuple[JobId, ...]],
    ) -> News:
        """Return the changes after a place. look: returns an open video and its facts; None: there is none."""
        self._date(self._workers, workers)
        if self._clock() >= self._queue_due:
            self._queue_due = self._clock() + _QUEUE_S
            self._date(self._queue, queue())
        known = after is not None and after.epoch == self._epoch and after.version >= self._floor
        heard = after.version if after and known else -1
        videos = []
        for job_id, version in reversed(self._changed.items()):
            if version <= heard:
                break
            if job_id in self._ended:
                videos.append(VideoNews(version, job_id, *self._ended[job_id], live=None))
            elif found := look(job_id):
                videos.append(VideoNews(version, job_id, found[0].asked.owner, *found))
        return News(
            place=Place(self._epoch, self._version),
            floor=self._floor,
            is_whole=not known,
            videos=tuple(reversed(videos)),
            workers=self._workers.value if self._workers.version > heard else None,
            queue=self._queue.value if self._queue.version > heard else None,
        )

    def _date(self, dated: _Dated, value: object) -> None:
        if value != dated.value:
            dated.value, dated.version = value, self._next()

    def _next(self) -> int:
        self._version += 1
        return self._version
