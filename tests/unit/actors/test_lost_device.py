"""A GPU whose driver has failed: its process ends, before it fails one video after another."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from actors.vitals import Movement
from actors.worker import RenderWorker
from farm.jobs import Record
from farm.settings import FarmSettings
from tests.unit.conftest import DispatcherHere, Hand


@pytest.mark.parametrize(
    ("err", "goes_on"),
    [
        (torch.AcceleratorError("CUDA error: an illegal memory access was encountered"), False),
        (torch.OutOfMemoryError("CUDA out of memory"), True),
        (ValueError("a picture that the engine does not like"), True),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_worker_ends_with_its_device_and_with_nothing_less(
    *,
    hand: Hand,
    door: DispatcherHere,
    accept: Callable[..., Record],
    monkeypatch: pytest.MonkeyPatch,
    err: Exception,
    goes_on: bool,
) -> None:
    """The order's failure counts once; after an error that stays, the worker asks for no other order."""
    door.dispatcher.nudge(accept().job.id)

    class Fails:
        """An engine whose device does this."""

        model, memory_plan, warm_job = None, None, None

        @staticmethod
        def run(*_: object) -> None:
            """Fail."""
            raise err

    class Pace:
        """Nothing was measured."""

        @staticmethod
        def of(_: object) -> dict[str, float]:
            """No time of any model."""
            return {}

    worker: Any = object.__new__(RenderWorker)  # without Ray and without the thread that asks
    parts = {
        "_settings": FarmSettings(heartbeat_s=0.02),
        "_id": hand.card.id,
        "_card": hand.card,
        "_runner": Fails(),
        "_pace": Pace(),
        "_movement": Movement(),
        "_call": lambda method, *args, **_: getattr(door.dispatcher, method)(*args),
        "_is_asleep": lambda: False,
    }
    for name, part in parts.items():
        monkeypatch.setattr(worker, name, part, raising=False)
    assert worker._serve_one() is goes_on
    (record,) = [hand.jobs.get(job_id, owner=None) for job_id in hand.jobs.open_ids()]
    assert len(record.head.state.failures) == 1
    assert record.head.state.leases == {}
