"""All videos that have not ended: the dispatcher's one copy of what their ledgers say."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection
from dataclasses import dataclass

from farm.contract import JobId
from farm.dispatch.open_video import OpenVideo
from farm.dispatch.queue import Queue
from farm.errors import Conflict, Damaged, LeaseLost, NotFound
from farm.jobs import Jobs, Record
from farm.jobs.demand import demand_of
from farm.ledger.states import OPEN, Event, JobState, Status

log = logging.getLogger(__name__)
News = Record | Damaged | None  #: a video's newest state; why it cannot be read; None: it has ended or is gone


@dataclass(frozen=True)
class Change:
    """News of a video: its newest known state has changed; or, if it is not open, it ended or can be read no more."""

    job: JobId
    freed: Collection[str]  #: workers that hold no lease any more
    record: Record  #: the newest known
    ended: Status | None = None


class OpenVideos:
    """Reads ledgers, appends to them, and keeps what they say: leases, their holders, and the queue of orders.

    Not for several threads at once.
    """

    def __init__(
        self,
        jobs: Jobs,
        *,
        epoch: int,
        lease_s: float,
        clock: Callable[[], float],
        wall: Callable[[], float],
        on_change: Callable[[Change], None],
    ) -> None:
        """`clock` is monotonic, `wall` gives unix seconds. `on_change` hears of each change once it is complete."""
        self._jobs, self._epoch, self._lease_s = jobs, epoch, lease_s
        self._clock, self._wall, self._on_change = clock, wall, on_change
        self.queue = Queue()
        self._videos: dict[JobId, OpenVideo] = {}
        self._held: dict[str, set[tuple[JobId, str]]] = {}  # worker -> the leases (video, order key) that it holds
        self._ended: set[JobId] = set()  # their markers in open/ are still there

    def get(self, job_id: JobId) -> OpenVideo | None:
        """Return the video, if it is known and has not ended."""
        return self._videos.get(job_id)

    def all(self) -> Collection[OpenVideo]:
        """Return every video."""
        return self._videos.values()

    def held_by(self, worker_id: str) -> Collection[tuple[JobId, str]]:
        """Return the leases (video, order key) that the ledgers give to the worker."""
        return frozenset(self._held.get(worker_id, ()))

    def holders(self) -> list[str]:
        """Return the workers that hold a lease."""
        return list(self._held)

    def pop_ended(self) -> JobId | None:
        """Return, once, a video that has ended since its marker was seen."""
        return self._ended.pop() if self._ended else None

    def take_in(self, job_id: JobId, known: Record | None, news: News) -> None:
        """Take in what `read_news` found, unless something newer is known by now. Raises: Damaged."""
        video = self._videos.get(job_id)
        if isinstance(news, Damaged):
            self.forget(job_id)
            raise news
        if news is None:
            if known is not None:  # else another thread may have found it reopened meanwhile
                self.forget(job_id)
        elif video is None:
            if known is None:  # else it has ended meanwhile
                self._advance(OpenVideo(news), JobState(), news)
        elif news.head.seq > video.record.head.seq:
            self._advance(video, video.record.head.state, news)

    def refresh(self, job_id: JobId) -> OpenVideo | None:
        """Take in the video's news, or the whole video. Raises: Damaged; StoreError."""
        video = self._videos.get(job_id)
        known = video.record if video else None
        self.take_in(job_id, known, read_news(self._jobs, job_id, known))
        return self._videos.get(job_id)

    def append(self, video: OpenVideo, event: Event) -> bool:
        """Write a ledger entry; return False if the ledger has news that forbid it, and take the news in.

        Raises: LeaseLost, with `epoch`, if another dispatcher is in charge; StoreError.
        """
        job_id = video.record.job.id
        try:
            head = self._jobs.ledger.append(job_id, event, epoch=self._epoch, after=video.record.head)
        except LeaseLost as err:
            if "epoch" in err.facts:
                raise
            self.refresh(job_id)
            return False
        except (Conflict, NotFound):
            self.refresh(job_id)
            return False
        except Damaged as err:
            log.error("skip_damaged: %s", err, extra={"job_id": job_id})  # noqa: TRY400
            self.forget(job_id)
            return False
        self._advance(video, video.record.head.state, Record(video.record.asked, head))
        return True

    def forget(self, job_id: JobId) -> None:
        """Drop a video that is gone or cannot be read. A sweep takes it in again if it can be read later."""
        if video := self._videos.pop(job_id, None):
            self.queue.dequeue(job_id)
            freed = self._update_holders(job_id, video.record.head.state, JobState())
            self._on_change(Change(job_id, freed, video.record))

    def _advance(self, video: OpenVideo, before: JobState, record: Record) -> None:
        job_id, after = record.job.id, record.head.state
        video.advance(record, now=self._clock(), lease_s=self._lease_s)
        if after.status in OPEN:
            self._videos[job_id] = video
            self.queue.enqueue(demand_of(record), now=self._wall())
            self._on_change(Change(job_id, self._update_holders(job_id, before, after), record))
        else:
            self._videos.pop(job_id, None)
            self.queue.dequeue(job_id)
            self._ended.add(job_id)
            freed = self._update_holders(job_id, before, JobState())
            self._on_change(Change(job_id, freed, record, ended=after.status))

    def _update_holders(self, job_id: JobId, before: JobState, after: JobState) -> list[str]:
        """Bring the holders up to date; return those that hold nothing any more."""
        freed = []
        for key, lease in before.leases.items():
            if after.leases.get(key) != lease and (held := self._held.get(lease.worker)) is not None:
                held.discard((job_id, key))
                if not held:
                    del self._held[lease.worker]
                    freed.append(lease.worker)
        for key, lease in after.leases.items():
            self._held.setdefault(lease.worker, set()).add((job_id, key))
        return [worker for worker in freed if worker not in self._held]


def read_news(jobs: Jobs, job_id: JobId, known: Record | None) -> News:
    """Read what was added to the video's ledger after `known` (None: read all of it). Raises: StoreError."""
    try:
        if known is None:
            return jobs.sweep(job_id)
        return Record(known.asked, jobs.ledger.head(job_id, after=known.head))
    except NotFound:
        return None
    except Damaged as err:
        return err
