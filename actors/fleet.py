"""The dispatcher's workers: one detached actor a slot, watched, and replaced when it dies."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass
from typing import Any

import ray
from ray.exceptions import RayActorError

from actors.names import NAMESPACE, worker_name
from actors.worker import RenderWorker
from farm.settings import FarmSettings

log = logging.getLogger(__name__)
_LOOK_S = 0.5
_BIRTH_S = 60.0  #: until a new process answers
_SHORT_LIFE_S = 20.0  #: a worker that dies sooner than this is replaced after a pause that doubles each time
_LONGEST_PAUSE_S = 30.0


@dataclass
class _Slot:
    """A place for one worker."""

    number: int
    gpu: bool
    watch: Future[None] | None = None  # fails when the worker dies
    worker_id: str = ""
    begun: float = 0.0
    pause_s: float = 0.0
    not_before: float = 0.0


class Fleet:
    """Keeps every slot's worker alive. `keep` runs in a thread of its own."""

    def __init__(self, settings: FarmSettings, *, gpus: int, cpus: int, on_death: Callable[[str], None]) -> None:
        """`on_death` hears the id of each worker that died."""
        self._settings, self._on_death = settings, on_death
        self._slots = [_Slot(n, gpu=n < gpus) for n in range(gpus + cpus)]
        self._draining = threading.Event()

    def keep(self) -> None:
        """Start workers where there are none, wait for deaths, tell of them, for ever."""
        while True:
            for slot in self._slots:
                if slot.watch is None and not self._draining.is_set() and time.monotonic() >= slot.not_before:
                    self._fill(slot)
            watches = {slot.watch: slot for slot in self._slots if slot.watch is not None}
            if not watches:
                time.sleep(_LOOK_S)
                continue
            for watch in wait(watches, _LOOK_S, FIRST_COMPLETED).done:
                self._bury(watches[watch])

    def drain(self) -> list[str]:
        """Replace nobody from now on. The names of those that still live."""
        self._draining.set()
        return [worker_name(slot.number) for slot in self._slots if slot.watch is not None]

    def _fill(self, slot: _Slot) -> None:
        """Take over the slot's living worker (we may be a new dispatcher), or start one."""
        name = worker_name(slot.number)
        try:
            worker: Any = ray.get_actor(name, namespace=NAMESPACE)
        except ValueError:
            worker = self._start(slot, name)
        slot.begun = time.monotonic()
        try:
            slot.worker_id = worker.identify.remote().future().result(_BIRTH_S)
            slot.watch = worker.wait_until_dead.remote().future()
        except (RayActorError, TimeoutError) as err:
            log.warning("action=worker_unreachable name=%s: %s", name, err)
            slot.not_before = time.monotonic() + _LONGEST_PAUSE_S

    def _start(self, slot: _Slot, name: str) -> Any:
        log.info("action=start_worker name=%s gpu=%s", name, slot.gpu)
        env = {"OMP_NUM_THREADS": str(self._settings.cpu_threads or 1)}  # Ray sets 1, and CPU work crawls
        if not slot.gpu:
            env["CUDA_VISIBLE_DEVICES"] = ""  # else a CPU worker finds the GPUs of the others
        return (
            ray.remote(RenderWorker)
            .options(
                name=name,
                namespace=NAMESPACE,
                lifetime="detached",
                num_cpus=0,
                num_gpus=1 if slot.gpu else 0,
                max_restarts=0,
                max_task_retries=0,
                runtime_env={"env_vars": env},
            )
            .remote(slot.number, self._settings)
        )

    def _bury(self, slot: _Slot) -> None:
        error = slot.watch.exception() if slot.watch else None
        log.warning("action=worker_died worker=%s: %s", slot.worker_id, str(error).partition("\n")[0])
        lived_s = time.monotonic() - slot.begun
        slot.pause_s = min(_LONGEST_PAUSE_S, max(1.0, 2 * slot.pause_s)) if lived_s < _SHORT_LIFE_S else 0.0
        slot.not_before = time.monotonic() + slot.pause_s
        slot.watch = None
        if not self._draining.is_set():
            self._on_death(slot.worker_id)
