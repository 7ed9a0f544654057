"""The dispatcher, without Ray: it leases orders to workers. Its memory is a cache of the ledgers.

Workers ask for orders and report; docs/reference/protocol.md lists the answers. All that changes lies behind one lock
(`Locked`). The regular looks read ledgers before they take the lock, so a slow store holds up only the caller. Entries
are written under the lock, so the next decision knows of them; news that forbids an entry is read there, too.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, suppress
from typing import get_args

from farm.contract import (
    Failure,
    JobId,
    LiveJob,
    Load,
    Order,
    Progress,
    Stage,
    Verdict,
    WorkerCard,
    WorkerState,
    WorkerWish,
)
from farm.dispatch.leases import Leases
from farm.dispatch.locked import Locked
from farm.dispatch.news import News, Place
from farm.dispatch.open_video import whole_order
from farm.dispatch.open_videos import read_news
from farm.errors import Damaged, NotFound, StoreError
from farm.jobs import Jobs
from farm.jobs.erase import Eraser
from farm.jobs.expiry import erase_expired
from farm.jobs.files import has_expired
from farm.jobs.leftovers import Leftovers
from farm.jobs.losses import Losses, find_losses
from farm.jobs.scripts import is_old
from farm.ledger.damage import look_at_each, skipping_damaged
from farm.ledger.layout import FILES, SCRIPTS
from farm.ledger.log import take_epoch
from farm.ledger.states import ENDED
from farm.metrics import Meter, Unmetered
from farm.request import Move, VideoRequest
from farm.settings import FarmSettings

log = logging.getLogger(__name__)
_EXPIRE_S = 600.0  #: how often videos and files are looked for that have expired


class Dispatcher:
    """Leases orders to workers for one epoch. Methods may be called from any thread."""

    def __init__(
        self,
        jobs: Jobs,
        settings: FarmSettings,
        *,
        on_news: Callable[[], None] = lambda: None,
        on_orders: Callable[[], None] = lambda: None,
        on_end: Callable[[], None] = lambda: None,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
        meter: Meter | None = None,
        lock: AbstractContextManager[object] | None = None,
    ) -> None:
        """Take charge of the store under the next epoch. `clock` measures leases, `wall` (unix seconds) waiting.

        on_news:   hears that `news` may have something to tell.
        on_orders: hears that there may be an order for a worker that got none.
        on_end:    hears that a video has ended and its marker in open/ is gone.
        lock:      replaces the re-entrant lock, in tests.
        Raises: StoreError.
        """
        self._jobs, self._settings = jobs, settings
        self._clock, self._wall, self._on_end = clock, wall, on_end
        self._expire_at = clock() + settings.sweep_s  # not at once: a restart must not wait for it
        self.claim = take_epoch(jobs.store)
        self.epoch = self.claim.number
        leases = Leases(
            jobs,
            settings,
            epoch=self.epoch,
            on_news=on_news,
            on_orders=on_orders,
            clock=clock,
            wall=wall,
            meter=meter or Unmetered(),
        )
        self._leases = Locked(leases, lock)
        self._files, self._scripts = Eraser(jobs.store, FILES), Eraser(jobs.store, SCRIPTS)
        self._leftovers = Leftovers(jobs)
        self.sweep()

    def ask(self, card: WorkerCard) -> Order | Verdict:
        """Answer an idle worker with an order. "go", "pause": there is none now, ask again; "exit": end yourself."""
        with self._leases as leases:
            held = {job_id for job_id, _ in leases.videos.held_by(card.id)}
        for job_id in sorted(held):  # a worker that asks has finished what it had: look at what it committed
            with skipping_damaged(job_id):
                self._look(job_id)
        self._tidy()
        with self._leases as leases:
            answer = leases.ask(card)
        if isinstance(answer, str):
            return answer
        record, bare = answer
        try:
            return whole_order(self._jobs, record, bare)
        except Damaged as err:  # without this the worker would ask for it for ever
            where = {"job": record.job.id, "key": bare.key, "attempt": bare.attempt, "worker": card.id}
            self.give_up(Failure(**where, code="damaged", message=str(err)))
            return "go"

    def beat(self, card: WorkerCard, progress: Progress) -> Verdict:
        """Take a busy worker's report.

        "show": go on, and send previews. "stop": drop the order, its lease is gone or its video paused. "pause": rest.
        """
        with self._leases as leases:
            return leases.beat(card, progress)

    def give_up(self, failure: Failure) -> None:
        """End an order that its worker could not commit. Raises: StoreError."""
        losses = self._losses(failure) if failure.code == Damaged.code else None
        with self._leases as leases:
            leases.give_up(failure, losses)

    def worker_died(self, worker_id: str, *, alone: bool = True) -> None:
        """End the leases of a worker whose process is gone.

        The death counts (rule 7) if it died `alone`: its node lives on, and no operator told it to go.
        """
        with self._leases as leases:
            try:
                leases.bury(worker_id, alone=alone)
            except StoreError as err:  # the next tick tries again
                log.warning("store_unavailable: %s", err)

    def overslept(self, seconds: float) -> None:
        """Extend every lease: the dispatcher itself was blocked, so missed heartbeats are not the workers' fault."""
        with self._leases as leases:
            latest = self._clock() + self._settings.lease_s
            for video in leases.videos.all():
                video.overslept(seconds, latest=latest)
            leases.crew.overslept(seconds)

    def nodes(self, alive: set[str], leaving: set[str], closing: set[str]) -> None:
        """Take Ray's ids of the living nodes, and the slots of those that end.

        leaving: of nodes that go soon: their workers stop at a step. closing: of nodes that may go: their workers
        finish what they do, and begin nothing.
        """
        with self._leases as leases:
            roster = leases.roster
            if (roster.leaving, roster.closing) != (leaving, closing):
                roster.leaving, roster.closing = leaving, closing
                leases.on_orders()
            roster.leaves.end_drains(alive=alive)

    def may_fill(self, slot: str) -> bool:
        """Whether the fleet may start a worker in the slot."""
        with self._leases as leases:
            return leases.roster.leaves.kind(slot) != "drained"

    def wanted_workers(self) -> int | None:
        """Return how many workers the farm needs now; None: as many as the nodes have room for."""
        with self._leases as leases:
            return leases.wanted_workers()

    def worker_wish(self, worker_id: str, wish: WorkerWish) -> WorkerState:
        """Do what an operator asks of a worker, named by its id or its slot. Raises: NotFound, Conflict, StoreError."""
        with self._leases as leases:
            state = leases.roster.wish(worker_id, wish)
            log.info("worker_%s", wish, extra={"worker": worker_id})
            leases.crew_changed()
            return state

    def worker_failed_to_start(self, message: str) -> Verdict:
        """Keep the reason: users whose videos wait see it until a worker asks. "exit": the farm drains."""
        with self._leases as leases:
            leases.roster.trouble = message
            leases.all_changed()
            return "exit" if leases.draining else "go"

    def nudge(self, job_id: JobId, owner: str | None = None) -> None:
        """Read the ledger of `job_id`: it has news. owner: who changed it. Raises: Damaged; StoreError."""
        was_open = self._look(job_id)
        self._tidy()
        with self._leases as leases:
            is_open = leases.videos.get(job_id) is not None
        if owner is not None and not was_open and not is_open:  # else all of it is known and told
            record = None
            with suppress(NotFound):
                record = self._jobs.get(job_id, owner=owner)
            if record is None or record.head.state.status in ENDED:
                with self._leases as leases:
                    leases.note_end(job_id, owner, record)

    def move(self, job_id: JobId, move: Move) -> None:
        """Move a video among its owner's videos that wait. One writer knows the order, so two moves never mix.

        Raises: Conflict if it, or the video that `move` names, is not queued; Damaged; StoreError.
        """
        for each in filter(None, (move.beside, job_id)):
            self._look(JobId(each))
        with self._leases as leases:
            leases.move(job_id, move)
        log.info("move", extra={"job_id": job_id})

    def tick(self) -> None:
        """Read the ledgers of leased videos and end leases that ran out. Call every `poll_s`; else call `overslept`."""
        now = self._clock()  # before the store is asked: how long it takes is not the workers' silence
        with self._leases as leases:
            leased = [video.record.asked.id for video in leases.videos.all() if video.record.head.state.leases]
        look_at_each(self._look, leased)
        with self._leases as leases:
            for job_id in leased:
                with skipping_damaged(job_id):
                    leases.expire(job_id, now)
            leases.end_leases_of_the_dead()
            if leases.crew.forget_silent():
                leases.crew_changed()
            leases.measure()
        self._tidy()

    def sweep(self) -> None:
        """List the open videos and read the ledgers of all. Call every `sweep_s`: it makes up for lost nudges."""
        with self._leases as leases:
            known = {video.record.asked.id for video in leases.videos.all()}
        look_at_each(self.nudge, sorted({*self._jobs.open_ids(), *known}))
        if self._clock() >= self._expire_at:
            self._expire_at = self._clock() + _EXPIRE_S
            if self._erase_expired():
                self._expire_at = self._clock()  # the next sweep goes on
        self._leftovers.erase_some(now_s=self._wall())

    def drain(self) -> None:
        """Lease nothing more; workers stop at their next step, give their leases back and end."""
        with self._leases as leases:
            leases.draining = True
            leases.on_orders()

    def live(self, job_id: JobId) -> LiveJob | None:
        """Return what is known of a video that has not ended."""
        with self._leases as leases:
            return leases.live(job_id)

    def waiting_for(self, request: VideoRequest) -> str | None:
        """Say why no worker could make a video of this request now, by the first stage that lacks one."""
        with self._leases as leases:
            lacking = (leases.roster.lacking(request, stage) for stage in get_args(Stage))
            return next(filter(None, lacking), None)

    def lives(self, job_ids: Sequence[JobId]) -> dict[JobId, LiveJob]:
        """Return what is known of those of the videos that have not ended."""
        with self._leases as leases:
            found = {job_id: leases.live(job_id) for job_id in job_ids}
        return {job_id: live for job_id, live in found.items() if live is not None}

    def load(self, owner: str) -> Load:
        """Count the videos that have not ended."""
        with self._leases as leases:
            owners = [video.record.asked.owner for video in leases.videos.all()]
        return Load(open=len(owners), of_owner=owners.count(owner))

    def workers(self) -> list[WorkerState]:
        """Return the workers heard of lately, and those on leave."""
        with self._leases as leases:
            return leases.workers()

    def watch(self, jobs: frozenset[JobId]) -> None:
        """Let the workers send previews of these videos for a while."""
        with self._leases as leases:
            leases.watch(jobs)

    def news(self, after: Place | None) -> News:
        """Return what changed after a place; None: all that is open."""
        with self._leases as leases:
            return leases.news(after)

    def _look(self, job_id: JobId) -> bool:
        """Read the video's ledger without the lock, then take in what it says. Return whether it was open.

        Raises: Damaged; StoreError.
        """
        with self._leases as leases:
            video = leases.videos.get(job_id)
            known = video.record if video else None
        news = read_news(self._jobs, job_id, known)
        with self._leases as leases:
            leases.videos.take_in(job_id, known, news)
        return known is not None

    def _erase_expired(self) -> bool:
        """Erase some files, notes of scripts and videos that have expired; tell whether there may be more."""
        hours, now_s = self._settings.file_hours, self._wall()
        kinds: list[Callable[[], bool]] = [
            lambda: self._files.erase_some(lambda key: has_expired(key, now_s=now_s)),
            lambda: self._scripts.erase_some(lambda key: is_old(key, hours, now_s=now_s)),
            self._erase_expired_videos,
        ]
        has_more = False
        for erase in kinds:
            try:
                has_more |= erase()
            except StoreError as err:  # it must not stop the other kinds
                log.warning("expire_failed: %s", err)
        return has_more

    def _erase_expired_videos(self) -> bool:
        if self._settings.keep_days is None:
            return False
        erased, has_more = erase_expired(self._jobs, self._settings.keep_days, now_s=self._wall())
        with self._leases as leases:
            for job in erased:
                leases.note_end(job.id, job.owner, None)
        return has_more

    def _losses(self, failure: Failure) -> Losses | None:
        """Read what the order starts from, without the lock: a worker may be wrong about the store."""
        with skipping_damaged(failure.job):
            self._look(failure.job)
        with self._leases as leases:
            video = leases.videos.get(failure.job)
        return find_losses(self._jobs, video.record, failure.key) if video else None

    def _tidy(self) -> None:
        """Remove the markers of videos that ended. A restart finds those that a crash leaves."""
        while True:
            with self._leases as leases:
                ended = leases.videos.pop_ended()
            if ended is None:
                return
            try:
                self._jobs.sweep(ended)
            except StoreError as err:  # not the caller's trouble; the next sweep finds the marker
                log.warning("tidy_failed: %s", err, extra={"job_id": ended})
            self._on_end()
