"""The render worker: a Ray actor whose thread asks the dispatcher for orders until it is told to exit."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import ray

from actors.meter import RayMeter
from actors.worker.link import DispatcherLink
from actors.worker.vitals import Movement
from farm.jobs import Jobs
from farm.logs import setup_logs
from farm.settings import FarmSettings
from farm.store import MeteredStore, open_store
from farm.store.wrapped import PatientStore
from framepack_engine.environment import prepare_process

if TYPE_CHECKING:
    from actors.worker.order_loop import OrderLoop

log = logging.getLogger(__name__)
_NICE = 10  #: of a worker on the CPU
_EXIT_S = 5.0  #: until a worker ends itself if no dispatcher watches it


class RenderWorker:
    """One device's worker. Create it detached, with max_restarts=0: resuming is the ledger's job."""

    def __init__(self, slot: str, settings: FarmSettings, *, gpu: int | None) -> None:
        """Start asking for orders, in a thread of its own.

        gpu: which of those that the machine's Ray process names; None: work on the CPU.
        `settings` are the farm's; the machine's environment overrides them.
        """
        visible = [name for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name]
        if gpu is None or visible:  # before torch is loaded; a CPU worker must not find the GPUs of the others
            os.environ["CUDA_VISIBLE_DEVICES"] = "" if gpu is None else visible[gpu]
        prepare_process()
        self._settings, self._id = settings.on_node(os.environ), f"{slot}.{uuid4().hex[:6]}"
        setup_logs(style=settings.log_format, level=settings.log_level, worker=self._id)
        self._ended = threading.Event()
        threading.Thread(target=self._live, name="orders", daemon=True).start()

    async def identify(self) -> str:
        """Return the worker's id, new with every process."""
        return self._id

    async def wait_until_dead(self) -> None:
        """Never return: the caller hears of this worker's death within 10 ms."""
        await asyncio.to_thread(self._ended.wait)
        ray.actor.exit_actor()  # to Ray this is an end, not a crash

    def _live(self) -> None:
        """Serve until told to exit, then end the process."""
        link = DispatcherLink(self._id, lease_s=self._settings.lease_s, orphan_s=self._settings.orphan_s)
        code = 1
        try:
            loop = self._loop(link)
            while loop is not None and loop.serve_one():
                pass
            code = 0
        except Exception as err:  # border: a thread's top; the dispatcher sees the death and replaces the worker
            log.exception("worker_crash", extra={"worker": self._id})
            link.failed_to_start(f"{type(err).__name__}: {err}")
        finally:
            self._ended.set()
            time.sleep(_EXIT_S)
            os._exit(code)  # no dispatcher was waiting

    def _loop(self, link: DispatcherLink) -> OrderLoop | None:
        """Return the loop that serves orders; None: the farm drains, and this worker never could begin."""
        from actors.worker.device import Renderers, await_device
        from actors.worker.order_loop import OrderLoop
        from actors.worker.orders import OrderRunner

        settings, movement, meter = self._settings, Movement(), RayMeter()
        node = settings.node or socket.gethostname()
        card = await_device(self._id, node=node, settings=settings, tell=link.failed_to_start)
        if card is None:
            return None
        card = card.model_copy(update={"ray_node": ray.get_runtime_context().get_node_id()})
        renderers = Renderers(settings)

        def load(load: Callable[..., Any], *args: Any) -> Any:
            with movement.loading():
                return load(*args)

        def may_wait() -> bool:
            return loop.may_wait()

        # the result is kept until the store takes it, for as long as the lease is ours
        store = PatientStore(MeteredStore(open_store(settings), meter), may_wait=may_wait)
        runner = OrderRunner(Jobs(store), card, load=partial(load, renderers.load))
        loop = OrderLoop(
            card, settings, runner=runner, link=link, movement=movement, meter=meter, let_go=renderers.let_go
        )
        if card.vram_gib is None:
            os.nice(_NICE)  # the ingress and the dispatcher need the cores, too
        return loop
