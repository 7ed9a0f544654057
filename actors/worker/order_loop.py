"""A worker's loop: it asks for an order, does it, reports while it works, and asks again. No Ray in here."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable
from datetime import datetime
from functools import partial

from actors.worker.device import gpu_memory, is_lost
from actors.worker.link import DispatcherLink
from actors.worker.orders import OrderRunner, failure_of
from actors.worker.vitals import Movement, Pace
from farm.contract import Failure, Order, Preview, Progress, Verdict, WorkerCard, slot_of
from farm.errors import FarmError, LeaseLost, NotFound, Stopped
from farm.metrics import Meter
from farm.setting_types import is_open, parse_hours
from farm.settings import FarmSettings
from framepack_engine.errors import LoraUnusable

log = logging.getLogger(__name__)
_TROUBLE_S = 1.0  #: until the next question, after the store failed


class Task:
    """The order at hand: how far it is, and what the dispatcher said last. One thread works, another one reports."""

    def __init__(self, order: Order, worker_id: str) -> None:
        self.order = order
        self.verdict: Verdict = "go"
        self.is_watched = False
        self.is_blind = False  #: a preview of it failed
        self.over = threading.Event()
        self.progress = Progress(
            job=order.job.id,
            key=order.key,
            attempt=order.attempt,
            worker=worker_id,
            steps=order.job.request.num_inference_steps if order.key.stage == "section" else 0,
        )
        #: facts in each log line about the order
        self.names = {"job_id": order.job.id, "attempt": order.attempt, **order.key.model_dump(exclude_none=True)}

    def hear(self, verdict: Verdict) -> None:
        """Note what the dispatcher says, or what its silence means. The next step acts on it."""
        self.is_watched = verdict == "show"
        self.verdict = "go" if self.is_watched else verdict

    def stepped(self, step: int) -> None:
        """Note a finished step. Raises: Stopped if the order is to be dropped."""
        self.progress = self.progress.model_copy(update={"step": step})
        if self.verdict != "go":
            raise Stopped(f"stopped after step {step}")

    def failure(self, code: str, message: str) -> Failure:
        """Describe how the order ends without a commit."""
        where = self.progress
        return Failure(
            job=where.job, key=where.key, attempt=where.attempt, worker=where.worker, code=code, message=message
        )


class OrderLoop:
    """Does one order after the other on one device."""

    def __init__(
        self,
        card: WorkerCard,
        settings: FarmSettings,
        *,
        runner: OrderRunner,
        link: DispatcherLink,
        movement: Movement,
        meter: Meter,
        let_go: Callable[[], None] = lambda: None,
        leave: Callable[[int], object] = os._exit,
    ) -> None:
        """`let_go` frees the weights that the runner's models share; `leave` ends the process."""
        self._card, self._settings = card, settings
        self._runner, self._link, self._movement, self._meter = runner, link, movement, meter
        self._let_go, self._leave = let_go, leave
        self._pace = Pace()
        self._task: Task | None = None
        self._note_memory()

    def serve_one(self) -> bool:
        """Ask, and do the order that comes; return False if it is time to end."""
        plan = self._runner.memory_plan or self._card.plan
        held = {"warm": self._runner.warm_job, "plan": plan, **self._pace.of(self._runner.model)}
        self._card = self._card.model_copy(update={**held, "asleep": self._is_asleep()})
        answer = self._link.ask(self._card)
        if isinstance(answer, Order):
            return self._do(Task(answer, self._card.id))
        if answer == "pause" and self._runner.model:
            log.info("rest", extra={"worker": self._card.id})
            self._runner.let_go()
            self._let_go()
            self._note_memory()
        return answer != "exit"

    def may_wait(self) -> bool:
        """Whether a call to the store may be repeated, because the order goes on. Waiting counts as movement."""
        self._movement.moved()
        return self._task is None or self._task.verdict == "go"

    def _is_asleep(self) -> bool:
        """Whether it is outside the machine's hours."""
        now = datetime.now().astimezone()
        return not is_open(parse_hours(self._settings.hours), hour=now.hour, minute=now.minute)

    def _do(self, task: Task) -> bool:
        """Do the order; return False if it is time to end."""
        self._task = task
        self._movement.moved()
        beats = threading.Thread(target=self._beat, args=(task,), name="beats")
        beats.start()
        log.info("begin", extra=task.names)
        try:
            lost = self._run(task)
        finally:
            task.over.set()
            beats.join()
        if lost is None:
            return task.verdict != "exit"
        failure, device_lost = lost
        self._link.give_up(failure)
        if not failure.counts:
            time.sleep(_TROUBLE_S)
        if device_lost:  # every order after it would fail, too, and end video after video
            log.error("device_lost", extra={"worker": self._card.id})
        return task.verdict != "exit" and not device_lost

    def _run(self, task: Task) -> tuple[Failure, bool] | None:
        """Do the order up to its commit; return how it failed, and whether the device failed with it."""
        order, loaded = task.order, self._runner.model

        def on_step(step: int) -> None:
            self._movement.moved()
            task.stepped(step)

        try:
            seconds = self._runner.run(order, on_step).event.seconds
        except Stopped:
            log.info("stopped", extra=task.names)
        except (LeaseLost, NotFound) as err:
            log.warning("lease_lost: %s", err, extra=task.names)
            self._meter.add("framefarm_leases_lost", stage=order.key.stage)
        except Exception as err:  # border: an order's failure must not end the worker
            is_explained = isinstance(err, LoraUnusable)  # by its message, which names the file
            log.log(logging.ERROR, "order_failed: %s", err, extra=task.names, exc_info=not is_explained)
            return failure_of(order, self._card.id, err), is_lost(err)
        else:
            if loaded == self._runner.model:  # else the time is that of loading a model
                self._pace.note(order, seconds)
            self._note_commit(task, seconds)
        return None

    def _beat(self, task: Task) -> None:
        """Report until the order is over; pass on whether to stop; end the process if nothing moves."""
        given_back = False
        while not task.over.is_set():
            if not given_back:
                card = self._card.model_copy(update={"asleep": self._is_asleep()})
                progress = task.progress.model_copy(update={"preview": self._preview(task)})
                task.hear(self._link.beat(card, progress, over=task.over, on_silence=partial(task.hear, "stop")))
            if task.verdict != "go" and task.order.key.stage == "section" and not given_back:
                self._give_back(task)
                given_back = True
            if self._movement.still_s() > self._settings.stuck_s and not task.over.is_set():
                self._end_stuck(task)
            task.over.wait(self._settings.heartbeat_s)

    def _preview(self, task: Task) -> Preview | None:
        """Show the order to those who watch it. The beats' thread calls this, so that no step waits for it."""
        try:
            return self._runner.preview() if task.is_watched else None
        except Exception:  # border: without beats, the order's lease would expire
            if not task.is_blind:
                log.exception("preview_failed", extra=task.names)
            task.is_blind = True
            return None

    def _give_back(self, task: Task) -> None:
        """Give the section back without waiting for its step to end: that may take longer than a notice lasts."""
        try:
            self._runner.give_back(task.order)
        except FarmError as err:  # it is over by now, or no longer ours; else the lease expires
            log.info("not_given_back: %s", err, extra=task.names)
        else:
            log.info("given_back", extra=task.names)

    def _end_stuck(self, task: Task) -> None:
        """End the process: nothing else stops a computation that does not return. It counts (rule 7)."""
        done = task.progress
        where = f" after step {done.step} of {done.steps}" if done.steps else ""
        message = f"nothing moved for {self._movement.still_s():.0f} s at {done.key}{where} (FARM_STUCK_S)"
        log.error("stuck: %s", message, extra=task.names)
        self._link.give_up(task.failure("stuck", message))
        self._leave(1)  # the fleet sees the death and starts another worker

    def _note_commit(self, task: Task, seconds: float) -> None:
        log.info("commit", extra={**task.names, "seconds": f"{seconds:.2f}"})
        labels = {"stage": task.order.key.stage, "device": self._card.device}
        self._meter.observe("framefarm_order_seconds", seconds, **labels)
        self._meter.add("framefarm_order_seconds_spent", seconds, **labels)
        if task.order.key.stage == "section":
            self._meter.add("framefarm_sections", device=self._card.device)
        self._note_memory()

    def _note_memory(self) -> None:
        for what, size in gpu_memory().items():
            self._meter.set("framefarm_gpu_memory_bytes", size, worker=slot_of(self._card.id), what=what)
