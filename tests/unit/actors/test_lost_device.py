"""A GPU whose driver has failed: its process ends, before it fails one video after another."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from typing_extensions import override

from actors.worker.link import DispatcherLink
from actors.worker.order_loop import OrderLoop
from actors.worker.orders import OnStep, OrderRunner
from actors.worker.vitals import Movement
from farm.contract import Order
from farm.jobs import Record
from farm.ledger import Entry
from farm.metrics import Unmetered
from farm.settings import FarmSettings
from framepack_engine import Renderer
from framepack_engine.errors import LoraUnusable
from tests.ray_handle import RayHandle
from tests.unit.conftest import DispatcherHere, Hand


@pytest.mark.parametrize(
    ("err", "goes_on"),
    [
        (torch.AcceleratorError("CUDA error: an illegal memory access was encountered"), False),
        (torch.OutOfMemoryError("CUDA out of memory"), True),
        (ValueError("a picture that the engine does not like"), True),
        (LoraUnusable("style.safetensors is no LoRA for this model"), True),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_worker_ends_with_its_device_and_with_nothing_less(
    *,
    hand: Hand,
    door: DispatcherHere,
    accept: Callable[..., Record],
    err: Exception,
    goes_on: bool,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The order's failure counts once; after an error that stays, the worker asks for no other order.

    A bad LoRA's message says all, so its line in the log has no traceback.
    """
    door.dispatcher.nudge(accept().job.id)

    class Fails(OrderRunner):
        """An engine whose device does this."""

        @override
        def run(self, order: Order, on_step: OnStep) -> Entry:
            raise err

    def load(*_: object) -> Renderer:
        raise AssertionError("it renders nothing")

    loop = OrderLoop(
        hand.card,
        FarmSettings(heartbeat_s=0.02),
        runner=Fails(hand.jobs, hand.card, load=load),
        link=DispatcherLink(hand.card.id, lease_s=10.0, orphan_s=60.0, find=lambda: RayHandle(door.dispatcher)),
        movement=Movement(),
        meter=Unmetered(),
    )
    assert loop.serve_one() is goes_on
    (record,) = [hand.jobs.get(job_id, owner=None) for job_id in hand.jobs.open_ids()]
    assert len(record.head.state.failures) == 1
    assert record.head.state.leases == {}
    (line,) = [record for record in caplog.records if record.message.startswith("order_failed")]
    assert line.message == f"order_failed: {err}"
    assert bool(line.exc_info) is not isinstance(err, LoraUnusable)
