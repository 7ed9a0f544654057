"""Decode beside the next section on one device: a second worker that shares its memory by the settings' word."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from fastapi.testclient import TestClient

from actors.worker.device import Renderers, describe_device
from farm.contract import JobId, Order
from farm.settings import FarmSettings
from framepack_engine.memory.ladder import GIB
from tests.engine_worker import Worker, made, submit
from tests.unit.conftest import Hand

DEVICE_GB, DECODE_GB = 2.0, 0.8  #: of the whole, and what the second worker has of it
VIDEO = {"seconds": "0.4", "model": "tiny"}  #: three sections of one latent frame: decode 1 can be beside section 2


pytestmark = pytest.mark.usefixtures("one_thread")


def worker(hand: Hand, settings: FarmSettings, name: str) -> Worker:
    """A worker on a device of its own settings."""
    card = describe_device(f"{name}.a", node="n", settings=settings)
    made = Worker(hand, Renderers(settings).load("tiny"), name=card.id)
    made.card = card
    return made


def clips(hand: Hand, path: str) -> list[str]:
    """Digests of the clips of a finished video, which hold its frames and nothing else."""
    record = hand.jobs.get(JobId(path.rpartition("/")[2]), owner=None)
    found = [hand.jobs.artifact(record, f"clip/{n}") for n, count in enumerate(record.job.plan.final_frames) if count]
    assert all(found)
    return [clip.sha256 for clip in found if clip]


def did(worker: Worker, order: Order) -> None:
    """The order, done and told of."""
    worker.runner.run(order, lambda _: None)
    worker.dispatcher.nudge(order.job.id)


@pytest.mark.skipif(torch.cuda.is_available(), reason="a worker here computes on the GPU, whose memory it shares")
def test_two_workers_share_a_device(hand: Hand, http: TestClient, tiny_cache: Path) -> None:
    """One makes sections and leaves room, the other decodes in that room: at once, in it, and to the same bits."""
    whole = FarmSettings(cache=str(tiny_cache), cpu_threads=1, device_gb=DEVICE_GB)
    alone = clips(hand, made(http, worker(hand, whole, "alone"), **VIDEO))
    hand.dispatcher.worker_died("alone.a")
    maker = worker(hand, whole.replaced(stages="encode,section", preserve_gb=DECODE_GB), "maker")
    decoder = worker(hand, whole.replaced(stages="decode,finish", device_gb=DECODE_GB), "decoder")
    path, beside = submit(http, **VIDEO), set[tuple[str, str]]()
    while http.get(path).json()["status"] not in {"completed", "failed"}:
        asked = [(each, each.dispatcher.ask(each.card)) for each in (maker, decoder)]
        orders = [(each, order) for each, order in asked if isinstance(order, Order)]
        assert orders
        if len(orders) == 2:
            beside.add((str(orders[0][1].key), str(orders[1][1].key)))
        for each, order in reversed(orders):  # the decode commits while the section still computes
            did(each, order)
    assert ("section/2", "decode/1") in beside
    assert http.get(path).json()["status"] == "completed"
    assert clips(hand, path) == alone
    peaks = [tenancy.budget.peak for each in (maker, decoder) if (tenancy := each.renderer.tenancy)]
    assert len(peaks) == 2
    assert all(peaks)
    assert peaks[1] <= DECODE_GB * GIB
    assert sum(peaks) <= DEVICE_GB * GIB
