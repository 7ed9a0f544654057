"""The dispatcher's actor: a Ray shell around farm.dispatch.dispatcher.Dispatcher, and the keeper of the workers.

Create it detached, named DISPATCHER, with max_restarts=-1: it rebuilds itself from the store.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import os
import threading
import time
from collections.abc import Callable, Coroutine
from contextlib import suppress
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeVar

import ray

from actors.cluster import HEARD, FarmNode, FarmNotice, give_sign, publish, tell_node
from actors.fleet import Fleet
from actors.meter import RayMeter
from actors.notices.board import NoticeBoard
from actors.reach import unreached
from actors.wire import own_build
from farm.bells import Bells, rings
from farm.contract import Order, Verdict, WorkerCard
from farm.dispatch.dispatcher import Dispatcher
from farm.dispatch.news import News, Place
from farm.errors import LeaseLost, StoreError
from farm.jobs import Jobs
from farm.logs import setup_logs
from farm.settings import FarmSettings
from farm.store import MeteredStore, open_store
from farm.webhooks.sender import WebhookSender

P = ParamSpec("P")
T = TypeVar("T")
log = logging.getLogger(__name__)
_NEWS_S = 1.0  #: between two looks for news that no bell announces, such as another order of the queue
_SIGN_S = 2.0  #: between two signs of life
_AGAIN_S = 2.0  #: between two tries to tell a machine
_ASK_S = 5.0  #: an idle worker's question waits this long for an order before the answer is "go"


def _passed_on(
    method: Callable[Concatenate[Dispatcher, P], T],
) -> Callable[Concatenate[DispatcherActor, P], Coroutine[Any, Any, T]]:
    """Make an actor's method of one of Dispatcher's; Ray wants them one by one."""

    @wraps(method)
    async def passed_on(self: DispatcherActor, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return await self._call(method, self._dispatcher, *args, **kwargs)

    return passed_on


class DispatcherActor:
    """Passes calls on to the Dispatcher, wakes callers that wait for a change, and keeps the workers alive."""

    def __init__(self, settings: FarmSettings) -> None:
        """Take charge of the store, and of the workers of every node that declares some."""
        setup_logs(style=settings.log_format, level=settings.log_level)
        self._settings, self._meter = settings, RayMeter()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._bells = Bells()  #: "orders" and "news"; rung in the event loop alone
        self._heard = set[str]()  #: Ray's ids of the machines that are told so
        self._dispatcher = self._take_charge()
        log.info("take_charge", extra={"epoch": self._dispatcher.epoch})
        self._publish()
        self._fleet = Fleet(
            settings,
            on_death=self._dispatcher.worker_died,
            on_nodes=self._dispatcher.nodes,
            may_fill=self._dispatcher.may_fill,
            greet=self._greet,
            on_notices=NoticeBoard(self._meter).look,
            wanted=self._dispatcher.wanted_workers,
        )
        for name, loop in (
            ("ticks", self._tick_forever),
            ("fleet", self._fleet.keep),
            ("webhooks", self._webhooks.run),
            ("signs", _give_signs),
        ):
            threading.Thread(target=_or_die, args=(loop,), name=name, daemon=True).start()

    def _take_charge(self) -> Dispatcher:
        """Return a dispatcher once the store answers. Never raise: Ray gives up an actor whose constructor raises."""
        while True:
            try:
                jobs = Jobs(MeteredStore(open_store(self._settings), self._meter))
                self._webhooks = WebhookSender(jobs, self._settings)
                return Dispatcher(
                    jobs,
                    self._settings,
                    meter=self._meter,
                    on_news=lambda: self._ring("news"),
                    on_orders=lambda: self._ring("orders"),
                    on_end=self._webhooks.nudge,
                )
            except StoreError as err:
                log.warning("take_charge_failed: %s", err, extra={"retry_s": f"{self._settings.poll_s:.0f}"})
                time.sleep(self._settings.poll_s)
            except Exception:  # border: the farm must have a dispatcher once the trouble is over
                log.exception("take_charge_failed", extra={"retry_s": f"{self._settings.poll_s:.0f}"})
                time.sleep(self._settings.poll_s)

    def _greet(self, node: FarmNode) -> None:
        """Find out in a thread whether this machine reaches a new one; Ray would declare it dead without a reason."""

        def tell() -> None:
            if found := unreached(node.ports):
                log.warning("node_unreachable: %s", found, extra={"node": node.name})
                _tell(node.id, f"{found} was not reached from the head, {ray.util.get_node_ip_address()}")
            elif self._settings.autoscale:  # its workers come with the videos
                _tell(node.id, HEARD)

        threading.Thread(target=tell, name="reach", daemon=True).start()

    def _publish(self) -> None:
        """Publish which store is the farm's, for machines that join."""
        claim, settings = self._dispatcher.claim, self._settings
        sha256 = hashlib.sha256(claim.data).hexdigest()
        publish(FarmNotice(settings.storage, settings.s3_endpoint, claim.key, sha256, own_build()))

    async def ask(self, card: WorkerCard) -> Order | Verdict:
        """Answer like Dispatcher.ask, but wait up to `_ASK_S` for an order."""
        until = time.monotonic() + _ASK_S
        if card.ray_node not in self._heard:
            self._heard.add(card.ray_node)
            threading.Thread(target=_tell, args=(card.ray_node, HEARD), name="heard", daemon=True).start()
        while True:
            with self._bells.heard("orders") as bell:
                answer: Order | Verdict = await self._call(self._dispatcher.ask, card)
                resting = answer == "pause" and card.model is None  # else it must let its model go at once
                if not (answer == "go" or resting) or not await rings(bell, until - time.monotonic()):
                    return answer

    async def news(self, after: Place | None, *, timeout_s: float) -> News:
        """Answer like Dispatcher.news, but wait up to `timeout_s` for a change."""
        until = time.monotonic() + timeout_s
        while True:
            with self._bells.heard("news") as bell:
                news = await self._call(self._dispatcher.news, after)
                left_s = until - time.monotonic()
                if news.is_news or left_s <= 0:
                    return news
                await rings(bell, min(left_s, _NEWS_S))

    beat = _passed_on(Dispatcher.beat)
    give_up = _passed_on(Dispatcher.give_up)
    worker_failed_to_start = _passed_on(Dispatcher.worker_failed_to_start)
    nudge = _passed_on(Dispatcher.nudge)
    move = _passed_on(Dispatcher.move)
    watch = _passed_on(Dispatcher.watch)
    live = _passed_on(Dispatcher.live)
    lives = _passed_on(Dispatcher.lives)
    workers = _passed_on(Dispatcher.workers)
    waiting_for = _passed_on(Dispatcher.waiting_for)
    load = _passed_on(Dispatcher.load)
    worker_wish = _passed_on(Dispatcher.worker_wish)

    async def drain(self) -> list[str]:
        """Let the workers stop at their next step, give back their leases and end; return the slots that still live."""
        await self._call(self._dispatcher.drain)
        return await self._call(self._fleet.drain)

    def _tick_forever(self) -> None:
        sweep_at, due = 0.0, time.monotonic()
        while True:
            begun = time.monotonic()
            if begun - due > self._settings.poll_s:
                self._dispatcher.overslept(begun - due)
            try:
                self._dispatcher.tick()
                if time.monotonic() >= sweep_at:
                    self._dispatcher.sweep()
                    sweep_at = time.monotonic() + self._settings.sweep_s
            except StoreError as err:
                log.warning("store_unavailable: %s", err)  # videos wait; the next round tries again
            due = begun + self._settings.poll_s
            time.sleep(self._settings.poll_s)

    async def _call(self, method: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        self._loop = asyncio.get_running_loop()
        try:
            return await asyncio.to_thread(method, *args, **kwargs)
        except LeaseLost as err:
            if "epoch" in err.facts:
                _step_down(err)
            raise

    def _ring(self, bell: str) -> None:
        """Ring a bell in the event loop, because the dispatcher calls from its threads."""
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._bells.ring, bell)


def _tell(ray_node: str, word: str) -> None:
    """Tell a machine that joins how it goes; try again until Ray's tables answer. Call it in a thread."""
    while True:
        try:
            return tell_node(ray_node, word)
        except (ray.exceptions.RayError, OSError) as err:
            log.warning("tell_node_failed: %s", err, extra={"ray_node": ray_node})
            time.sleep(_AGAIN_S)


def _give_signs() -> None:
    while True:
        with suppress(ray.exceptions.RayError, OSError):  # Ray's head is away
            give_sign()
        time.sleep(_SIGN_S)


def _or_die(loop: Callable[[], None]) -> None:
    """Run a loop that never ends. If it does end, end the process: Ray starts a new dispatcher."""
    try:
        loop()
    except LeaseLost as err:
        _step_down(err)
    except Exception:  # border: a thread's exception would vanish
        log.exception("dispatcher_crash")
    os._exit(1)


def _step_down(err: LeaseLost) -> None:
    log.error("step_down: %s", err)
    os._exit(1)
