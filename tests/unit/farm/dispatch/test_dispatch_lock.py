"""A store that answers slowly holds up whoever waits for that answer, not everybody else."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest
from typing_extensions import override

from farm.contract import Order
from farm.dispatch.dispatcher import Dispatcher
from farm.jobs import Jobs, Record
from farm.ledger.layout import log_folder
from farm.settings import FarmSettings
from farm.store import FolderStore
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
            live = dispatcher.live(record.job.id)
            assert live
            assert live.seq == committed + 1
            assert not waiting.done()
            store.gate.set()
            made = waiting.result(_LONG_S)
            assert not isinstance(made, Order) or set(made.needs) == {"conditioning"}
