"""Running out of GPU memory, seen from the farm: the same bits by a smaller plan, or another worker's turn."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from actors.worker.device import Renderers
from actors.worker.orders import failure_of
from farm.contract import Failure, Order, OrderKey
from farm.dispatch.dispatcher import Dispatcher
from farm.errors import ConfigError
from farm.jobs import Jobs, Record
from farm.jobs.demand import Need, fits
from farm.settings import FarmSettings
from framepack_engine.errors import OutOfMemory
from tests.hands import card

Accept = Callable[..., Record]


def test_only_what_no_worker_can_do_ends_a_video(jobs: Jobs, accept: Accept) -> None:
    """Three workers run out at the same order, and the video waits for the fourth; when that one does too, it ends."""
    job_id, ran_out = accept(model="tiny").job.id, list[str]()
    dispatcher, workers = Dispatcher(jobs, FarmSettings()), [card(f"worker-{n}.a") for n in range(4)]
    while len(ran_out) < 4:
        assert jobs.get(job_id, owner=None).head.state.status != "failed"
        answers = [answer for worker in workers if isinstance(answer := dispatcher.ask(worker), Order)]
        assert len(answers) == 1, ran_out
        ran_out.append(jobs.get(job_id, owner=None).head.state.leases["encode"].worker)
        dispatcher.give_up(failure_of(answers[0], ran_out[-1], OutOfMemory("too large")))
    state = jobs.get(job_id, owner=None).head.state
    assert set(ran_out) == {worker.id for worker in workers}
    assert (state.status, state.error and state.error.code) == ("failed", "out_of_memory")


def test_torch_s_own_error_has_the_same_name(jobs: Jobs, accept: Accept) -> None:
    """Memory that runs out while weights are loaded is no internal error."""
    accept(model="tiny")
    dispatcher = Dispatcher(jobs, FarmSettings())
    order = dispatcher.ask(card("worker-0.a"))
    assert isinstance(order, Order)
    failure = failure_of(order, "worker-0.a", torch.OutOfMemoryError("no room"))
    assert isinstance(failure, Failure)
    assert (failure.code, failure.counts, failure.key) == ("out_of_memory", True, OrderKey(stage="encode"))


@pytest.mark.parametrize(
    ("vram", "decode", "wanted"), [(12.0, "framewise", False), (12.0, "tiled", True), (24.0, "framewise", True)]
)
def test_a_decode_goes_where_there_is_room(vram: float, decode: str, wanted: bool) -> None:
    """A small GPU makes sections and tiled decodes, and leaves whole pictures to others."""
    needs = {"tiny": 3.6, "tiny decode=framewise": 21.2, "tiny decode=tiled": 2.3}
    worker = card("w", vram_gib=vram, needs_gib=needs)
    assert fits(worker, Need(stage="decode", model="tiny", decode=decode)) is wanted
    assert fits(worker, Need(stage="section", model="tiny"))


def test_a_worker_plans_within_what_it_is_given(tiny_cache: Any) -> None:
    """FARM_DEVICE_GB makes a CPU worker plan, and what a model taught is kept while another one is loaded."""
    settings = FarmSettings().replaced(device_gb=2.0, cache=str(tiny_cache))
    renderers = Renderers(settings)
    renderer = renderers.load("tiny", None)
    assert renderer.tenancy is not None
    book = renderer.tenancy.book
    assert book.device_bytes == 2 << 30
    renderer.close()
    renderers.load("tiny-f1", None).close()
    again = renderers.load("tiny", None)
    assert again.tenancy is not None
    assert again.tenancy.book is book
    assert Renderers(settings.replaced(device_gb=None)).load("tiny", None).tenancy is None


def test_no_memory_at_all_is_refused() -> None:
    """A limit of nothing is a mistake, named."""
    with pytest.raises(ConfigError, match="FARM_DEVICE_GB"):
        FarmSettings(device_gb=0.0)
