"""Plans that ran out of memory are remembered beyond the process: by device, model and size, and not for ever."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from actors.worker.device import Renderers
from farm.contract import Order
from farm.settings import FarmSettings
from framepack_engine import Models, RenderSpec
from framepack_engine.memory.ladder import Workload, size_of
from framepack_engine.memory.plan_book import KEEP_S, PlanBook, PlanNotes
from framepack_engine.memory.tenancy import Tenancy, workload_of
from lab.bench.random_model import RandomParts, random_conditioning
from tests.engine_worker import Worker, submit
from tests.unit.conftest import Hand

SPEC = RenderSpec(
    kind="i2v", sections=2, height=32, width=48, seed=5, prompt="", latent_window_size=1, num_inference_steps=2
)
GIB = 1 << 30
FACTS = {"device": "RTX 3060", "bytes": 12 << 30, "model": "framepack-i2v"}
OLD = '{"too_large": [{"height": 608, "width": 640, "window": 9, "rung": 2, "at": 4e9}]}'  #: says no room


@pytest.fixture
def settings(tiny_cache: str, tmp_path: Path) -> FarmSettings:
    """A worker that plans on the CPU, with a cache of its own that has the tiny models."""
    for made in Path(tiny_cache).glob("tiny-v*"):
        (tmp_path / made.name).symlink_to(made)
    return FarmSettings(device_gb=4.0, cache=str(tmp_path), cpu_threads=1)


def squeeze(tenancy: Tenancy) -> Callable[[object], None]:
    """To be called after a step: another process takes what is left of the memory, once."""

    def squeezed(_: object) -> None:
        if tenancy.stepped_down == 0 and tenancy.budget.cap_bytes is not None:
            tenancy.budget.cap_bytes = tenancy.budget.in_use

    return squeezed


def test_the_next_process_begins_with_the_smaller_plan(settings: FarmSettings, tiny_models: Models) -> None:
    """A section runs out once; a worker that starts afterwards does not try that plan at that size, but at others."""
    conditioning = random_conditioning(
        RandomParts(tiny_models.transformer, tiny_models.vae, image_tokens=16), height=32, width=48
    )
    first = Renderers(settings).load("tiny")
    tenancy = first.tenancy
    assert tenancy is not None
    first.section(SPEC, 0, conditioning, None, on_step=squeeze(tenancy))
    first.close()
    assert tenancy.stepped_down == 1
    renderers = Renderers(settings)
    for model, rung in (("tiny", 1), ("tiny-f1", 0)):
        again = renderers.load(model).tenancy
        assert again is not None
        assert again.book.plan(workload_of(SPEC)).rung == rung
        assert again.book.plan(workload_of(replace(SPEC, width=64))).rung == 0
    assert Renderers(settings).book_of("tiny", tenancy.book.size).remembered
    for others in (settings.replaced(device_gb=5.0), settings.replaced(kernels="compiled")):
        assert Renderers(others).book_of("tiny", tenancy.book.size).remembered == ""


def test_a_worker_shows_what_ran_out(settings: FarmSettings, hand: Hand, http: TestClient) -> None:
    """Nothing before its first order, then the plan that holds; after a step down the smaller one, and what failed."""
    renderer = Renderers(settings).load("tiny")
    worker, tenancy = Worker(hand, renderer), renderer.tenancy
    assert tenancy is not None
    path, shown = submit(http, seconds="0.1", num_inference_steps="2"), [worker.runner.memory_plan]
    while isinstance(order := worker.dispatcher.ask(worker.card), Order):
        worker.runner.run(order, squeeze(tenancy))
        worker.dispatcher.nudge(order.job.id)
        shown.append(worker.runner.memory_plan)
    assert http.get(path).json()["status"] == "completed"
    before, encoded, *after = shown
    assert before is None
    assert (encoded or "").startswith("all resident, ")
    assert len(after) >= 3
    for plan in after:
        assert (plan or "").startswith("hoisted resident, ")
        assert "160x96 w=1: plan 1 ran out of memory in " in (plan or "")
    worker.runner.let_go()
    assert worker.runner.memory_plan is None


def test_notes_pass(tmp_path: Path) -> None:
    """After a week a plan is tried again; of two sizes each has its own time."""
    now = [1e9]
    notes = PlanNotes(tmp_path / "plans", FACTS, now=lambda: now[0])
    assert notes.read() == {}
    notes.add((608, 640, 9, GIB), 2)
    now[0] += KEEP_S - 1
    notes.add((320, 320, 9, GIB), 1)
    assert PlanNotes(tmp_path / "plans", FACTS, now=lambda: now[0]).read() == {
        (608, 640, 9, GIB): 2,
        (320, 320, 9, GIB): 1,
    }
    now[0] += 1
    assert notes.read() == {(320, 320, 9, GIB): 1}
    assert PlanNotes(tmp_path / "plans", {**FACTS, "device": "RTX 4090"}).read() == {}


@pytest.mark.parametrize("text", ["", "{", '{"too_large": 3}', '{"too_large": [{"height": 1}]}', OLD])
def test_a_damaged_note_is_none(tmp_path: Path, text: str) -> None:
    """The next one writes it again; a folder that cannot be written is no error either."""
    notes = PlanNotes(tmp_path, FACTS)
    notes.path.write_text(text)
    assert notes.read() == {}
    notes.add((608, 640, 9, GIB), 2)
    assert notes.read() == {(608, 640, 9, GIB): 2}
    assert [path.name for path in tmp_path.iterdir()] == [notes.path.name]
    blocked = PlanNotes(notes.path, FACTS)
    blocked.add((608, 640, 9, GIB), 2)
    assert blocked.read() == {}


def test_a_note_is_about_the_room_that_there_was() -> None:
    """A plan that ran out while much was left to others is tried again where nothing is, and not where as much is."""
    size, work = size_of("framepack"), Workload()
    book = PlanBook(size=size, device_bytes=80 * GIB, host_bytes=64 * GIB)
    failed = book.plan(work, preserve_bytes=60 * GIB)
    book.too_large(work, failed, preserve_bytes=60 * GIB)
    assert book.plan(work).rung == 0
    assert book.plan(work, preserve_bytes=59 * GIB).rung <= failed.rung
    for preserve in (60, 61):
        assert book.plan(work, preserve_bytes=preserve * GIB).rung > failed.rung
