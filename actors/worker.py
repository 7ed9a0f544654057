"""The render worker: a Ray actor around an OrderRunner. It asks the dispatcher for orders until it is told to exit."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import threading
import time
from collections.abc import Callable
from datetime import datetime
from functools import partial
from typing import Any, NoReturn
from uuid import uuid4

import ray
from ray.exceptions import RayError, RayTaskError

from actors.cluster import DISPATCHER, NAMESPACE
from actors.meter import RayMeter
from actors.vitals import Movement, Pace
from farm.contract import Failure, Order, Progress, Verdict, slot_of
from farm.errors import FarmError, LeaseLost, NotFound, Stopped
from farm.jobs import Jobs
from farm.logs import setup_logs
from farm.settings import FarmSettings, is_open, parse_hours
from farm.store import MeteredStore, open_store
from farm.store.wrapped import PatientStore
from framepack_engine.environment import prepare_process

log = logging.getLogger(__name__)
_NICE = 10  #: of a worker on the CPU
_EXIT_S = 5.0  #: until a worker that nobody watches ends itself
_TROUBLE_S = 1.0
_CALL_S = 30.0  #: an answer that takes longer than this is taken as none


class RenderWorker:
    """One device's worker. Create it detached, with max_restarts=0: resuming is the ledger's job."""

    def __init__(self, slot: str, settings: FarmSettings, *, gpu: int | None) -> None:
        """Start asking for orders, in a thread of its own.

        gpu: which of those that the machine's Ray process names; None: work on the CPU.
        `settings` are the farm's; what the machine says otherwise is in the environment.
        """
        visible = [name for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name]
        if gpu is None or visible:  # before torch is loaded; a CPU worker must not find the GPUs of the others
            os.environ["CUDA_VISIBLE_DEVICES"] = "" if gpu is None else visible[gpu]
        prepare_process()
        self._settings, self._id = settings.on_node(os.environ), f"{slot}.{uuid4().hex[:6]}"
        setup_logs(style=settings.log_format, level=settings.log_level, worker=self._id)
        self._meter = RayMeter()
        self._stop: Verdict = "go"
        self._progress: Progress | None = None
        self._pace = Pace()
        self._movement = Movement()
        self._ended = threading.Event()
        threading.Thread(target=self._live, name="orders", daemon=True).start()

    async def identify(self) -> str:
        """The worker's id, new with every process."""
        return self._id

    async def wait_until_dead(self) -> None:
        """Never returns: whoever waits for it hears of this worker's death within 10 ms."""
        await asyncio.to_thread(self._ended.wait)
        ray.actor.exit_actor()  # to Ray this is an end, not a crash

    def _live(self) -> None:
        """The worker's whole life; the process ends with it."""
        code = 1
        try:
            self._prepare()
            while self._serve_one():
                pass
            code = 0
        except Exception as err:  # border: nobody is above us; the dispatcher sees the death and replaces us
            log.exception("worker_crash", extra={"worker": self._id})
            self._call("worker_failed_to_start", f"{type(err).__name__}: {err}")
        finally:
            self._ended.set()
            time.sleep(_EXIT_S)
            os._exit(code)  # nobody was waiting

    def _prepare(self) -> None:
        from actors.device import Renderers, describe_device
        from actors.orders import OrderRunner

        node = self._settings.node or socket.gethostname()
        card = describe_device(self._id, node=node, settings=self._settings)
        self._card = card.model_copy(update={"ray_node": ray.get_runtime_context().get_node_id()})
        # what was made is kept until the store takes it, for as long as the lease is ours
        store = MeteredStore(open_store(self._settings), self._meter)
        self._renderers = Renderers(self._settings)
        patient = PatientStore(store, may_wait=self._may_wait)
        self._runner = OrderRunner(Jobs(patient), self._card, load=partial(self._load, self._renderers.load))
        self._note_memory()
        if self._card.vram_gib is None:
            os.nice(_NICE)  # the cores are those of the ingress and the dispatcher, too

    def _load(self, load: Callable[..., Any], *args: Any) -> Any:
        with self._movement.loading():
            return load(*args)

    def _may_wait(self) -> bool:
        """For the store: it is the store that stands still, not we."""
        self._movement.moved()
        return self._stop == "go"

    def _serve_one(self) -> bool:
        """Ask, and do the order that comes; False: it is time to end."""
        plan = self._runner.memory_plan or self._card.plan
        held = {"warm": self._runner.warm_job, "plan": plan, **self._pace.of(self._runner.model)}
        self._card = self._card.model_copy(update={**held, "asleep": self._is_asleep()})
        answer: Order | Verdict = self._call("ask", self._card)
        if isinstance(answer, Order):
            self._do(answer)
            return self._stop != "exit"
        if answer == "pause" and self._runner.model:
            log.info("rest", extra={"worker": self._id})
            self._runner.let_go()
            self._renderers.let_go()
            self._note_memory()
        return answer != "exit"

    def _is_asleep(self) -> bool:
        """Whether it is outside of its machine's hours."""
        now = datetime.now().astimezone()
        return not is_open(parse_hours(self._settings.hours), hour=now.hour, minute=now.minute)

    def _do(self, order: Order) -> None:
        from actors.device import is_lost
        from actors.orders import failure_of

        self._stop = "go"
        self._progress = Progress(
            job=order.job.id,
            key=order.key,
            attempt=order.attempt,
            worker=self._id,
            steps=order.job.request.num_inference_steps if order.key.stage == "section" else 0,
        )
        self._movement.moved()
        over = threading.Event()
        beats = threading.Thread(target=self._beat, args=(order, over), name="beats")
        beats.start()
        log.info("begin", extra=_names(order))
        failure, lost = None, False
        try:
            loaded = self._runner.model
            entry = self._runner.run(order, self._on_step)
            if loaded == self._runner.model:  # else the time is that of loading a model
                self._pace.note(order, entry.event.seconds)
            self._note(order, entry.event.seconds)
        except Stopped:
            log.info("stopped", extra=_names(order))
        except (LeaseLost, NotFound) as err:
            log.warning("lease_lost: %s", err, extra=_names(order))
            self._meter.add("framefarm_leases_lost", stage=order.key.stage)
        except Exception as err:  # border: an order's failure must not end the worker
            log.exception("order_failed", extra=_names(order))
            failure, lost = failure_of(order, self._id, err), is_lost(err)
        finally:
            over.set()
            beats.join()
        if failure:
            self._call("give_up", failure)
            if not failure.counts:
                time.sleep(1.0)  # the store's fault: it needs a moment more than the video does
        if lost:
            log.error("device_lost", extra={"worker": self._id})
            self._stop = "exit"  # every order after it would fail, too, and end video after video

    def _note(self, order: Order, seconds: float) -> None:
        """Tell logs and metrics of a commit."""
        log.info("commit", extra={**_names(order), "seconds": f"{seconds:.2f}"})
        labels = {"stage": order.key.stage, "device": self._card.device}
        self._meter.observe("framefarm_order_seconds", seconds, **labels)
        self._meter.add("framefarm_order_seconds_spent", seconds, **labels)
        if order.key.stage == "section":
            self._meter.add("framefarm_sections", device=self._card.device)
        self._note_memory()

    def _note_memory(self) -> None:
        from actors.device import gpu_memory

        for what, size in gpu_memory().items():
            self._meter.set("framefarm_gpu_memory_bytes", size, worker=slot_of(self._id), what=what)

    def _on_step(self, step: int) -> None:
        self._movement.moved()
        if self._progress:
            self._progress = self._progress.model_copy(update={"step": step})
        if self._stop != "go":
            raise Stopped(f"stopped after step {step}")

    def _beat(self, order: Order, over: threading.Event) -> None:
        """Tell the dispatcher where we are until the order is over; hear whether to stop; see whether we still move."""
        given_back = False
        while not over.is_set():
            if not given_back:
                card = self._card.model_copy(update={"asleep": self._is_asleep()})
                self._stop = self._call("beat", card, self._progress, until=over) or "go"
            if self._stop != "go" and order.key.stage == "section" and not given_back:
                self._save_now(order)
                given_back = True
            if self._movement.still_s() > self._settings.stuck_s and not over.is_set():
                self._end_stuck(order)
            over.wait(self._settings.heartbeat_s)

    def _end_stuck(self, order: Order) -> NoReturn:
        """The computation does not come back, so nobody can stop it but with the process. It counts (rule 7)."""
        told = self._progress
        where = f" after step {told.step} of {told.steps}" if told and told.steps else ""
        message = f"nothing moved for {self._movement.still_s():.0f} s at {order.key}{where} (FARM_STUCK_S)"
        log.error("stuck: %s", message, extra=_names(order))
        failure = Failure(
            job=order.job.id, key=order.key, attempt=order.attempt, worker=self._id, code="stuck", message=message
        )
        self._call("give_up", failure)
        os._exit(1)  # the fleet sees the death and fills the place anew

    def _save_now(self, order: Order) -> None:
        """Give the section back without waiting for its step to end: that may take longer than we have."""
        try:
            self._runner.give_back(order)
        except FarmError as err:  # it is over by now, or no longer ours; else the lease expires
            log.info("not_given_back: %s", err, extra=_names(order))
        else:
            log.info("given_back", extra=_names(order))

    def _call(self, method: str, *args: Any, until: threading.Event | None = None) -> Any:
        """Call the dispatcher until it answers; it may be dead and on its way back.

        Where it stays silent for the lease's time, a worker with an order stops by itself (economy: its commit would be
        refused anyway); after `orphan_s` the process ends.
        """
        begun = time.monotonic()
        while True:
            try:
                dispatcher = ray.get_actor(DISPATCHER, namespace=NAMESPACE)
                # a future: ray.get would warn, since the actor is an async one
                return getattr(dispatcher, method).remote(*args).future().result(_CALL_S)
            except RayTaskError as err:  # the dispatcher lives and could not do it: its store does not answer, say
                log.warning("call_failed: %s", str(err).strip().rpartition("\n")[2], extra={"method": method})
                if method != "ask":
                    return None
                time.sleep(_TROUBLE_S)
                begun = time.monotonic()  # it was not silent
            except (RayError, TimeoutError, ValueError) as err:  # ValueError: no actor of that name
                silent_s = time.monotonic() - begun
                if until is not None and until.is_set():
                    return "go"
                if silent_s > self._settings.orphan_s:
                    log.error("orphan: %s", err, extra={"worker": self._id, "silent_s": f"{silent_s:.0f}"})  # noqa: TRY400
                    os._exit(0)
                if silent_s > self._settings.lease_s:
                    self._stop = "stop"
                time.sleep(0.2)


def _names(order: Order) -> dict[str, object]:
    """Return what each log line about an order names."""
    return {"job_id": order.job.id, "attempt": order.attempt, **order.key.model_dump(exclude_none=True)}
