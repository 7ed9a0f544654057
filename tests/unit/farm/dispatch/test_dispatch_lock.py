"""A slow store holds up only the caller that waits for it, and all state lies behind one lock."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest
from typing_extensions import override

from farm.contract import Failure, Order, OrderKey, Progress
from farm.dispatch.dispatcher import Dispatcher
from farm.jobs import Jobs, Record
from farm.ledger.layout import log_folder
from farm.request import Move, VideoRequest
from farm.settings import FarmSettings
from farm.store import FolderStore
from tests import hands
from tests.unit.conftest import Hand

Accept = Callable[..., Record]
_LONG_S = 20.0  #: nothing here takes so long unless it is locked out


class GatedStore(FolderStore):
    """Reads of one key wait at a gate."""

    key = ""

    def __init__(self, root: Path) -> None:
        """The gate is shut, and there is no key behind it."""
        super().__init__(root)
        self.reached, self.gate = threading.Event(), threading.Event()

    @override
    def get(self, key: str) -> bytes:
        if key == self.key:
            self.reached.set()
            assert self.gate.wait(_LONG_S)
        return super().get(key)


@pytest.fixture
def store(tmp_path: Path) -> GatedStore:
    """An empty store."""
    return GatedStore(tmp_path / "storage")


class CountedLock:
    """A lock that counts how often it is taken."""

    def __init__(self) -> None:
        """It was not taken yet."""
        self.taken = 0

    def __enter__(self) -> None:
        self.taken += 1

    def __exit__(self, *_: object) -> None:
        """Nothing to give back: there is one thread."""


def test_every_method_takes_the_lock(jobs: Jobs, accept: Accept) -> None:
    """No method reaches videos and workers without it."""
    lock = CountedLock()
    dispatcher, card, job_id = Dispatcher(jobs, FarmSettings(), lock=lock), hands.card("worker-0.a"), accept().job.id
    where = {"job": job_id, "key": OrderKey(stage="encode"), "attempt": 1, "worker": card.id}
    calls: dict[str, Callable[[], object]] = {
        "nudge": lambda: dispatcher.nudge(job_id),
        "move": lambda: dispatcher.move(job_id, Move(to="first")),
        "ask": lambda: dispatcher.ask(card),
        "beat": lambda: dispatcher.beat(card, Progress(**where)),
        "live": lambda: dispatcher.live(job_id),
        "load": lambda: dispatcher.load("local"),
        "workers": dispatcher.workers,
        "waiting_for": lambda: dispatcher.waiting_for(VideoRequest(prompt="a cat", model="tiny")),
        "worker_wish": lambda: dispatcher.worker_wish("worker-0", "pause"),
        "worker_failed_to_start": lambda: dispatcher.worker_failed_to_start("x"),
        "nodes": lambda: dispatcher.nodes(set(), set(), set()),
        "may_fill": lambda: dispatcher.may_fill("worker-0"),
        "wanted_workers": dispatcher.wanted_workers,
        "overslept": lambda: dispatcher.overslept(1.0),
        "give_up": lambda: dispatcher.give_up(Failure(**where, code="boom", message="x")),
        "worker_died": lambda: dispatcher.worker_died(card.id),
        "tick": dispatcher.tick,
        "sweep": dispatcher.sweep,
        "drain": dispatcher.drain,
        "news": lambda: dispatcher.news(None),
        "watch": lambda: dispatcher.watch(frozenset()),
        "lives": lambda: dispatcher.lives([job_id]),
    }
    assert calls.keys() == {name for name in vars(Dispatcher) if not name.startswith("_")}
    for name, call in calls.items():
        lock.taken = 0
        call()
        assert lock.taken, name


def test_a_slow_read_holds_up_nobody_else(jobs: Jobs, store: GatedStore, accept: Accept) -> None:
    """While an order's artifacts are looked up, and while news are looked for, the dispatcher answers others."""
    dispatcher = Dispatcher(jobs, FarmSettings())
    hand, record = Hand(jobs, dispatcher), accept()
    dispatcher.nudge(record.job.id)
    hand.commit(hand.take(), conditioning=b"c")
    committed = jobs.get(record.job.id, owner=None).head.seq
    with ThreadPoolExecutor(1) as pool:
        looks: list[tuple[int, Callable[[], object]]] = [(committed, hand.take), (committed + 2, dispatcher.tick)]
        for seq, look in looks:
            store.key = f"{log_folder(record.job.id)}{seq:08}.json"
            store.reached.clear()
            store.gate.clear()
            waiting: Future[object] = pool.submit(look)
            assert store.reached.wait(_LONG_S)
            if seq == committed:  # the lease is written; the worker is busy before it has its order
                assert [worker.state for worker in dispatcher.workers()] == ["busy"]
            assert dispatcher.live(record.job.id)
            assert not waiting.done()
            store.gate.set()
            made = waiting.result(_LONG_S)
            assert not isinstance(made, Order) or set(made.needs) == {"conditioning"}
