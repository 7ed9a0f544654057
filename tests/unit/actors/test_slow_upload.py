"""An upload over a slow link: the worker reports while it lasts, so that no lease expires."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from actors.worker.link import DispatcherLink
from actors.worker.order_loop import OrderLoop
from actors.worker.orders import OrderRunner
from actors.worker.vitals import Movement
from farm.contract import JobId
from farm.dispatch.dispatcher import Dispatcher
from farm.metrics import Unmetered
from farm.settings import FarmSettings
from farm.store import FolderStore
from framepack_engine import Models, Renderer
from tests.clock import Clock
from tests.engine_worker import submit
from tests.patience import wait_for
from tests.ray_handle import RayHandle
from tests.unit.conftest import DispatcherHere, Hand

pytestmark = pytest.mark.usefixtures("one_thread")
LEASE_S = 30.0


def _heard(handle: RayHandle, reports: int) -> bool | None:
    return handle.called.count("beat") >= reports or None


def test_an_upload_that_outlasts_the_lease_keeps_it(
    hand: Hand, door: DispatcherHere, http: TestClient, tiny_models: Models, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The section and the clip take three times as long as a lease; each was leased once, and committed."""
    jobs, clock = hand.jobs, Clock()
    dispatcher = door.dispatcher = Dispatcher(jobs, FarmSettings(lease_s=LEASE_S), clock=clock)
    handle, uploads, put = RayHandle(dispatcher), list[str](), FolderStore.put_if_absent

    def slowly(store: FolderStore, key: str, data: bytes | Path) -> bool:
        if "/clips/" in key or "/sections/" in key:
            uploads.append(key)
            for _ in range(5):
                clock.now += 0.6 * LEASE_S
                wanted = handle.called.count("beat") + 2  # the second began after the clock moved
                wait_for(partial(_heard, handle, wanted), seconds=20, what="reports")
                dispatcher.tick()
        return put(store, key, data)

    monkeypatch.setattr(FolderStore, "put_if_absent", slowly)
    renderer = Renderer(tiny_models)
    card = hand.card.model_copy(update={"numeric_class": renderer.numeric_class})
    loop = OrderLoop(
        card,
        FarmSettings(lease_s=LEASE_S, heartbeat_s=0.02),
        runner=OrderRunner(jobs, card, load=lambda *_: renderer),
        link=DispatcherLink(card.id, lease_s=LEASE_S, orphan_s=600.0, find=lambda: handle),
        movement=Movement(),
        meter=Unmetered(),
    )
    video = submit(http, seconds="0.1").rpartition("/")[2]
    for _ in range(4):
        assert loop.serve_one()
    entries = list(jobs.ledger.following(JobId(video), -1))
    assert entries[-1].state.status == "completed"
    assert len(uploads) == 2
    for key in ("section/0", "decode/0"):
        assert [entry.event.name for entry in entries if entry.event.key == key] == ["leased", "committed"]
