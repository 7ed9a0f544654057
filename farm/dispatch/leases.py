"""Which worker holds which lease: who gets an order, who keeps it, and how leases end."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable
from typing import get_args

from farm.contract import (
    Failure,
    JobId,
    LiveJob,
    Order,
    OrderKey,
    Progress,
    Stage,
    Verdict,
    WorkerCard,
    WorkerState,
    slot_of,
)
from farm.dispatch.crew import Crew, Worker
from farm.dispatch.moves import move_to
from farm.dispatch.news import WATCH_S, Changes, News, Place
from farm.dispatch.open_video import OpenVideo, bare_order
from farm.dispatch.open_videos import Change, OpenVideos
from farm.dispatch.roster import Leaves, Roster
from farm.dispatch.scheduler import Offers
from farm.errors import Conflict
from farm.jobs import Jobs, Record
from farm.jobs.demand import demand_of, fits, need_of, order_work
from farm.jobs.losses import Losses, loss_event, what_is_left
from farm.ledger.damage import skipping_damaged
from farm.ledger.states import OPEN, ErrorInfo, Event, EventName, complete
from farm.metrics import Meter
from farm.request import Move, VideoEdit
from farm.settings import FarmSettings

log = logging.getLogger(__name__)


class Leases:
    """The open videos, the workers, and the leases between them. Not for several threads at once."""

    def __init__(
        self,
        jobs: Jobs,
        settings: FarmSettings,
        *,
        epoch: int,
        on_news: Callable[[], None],
        on_orders: Callable[[], None],
        clock: Callable[[], float],
        wall: Callable[[], float],
        meter: Meter,
    ) -> None:
        """Begin without videos and workers. `Dispatcher` explains the arguments. Raises: StoreError."""
        self._settings, self._on_news, self.on_orders = settings, on_news, on_orders
        self._clock, self._wall, self._meter = clock, wall, meter
        self.videos = OpenVideos(
            jobs, epoch=epoch, lease_s=settings.lease_s, clock=clock, wall=wall, on_change=self._changed
        )
        self.crew = Crew(clock=clock)
        self.roster = Roster(self.crew, Leaves(jobs.store))
        self._offers = Offers(self.videos.queue, self.crew)
        self._watched: dict[JobId, float] = {}  # video -> until when
        self._changes, self._all_changed = Changes(epoch, clock=clock), False
        self.draining = False

    # --- workers call ------------------------------------------------------------------------------------------------

    def ask(self, card: WorkerCard) -> tuple[Record, Order] | Verdict:
        """Lease an order to an idle worker: its video, and the order without its artifacts."""
        verdict = self._verdict(card)
        if verdict == "exit":
            return "exit"
        if self.crew.get(card.id) is None or self.roster.trouble:
            self.all_changed()
        worker, self.roster.trouble = self.crew.hear(card), ""
        worker.order = None
        if verdict == "pause":
            self._rest(worker)
            return "pause"
        self.crew.release(worker, "idle", now=self._wall())
        return self._held_by(worker) or self._lease_to(worker) or self._go_or_exit(worker)

    def beat(self, card: WorkerCard, progress: Progress) -> Verdict:
        """Extend a busy worker's lease, or tell it to stop."""
        if card.id in self.crew.dead:
            return "exit"
        worker = self.crew.hear(card)
        video = self.videos.get(progress.job) or self.videos.refresh(progress.job)
        if video and not video.holds(progress):
            video = self.videos.refresh(progress.job)
        if video is None or not video.holds(progress):
            return "stop"
        video.reported(progress, until=self._clock() + self._settings.lease_s)
        if worker.order is None or worker.order.attempt != progress.attempt:  # leased by an earlier dispatcher
            self._reserve(worker, video, progress.key, progress.attempt)
        self._changes.note(progress.job)
        self._on_news()
        verdict = self._verdict(card, busy=True)
        if verdict == "go" and video.record.head.state.status == "paused":
            return "stop"
        return "show" if verdict == "go" and self._is_watched(progress) else verdict

    def give_up(self, failure: Failure, losses: Losses | None = None) -> None:
        """End an order without a commit. losses: what the store lost of what the order starts from."""
        if worker := self.crew.get(failure.worker):
            worker.order = None
            self.crew.release(worker, "soon", now=self._wall())
        video = self.videos.get(failure.job) or self.videos.refresh(failure.job)
        if video and losses and losses.for_good:
            self._end_for_good(video, failure, losses)
        elif video and losses and losses.orders:
            self._note_losses(video, failure, losses)
        elif video:
            self._end_lease(video, failure)

    # --- leases end --------------------------------------------------------------------------------------------------

    def expire(self, job_id: JobId, now: float) -> None:
        """End the video's leases that had run out by `now` (monotonic)."""
        video = self.videos.get(job_id)
        while video and (key := video.late(now)):
            failure = video.failure(key, "expired", "the worker fell silent", counts=False)
            where = {"job_id": job_id, "attempt": failure.attempt, "worker": failure.worker}
            log.warning("expire", extra={**where, **failure.key.model_dump(exclude_none=True)})
            self._end_lease(video, failure)
            if worker := self.crew.get(failure.worker):
                self.crew.release(worker, "away", now=self._wall())
            video = self.videos.get(job_id)

    def bury(self, worker_id: str, *, alone: bool) -> None:
        """Note that a worker's process is gone, so that a call that is still on its way gets no order."""
        alone = alone and self.roster.verdict(worker_id, busy=True) != "exit"
        was_there = self.crew.get(worker_id) is not None
        self.crew.bury(worker_id, alone=alone)
        if was_there:
            self.crew_changed()
        self.end_leases_of_the_dead()

    def end_leases_of_the_dead(self) -> None:
        """End the leases of the workers whose process is gone. Raises: StoreError; then call it again."""
        for worker_id in sorted(self.crew.dead.keys() & self.videos.holders()):
            for job_id in sorted({job_id for job_id, _ in self.videos.held_by(worker_id)}):
                with skipping_damaged(job_id):
                    self.videos.refresh(job_id)
                    self._end_leases_of(worker_id, job_id)

    def _end_leases_of(self, worker_id: str, job_id: JobId) -> None:
        for _, key in sorted(held for held in self.videos.held_by(worker_id) if held[0] == job_id):
            video = self.videos.get(job_id)
            if video and (job_id, key) in self.videos.held_by(worker_id):
                message, counts = f"worker {worker_id} died at {key}", self.crew.dead[worker_id]
                self._end_lease(video, video.failure(key, "worker_died", message, counts=counts))

    def _end_lease(self, video: OpenVideo, failure: Failure) -> None:
        error = ErrorInfo(code=failure.code, message=failure.message)
        name: EventName = "expired" if failure.code == "expired" else "failed_attempt" if failure.counts else "released"
        event = Event(name=name, key=str(failure.key), attempt=failure.attempt, error=error)
        if not self.videos.append(video, event):
            return
        self._meter.add("framefarm_leases_ended", how=name)
        if failure.counts:
            self._meter.add("framefarm_failures", code=failure.code)
        if failure.counts and video.is_hopeless(failure, self._able(video, failure.key.stage)):
            self._fail(video, error)

    def _note_losses(self, video: OpenVideo, failure: Failure, losses: Losses) -> None:
        """Have what the store lost made again; the order comes again after it."""
        event = loss_event(video.record.head.state, losses.orders, losses.why, storage=self._settings.storage)
        held = {"key": str(failure.key), "attempt": failure.attempt, "worker": failure.worker}
        if self.videos.append(video, event.model_copy(update=held)):
            self._meter.add("framefarm_leases_ended", how=event.name)
            log.warning("lost: %s", losses.why, extra={"job_id": failure.job, "orders": " ".join(losses.orders)})

    def _end_for_good(self, video: OpenVideo, failure: Failure, losses: Losses) -> None:
        """End a video of which the store lost what the farm cannot make again."""
        message = f"{losses.for_good}; {what_is_left(video.record.head.state)}"
        error = ErrorInfo(code=failure.code, message=message)
        event = Event(name="failed_attempt", key=str(failure.key), attempt=failure.attempt, error=error)
        if self.videos.append(video, event):
            self._meter.add("framefarm_leases_ended", how=event.name)
            self._fail(video, error)

    def _fail(self, video: OpenVideo, error: ErrorInfo) -> None:
        log.error("fail: %s", error.message, extra={"job_id": video.record.job.id, "code": error.code})
        self.videos.append(video, Event(name="failed", error=error))

    def _able(self, video: OpenVideo, stage: Stage) -> set[str]:
        """Return the slots of the workers that could do this stage of the video."""
        need = need_of(video.record, stage)
        return {slot_of(worker.card.id) for worker in self.crew.present() if fits(worker.card, need)}

    # --- leases begin ------------------------------------------------------------------------------------------------

    def _held_by(self, worker: Worker) -> tuple[Record, Order] | None:
        """Return an order that the worker already holds, because the answer to its last question was lost."""
        for job_id, text in self.videos.held_by(worker.card.id):
            video, key = self.videos.get(job_id), OrderKey.parse(text)
            if video is None or (key.stage == "decode" and video.record.head.state.conditioning is None):
                continue  # an edit voided what it needs: its lease runs out, and it comes again after the encode
            return self._reserve(worker, video, key, video.record.head.state.leases[text].attempt)
        return None

    def _lease_to(self, worker: Worker) -> tuple[Record, Order] | None:
        """Write a lease into the ledger; None: there is no order for this worker now."""
        offer = self._offers.to(worker.card.id, now=self._wall())
        video = self.videos.get(offer.job) if offer else None
        if offer is None or video is None:
            return None
        key = offer.piece.key
        if not self.videos.append(video, Event(name="leased", key=str(key), worker=worker.card.id)):
            self.on_orders()  # the ledger had news: the worker asks again
            return None
        attempt = video.record.head.seq
        self._offers.take(offer, owner=video.record.asked.owner)
        where = {"job_id": offer.job, "attempt": attempt, "worker": worker.card.id}
        log.info("lease", extra={**where, **key.model_dump(exclude_none=True)})
        self._meter.add("framefarm_leases", stage=key.stage)
        return self._reserve(worker, video, key, attempt)

    def _reserve(self, worker: Worker, video: OpenVideo, key: OrderKey, attempt: int) -> tuple[Record, Order]:
        """Note what a worker holds a lease for."""
        record = video.record
        work, left = order_work(record.job, key.stage), demand_of(record).remaining
        order = bare_order(record, key, attempt, lease_s=self._settings.lease_s)
        self.crew.reserve(worker, order, work=work, chain=left - work, now=self._wall())
        return record, order

    def _verdict(self, card: WorkerCard, *, busy: bool = False) -> Verdict:
        return "exit" if self.draining else self.roster.verdict(card.id, asleep=card.asleep, busy=busy)

    def _rest(self, worker: Worker) -> None:
        """Plan without the worker until it may work again."""
        if worker.place != "resting":
            self.crew.release(worker, "resting", now=self._wall())
            self.crew_changed()

    def _go_or_exit(self, worker: Worker) -> Verdict:
        """Answer an idle worker that gets no order. If nodes come and go, one worker too many ends after `idle_s`."""
        wanted = self.wanted_workers()
        if wanted is None or len(self.crew.serving()) <= wanted:
            return "go"
        if self._wall() - worker.since <= self._settings.idle_s:
            return "go"
        log.info("worker_too_many", extra={"worker": worker.card.id, "wanted": wanted})
        self._rest(worker)
        return "exit"

    # --- owners move videos ------------------------------------------------------------------------------------------

    def move(self, job_id: JobId, move: Move) -> None:
        """Write into the ledger the turn that a move gives a video. Raises: Conflict; StoreError."""
        if move.beside:
            self._queued(JobId(move.beside))
        video = self._queued(job_id)
        demand, now = demand_of(video.record), self._wall()
        moving = move_to(demand, move, self.videos.queue.turns_of(demand.owner, now=now), now=now)
        if moving is None:
            return
        edit = None if moving.priority == demand.priority else VideoEdit(priority=moving.priority)
        if not self.videos.append(video, Event(name="moved", moved=moving.moved, edit=edit)):
            raise Conflict(f"{job_id} no longer waits, so it was not moved")

    def _queued(self, job_id: JobId) -> OpenVideo:
        video = self.videos.get(job_id)
        if video is None or video.record.head.state.status != "queued":
            raise Conflict(f"{job_id} no longer waits; only queued videos have a place in the queue")
        return video

    # --- what others see ---------------------------------------------------------------------------------------------

    def wanted_workers(self) -> int | None:
        """Return how many workers the farm needs now; None: as many as the nodes have room for."""
        autoscale = self._settings.autoscale
        return min(autoscale, self.videos.queue.wanted()) if autoscale else None

    def live(self, job_id: JobId) -> LiveJob | None:
        """Return what is known of a video that has not ended."""
        video = self.videos.get(job_id)
        if video is None:
            return None
        return LiveJob(
            progress=video.progress,
            eta_s=video.eta_s(self._clock()),
            queue_position=self.videos.queue.position(job_id),
            waiting_for=self.roster.waiting_for(video.record),
        )

    def workers(self) -> list[WorkerState]:
        """Return the workers heard of lately, and those on leave."""
        return [self._with_percent(state) for state in self.roster.states()]

    def news(self, after: Place | None) -> News:
        """Return what changed after a place; None: all."""
        if self._all_changed:
            self._all_changed = False
            for video in self.videos.all():
                if self.roster.waiting_for(video.record) != video.waiting_for:
                    self._changes.note(video.record.asked.id)
        return self._changes.news(
            after, look=self._told, workers=tuple(self.workers()), queue=lambda: tuple(self.videos.queue.to_begin())
        )

    def watch(self, jobs: frozenset[JobId]) -> None:
        """Let the workers send previews of these videos for a while."""
        now = self._clock()
        kept = {job_id: until for job_id, until in self._watched.items() if until > now}
        self._watched = kept | dict.fromkeys(jobs, now + WATCH_S)

    def _is_watched(self, progress: Progress) -> bool:
        return progress.key.stage == "section" and self._watched.get(progress.job, 0.0) > self._clock()

    def note_end(self, job_id: JobId, owner: str, record: Record | None) -> None:
        """Tell that a video ended, or changed after its end. Without `record`, it is erased or cannot be read."""
        if self.videos.get(job_id) is None:  # else it goes on
            self._changes.note_end(job_id, owner, record)
            self._on_news()

    def measure(self) -> None:
        """Count videos and workers by what they do."""
        videos = Counter(video.record.head.state.status for video in self.videos.all())
        for status in OPEN:
            self._meter.set("framefarm_videos", videos[status], status=status)
        workers = Counter(worker.state for worker in self.roster.states())
        for state in get_args(WorkerState.model_fields["state"].annotation):
            self._meter.set("framefarm_workers", workers[state], state=state)

    def all_changed(self) -> None:
        """Tell that each video's answer may be another one now."""
        self._all_changed = True
        self._on_news()

    def crew_changed(self) -> None:
        """Tell that a worker came or went: videos may wait for something else, and others may get its orders."""
        self.all_changed()
        self.on_orders()

    def _changed(self, change: Change) -> None:
        for worker in filter(None, map(self.crew.get, change.freed)):
            if worker.place != "resting":
                self.crew.release(worker, "soon", now=self._wall())  # it will ask
        if change.ended:
            log.info("end", extra={"job_id": change.job, "status": change.ended})
            self._meter.add("framefarm_videos_ended", status=change.ended)
        if self.videos.get(change.job):
            self._changes.note(change.job)
        else:
            self.note_end(change.job, change.record.asked.owner, change.record if change.ended else None)
        self._on_news()
        self.on_orders()

    def _told(self, job_id: JobId) -> tuple[Record, LiveJob] | None:
        video, live = self.videos.get(job_id), self.live(job_id)
        if video is None or live is None:
            return None
        video.waiting_for = live.waiting_for
        return video.record, live

    def _with_percent(self, worker: WorkerState) -> WorkerState:
        video = self.videos.get(worker.job) if worker.job else None
        if video is None:
            return worker
        running = video.progress if video.progress and video.progress.worker == worker.card.id else None
        share = complete(video.record.job.plan, video.record.head.state, running)
        return worker.model_copy(update={"percent": min(int(100 * share), 99)})
