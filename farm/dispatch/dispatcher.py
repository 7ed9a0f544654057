"""The dispatcher's mind: which worker holds which lease. Its memory is a cache of the ledger; no Ray in here.

Workers ask for orders and report; docs/reference/protocol.md lists the answers. One lock makes the methods take turns.
What is read from the store is read before the lock is taken, or after; entries are written under it, so that the
next decision knows of them.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import get_args

from farm.contract import (
    Failure,
    JobId,
    LiveJob,
    Load,
    Order,
    OrderKey,
    Progress,
    Stage,
    Verdict,
    WorkerCard,
    WorkerState,
    WorkerWish,
    slot_of,
)
from farm.dispatch.open_videos import OpenVideo, bare_order, whole_order
from farm.dispatch.roster import Leaves, Roster, Worker
from farm.dispatch.scheduler import Scheduler, can_do
from farm.errors import Conflict, Damaged, LeaseLost, NotFound, StoreError
from farm.jobs import Jobs, Record
from farm.jobs.demand import demand_of
from farm.jobs.expiry import erase_expired
from farm.ledger.damage import look_at_each, skipping_damaged
from farm.ledger.log import take_epoch
from farm.ledger.states import OPEN, ErrorInfo, Event, EventName, JobState
from farm.metrics import Meter, Unmetered
from farm.settings import FarmSettings

log = logging.getLogger(__name__)
_EXPIRE_S = 600.0  #: what is past its FARM_KEEP_DAYS is looked for this often


class Dispatcher:
    """Leases orders to workers, one epoch long. Methods may be called from any thread."""

    def __init__(
        self,
        jobs: Jobs,
        settings: FarmSettings,
        *,
        on_news: Callable[[JobId | None], None] = lambda _: None,
        on_orders: Callable[[], None] = lambda: None,
        on_end: Callable[[], None] = lambda: None,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
        meter: Meter | None = None,
    ) -> None:
        """Take charge of the store: the next epoch is ours. `clock` measures leases, `wall` (unix seconds) waiting.

        on_news:   what `live` says of a video has changed; None: of every video.
        on_orders: there may be an order for a worker that got none.
        on_end:    a video has ended, and its marker in open/ is gone.
        Raises: StoreError.
        """
        self._jobs, self._settings, self._clock = jobs, settings, clock
        self._on_news, self._on_orders, self._on_end = on_news, on_orders, on_end
        self._meter = meter or Unmetered()
        self._wall, self._scheduler = wall, Scheduler()
        self._lock = threading.RLock()
        self._videos: dict[JobId, OpenVideo] = {}
        self._over: set[JobId] = set()  # ended: their markers are still there
        self._roster = Roster(Leaves(jobs.store), clock=clock)
        self.draining = False
        self._expire_at = clock() + settings.sweep_s  # not at once: a restart must not wait for it
        self.claim = take_epoch(jobs.store)
        self.epoch = self.claim.number
        self.sweep()

    def ask(self, card: WorkerCard) -> Order | Verdict:
        """An idle worker wants an order. "go", "pause": there is none now, ask again; "exit": end yourself."""
        self._settle(card.id)
        with self._lock:
            verdict = self._verdict(card)
            if verdict == "exit":
                return "exit"
            if self._roster.get(card.id) is None or self._roster.trouble:
                self._all_changed()
            worker, self._roster.trouble = self._roster.saw(card), ""
            worker.order = None
            if verdict == "pause":
                self._unseat(card.id)
                return "pause"
            self._scheduler.seat(card)
            self._scheduler.asks(card.id, now=self._wall())
            leased = self._lease_to(worker)
            if leased is None:
                return self._leave_or_stay(card.id)
        record, bare = leased
        try:
            worker.order = order = whole_order(self._jobs, record, bare)
        except Damaged as err:  # else its worker would ask for it for ever
            where = {"job": record.job.id, "key": bare.key, "attempt": bare.attempt, "worker": card.id}
            self.give_up(Failure(**where, code="damaged", message=str(err)))
            return "go"
        return order

    def beat(self, card: WorkerCard, progress: Progress) -> Verdict:
        """A busy worker reports. "stop": drop the order, its lease is gone or its video paused; "pause": and rest."""
        with self._lock:
            if self._roster.is_dead(card.id):
                return "exit"
            worker = self._roster.saw(card)
            self._scheduler.seat(card)
            video = self._videos.get(progress.job) or self._load(progress.job)
            if video is None or not self._holds(video, progress):
                return "stop"
            video.reported(progress, until=self._clock() + self._settings.lease_s)
            if worker.order is None or worker.order.attempt != progress.attempt:  # leased by our predecessor
                lease_s = self._settings.lease_s
                worker.order = bare_order(video.record, progress.key, progress.attempt, lease_s=lease_s)
                self._scheduler.inherits(worker.card.id, progress.job, progress.key, now=self._wall())
            self._changed(video)
            paused = video.record.head.state.status == "paused"
            return verdict if (verdict := self._verdict(card)) != "go" or not paused else "stop"

    def give_up(self, failure: Failure) -> None:
        """A worker ends its order without a commit."""
        with self._lock:
            if worker := self._roster.get(failure.worker):
                worker.order = None
                self._scheduler.ended(failure.worker, now=self._wall())
            if video := self._videos.get(failure.job) or self._load(failure.job):
                self._end_lease(video, failure)

    def worker_died(self, worker_id: str, *, alone: bool = True) -> None:
        """A worker's process is gone: its leases end now, not when they expire.

        That counts (rule 7) where it died `alone`: not with its node, and not because it was told to go.
        """
        with self._lock:
            alone = alone and self._roster.verdict(worker_id) != "exit"
            self._roster.bury(worker_id, alone=alone)  # a question of its that is still on the way gets no order
            self._unseat(worker_id)
            try:
                self._end_leases_of_the_dead()
            except StoreError as err:  # the next tick tries again
                log.warning("store_unavailable: %s", err)

    def overslept(self, seconds: float) -> None:
        """We did not listen for so long (frozen, or held up by the store): it is no worker's silence."""
        with self._lock:
            latest = self._clock() + self._settings.lease_s
            for video in self._videos.values():
                video.overslept(seconds, latest=latest)
            self._roster.overslept(seconds)

    def nodes(self, alive: set[str], leaving: set[str]) -> None:
        """Ray's ids of the living nodes, and the slots of those that go soon: their workers stop at their next step."""
        if self._roster.leaving != leaving:
            self._roster.leaving = leaving
            self._on_orders()
        if stale := self._roster.leaves.drained_on_others(alive):
            with self._lock:
                self._roster.leaves.forget(stale)

    def may_fill(self, slot: str) -> bool:
        """Whether the slot shall have a worker."""
        return self._roster.leaves.kind(slot) != "drained"

    def wanted_workers(self) -> int | None:
        """How many workers there shall be now; None: as many as the nodes have room for."""
        if not self._settings.autoscale:
            return None
        with self._lock:
            return min(self._settings.autoscale, self._scheduler.wanted())

    def worker_wish(self, worker_id: str, wish: WorkerWish) -> WorkerState:
        """What an operator asks of a worker, named by its id or its slot. Raises: NotFound, Conflict, StoreError."""
        with self._lock:
            state = self._roster.wish(worker_id, wish)
            log.info("worker_%s", wish, extra={"worker": worker_id})
            self._on_orders()
            self._all_changed()
            return state

    def worker_failed_to_start(self, message: str) -> None:
        """Remember why: it is told to those who wait, until a worker asks for an order."""
        with self._lock:
            self._roster.trouble = message
            self._all_changed()

    def nudge(self, job_id: JobId) -> None:
        """The ledger of `job_id` has news."""
        if job_id in self._videos:
            self.refresh(job_id)
        else:
            self._load(job_id)
        self._tidy()

    def tick(self) -> None:
        """Look for news of leased videos and end leases that ran out. Call every `poll_s`; else say `overslept`."""
        now = self._clock()  # before the store is asked: how long it takes is not the workers' silence
        with self._lock:
            leased = [job_id for job_id, video in self._videos.items() if video.record.head.state.leases]
        look_at_each(self.refresh, leased)
        with self._lock:
            for job_id in leased:
                with skipping_damaged(job_id):
                    self._expire(job_id, now)
            self._end_leases_of_the_dead()
            present = {worker.card.id for worker in self._roster.present()}
            for worker_id in self._scheduler.crew.seats.keys() - present:
                self._unseat(worker_id)
            self._measure()
        self._tidy()

    def sweep(self) -> None:
        """List the open videos, and look at all we know. Call every `sweep_s`: it finds what lost nudges told of."""
        look_at_each(self.nudge, sorted({*self._jobs.open_ids(), *self._videos}))
        if self._settings.keep_days is not None and self._clock() >= self._expire_at:
            self._expire_at = self._clock() + _EXPIRE_S
            if erase_expired(self._jobs, self._settings.keep_days, now_s=self._wall()):
                self._expire_at = self._clock()  # the next sweep goes on

    def drain(self) -> None:
        """Give out nothing more; workers stop at their next step, give their leases back and end."""
        with self._lock:
            self.draining = True
            self._on_orders()

    def live(self, job_id: JobId) -> LiveJob | None:
        """What is known of a video that has not ended."""
        with self._lock:
            video = self._videos.get(job_id)
            if video is None:
                return None
            return LiveJob(
                version=video.version,
                seq=video.record.head.seq,
                progress=video.progress,
                eta_s=video.eta_s(self._clock()),
                queue_position=self._scheduler.position(job_id),
                waiting_for=self._roster.waiting_for(video.record),
            )

    def load(self, owner: str) -> Load:
        """How many videos have not ended."""
        with self._lock:
            of_owner = sum(video.record.asked.owner == owner for video in self._videos.values())
            return Load(open=len(self._videos), of_owner=of_owner)

    def workers(self) -> list[WorkerState]:
        """The workers heard of lately."""
        with self._lock:
            return self._roster.states()

    def refresh(self, job_id: JobId) -> None:
        """Read what was added to the video's ledger since we looked. Raises: Damaged; StoreError."""
        video = self._videos.get(job_id)
        if video is None:
            return
        try:
            head = self._jobs.ledger.head(job_id, after=video.record.head)
        except NotFound:
            self._forget(job_id)
            return
        except Damaged:
            self._forget(job_id)
            raise
        with self._lock:
            if self._videos.get(job_id) is video and head.seq > video.record.head.seq:
                self._advance(video, Record(video.record.asked, head))

    def _forget(self, job_id: JobId) -> None:
        """The video is gone, or cannot be read: a sweep takes it in again once it can, as if it were new to us."""
        with self._lock:
            if video := self._videos.pop(job_id, None):
                self._hold(job_id, video.record.head.state, None)
                self._scheduler.drop(job_id)
                self._on_news(job_id)

    def _load(self, job_id: JobId) -> OpenVideo | None:
        record = self._jobs.sweep(job_id)
        if record is None:
            return None
        with self._lock:
            if job_id not in self._videos:  # else another thread was faster
                video = self._videos[job_id] = OpenVideo(record)
                self._advance(video, record)
            return self._videos.get(job_id)

    def _tidy(self) -> None:
        """Take the markers of videos that ended; what a crash before that leaves is found at a restart."""
        while self._over:
            with contextlib.suppress(KeyError):  # another thread was faster
                self._jobs.sweep(self._over.pop())
                self._on_end()

    def _advance(self, video: OpenVideo, record: Record) -> None:
        """Take in a newer state: lease clocks follow the leases, an ended video leaves our memory."""
        self._hold(record.job.id, video.record.head.state, record.head.state)
        self._scheduler.put(demand_of(record), now=self._wall())
        video.advance(record, now=self._clock(), lease_s=self._settings.lease_s)
        state = record.head.state
        self._changed(video)
        if state.status not in OPEN:
            self._videos.pop(record.job.id, None)
            self._scheduler.drop(record.job.id)
            self._hold(record.job.id, state, None)
            self._over.add(record.job.id)
            log.info("end", extra={"job_id": record.job.id, "status": state.status})
            self._meter.add("framefarm_videos_ended", status=state.status)
        self._on_orders()

    def _hold(self, job_id: JobId, before: JobState, after: JobState | None) -> None:
        """Keep the index of who holds which lease."""
        for worker_id in self._roster.hold(job_id, before, after):
            self._scheduler.ended(worker_id, now=self._wall())

    def _changed(self, video: OpenVideo) -> None:
        video.version += 1
        self._on_news(video.record.job.id)

    def _measure(self) -> None:
        """How many videos and workers there are, by what they do."""
        videos = Counter(video.record.head.state.status for video in self._videos.values())
        for status in OPEN:
            self._meter.set("framefarm_videos", videos[status], status=status)
        workers = Counter(worker.state for worker in self._roster.states())
        for state in get_args(WorkerState.model_fields["state"].annotation):
            self._meter.set("framefarm_workers", workers[state], state=state)

    def _all_changed(self) -> None:
        """What is said of each video may be another thing now: a worker came or went."""
        for video in self._videos.values():
            video.version += 1
        self._on_news(None)

    def _verdict(self, card: WorkerCard) -> Verdict:
        return "exit" if self.draining else self._roster.verdict(card.id, asleep=card.asleep)

    def _unseat(self, worker_id: str) -> None:
        """The scheduler counts with a worker no more."""
        if worker_id in self._scheduler.crew.seats:
            self._scheduler.unseat(worker_id)
            self._all_changed()
            self._on_orders()

    def _leave_or_stay(self, worker_id: str) -> Verdict:
        """Nothing to do: where nodes come and go, a worker too many ends after a while, and its node may go."""
        wanted, seats = self.wanted_workers(), self._scheduler.crew.seats
        if wanted is None or len(seats) <= wanted:
            return "go"
        if self._wall() - seats[worker_id].since <= self._settings.idle_s:
            return "go"
        log.info("worker_too_many", extra={"worker": worker_id, "wanted": wanted})
        self._unseat(worker_id)
        return "exit"

    def _settle(self, worker_id: str) -> None:
        """A worker that asks has finished what it had: look at what it committed."""
        worker = self._roster.get(worker_id)
        if worker is not None and (order := worker.order) is not None:
            with skipping_damaged(order.job.id):
                self.refresh(order.job.id)
            self._tidy()

    def _lease_to(self, worker: Worker) -> tuple[Record, Order] | None:
        """The video and the piece of it that this worker is to make, once the lease is in the ledger."""
        now, lease_s = self._wall(), self._settings.lease_s
        for job_id, text in self._roster.held_by(worker.card.id):  # an order whose answer was lost on its way here
            video, key = self._videos[job_id], OrderKey.parse(text)
            if key.stage == "decode" and video.record.head.state.conditioning is None:
                continue  # an edit voided what it needs: its lease runs out, and it comes again after the encode
            self._scheduler.inherits(worker.card.id, job_id, key, now=now)
            attempt = video.record.head.state.leases[text].attempt
            return video.record, bare_order(video.record, key, attempt, lease_s=lease_s)
        chosen = self._scheduler.offer(worker.card.id, now=now)
        if chosen is None:
            return None
        video = self._videos[chosen.job]
        self._scheduler.takes(chosen, now=now)
        if self._append(video, Event(name="leased", key=str(chosen.key), worker=worker.card.id)):
            worker.order = bare_order(video.record, chosen.key, video.record.head.seq, lease_s=lease_s)
            where = {"job_id": chosen.job, "attempt": video.record.head.seq, "worker": worker.card.id}
            log.info("lease", extra={**where, **chosen.key.model_dump(exclude_none=True)})
            self._meter.add("framefarm_leases", stage=chosen.key.stage)
            return video.record, worker.order
        self._scheduler.asks(worker.card.id, now=now)
        self._on_orders()  # the ledger had news for us: the worker asks again
        return None

    def _expire(self, job_id: JobId, now: float) -> None:
        """End the video's leases that had run out by `now`."""
        video = self._videos.get(job_id)
        while video and (key := video.late(now)):
            failure = video.failure(key, "expired", "the worker fell silent", counts=False)
            where = {"job_id": job_id, "attempt": failure.attempt, "worker": failure.worker}
            log.warning("expire", extra={**where, **failure.key.model_dump(exclude_none=True)})
            self._end_lease(video, failure)
            self._scheduler.ended(failure.worker, now=self._wall(), silent=True)
            video = self._videos.get(job_id)

    def _end_leases_of_the_dead(self) -> None:
        for worker_id in self._roster.dead_holders():
            for job_id in sorted({job_id for job_id, _ in self._roster.held_by(worker_id)}):
                with skipping_damaged(job_id):
                    self.refresh(job_id)
                    if video := self._videos.get(job_id):
                        self._end_leases_of(worker_id, video)

    def _end_leases_of(self, worker_id: str, video: OpenVideo) -> None:
        """A dead worker's leases in one video."""
        for key, lease in list(video.record.head.state.leases.items()):
            if lease.worker == worker_id and key in video.record.head.state.leases:
                message, counts = f"worker {worker_id} died at {key}", self._roster.died_alone(worker_id)
                self._end_lease(video, video.failure(key, "worker_died", message, counts=counts))

    def _end_lease(self, video: OpenVideo, failure: Failure) -> None:
        error = ErrorInfo(code=failure.code, message=failure.message)
        name: EventName = "expired" if failure.code == "expired" else "failed_attempt" if failure.counts else "released"
        if not self._append(video, Event(name=name, key=str(failure.key), attempt=failure.attempt, error=error)):
            return
        self._meter.add("framefarm_leases_ended", how=name)
        if failure.counts:
            self._meter.add("framefarm_failures", code=failure.code)
        if failure.counts and video.is_hopeless(failure, self._able(video, failure.key.stage)):
            log.error("fail: %s", failure.message, extra={"job_id": failure.job, "code": failure.code})
            self._append(video, Event(name="failed", error=error))

    def _able(self, video: OpenVideo, stage: Stage) -> set[str]:
        """Slots of those who could do this stage of the video."""
        present = self._roster.present()
        return {slot_of(worker.card.id) for worker in present if can_do(worker.card, video.record, stage)}

    def _append(self, video: OpenVideo, event: Event) -> bool:
        """Write an entry; False where the ledger has news that forbids it (the news is taken in)."""
        job_id = video.record.job.id
        try:
            head = self._jobs.ledger.append(job_id, event, epoch=self.epoch, after=video.record.head)
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
            self._forget(job_id)
            return False
        self._advance(video, Record(video.record.asked, head))
        return True

    def _holds(self, video: OpenVideo, progress: Progress) -> bool:
        if not video.holds(progress):
            self.refresh(video.record.job.id)
        return video.holds(progress)
