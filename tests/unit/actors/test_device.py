"""A worker describes its device before it has loaded anything; torch reports a GPU that is not there."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from huggingface_hub import constants

from actors.worker.device import UNPLANNED, Renderers, await_device, describe_device, device_book
from farm.jobs.demand import Need, fits
from farm.numeric_class import parse_class
from farm.settings import FarmSettings
from framepack_engine.memory.ladder import GIB, largest_workload, size_of
from framepack_engine.memory.plan_book import PlanBook
from framepack_engine.models.catalog import MODELS
from framepack_engine.models.locate import hub_folders, missing_files

pytestmark = pytest.mark.usefixtures("one_thread")
NAME = "NVIDIA GeForce RTX 3070 Laptop GPU"


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """An Ampere card of 8 GiB in a machine of 64."""
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 1)
    monkeypatch.setattr("torch.cuda.mem_get_info", lambda: (7 * GIB, 8 * GIB))
    monkeypatch.setattr("torch.cuda.current_device", lambda: 0)
    monkeypatch.setattr("torch.cuda.get_device_properties", lambda _: SimpleNamespace(total_memory=8 * GIB))
    monkeypatch.setattr("torch.cuda.get_device_name", lambda _=None: NAME)
    monkeypatch.setattr("torch.cuda.get_device_capability", lambda _: (8, 6))
    monkeypatch.setattr("torch.backends.cudnn.version", lambda: 91_900)
    monkeypatch.setattr("framepack_engine.sampling.numeric.sdpa_kernel", lambda *_: "flash")
    monkeypatch.setattr("actors.worker.device.host_bytes", lambda: 64 * GIB)


@pytest.mark.usefixtures("gpu")
def test_a_laptop_s_gpu_says_what_it_can_hold() -> None:
    """It streams, takes sections and tiled decodes, and leaves whole pictures to others."""
    card = describe_device("w", node="n", settings=FarmSettings(cpu_threads=1, workers="1", preserve_gb=0.5))
    book = PlanBook(size=size_of("framepack-i2v"), device_bytes=8 * GIB, host_bytes=64 * GIB, preserve_bytes=GIB // 2)
    assert "blocks streamed from host memory" in card.plan
    assert card.plan == book.plan(largest_workload(640)).words
    assert (card.device, card.vram_gib, card.vram_class, card.preserve_gb) == (NAME, 8.0, "v8", 0.5)
    assert card.attention == "sdpa"
    named = parse_class(card.numeric_class)
    assert (named.device, named.attention) == ("cuda-nvidia_geforce_rtx_3070_laptop_gpu-bfloat16", None)
    assert named.traits == {f"torch{torch.__version__.partition('+')[0]}", "cudnn9.19.0", "sdpa=flash"}
    for model in ("framepack-i2v", "framepack-f1"):
        needs = Need("section", model), *(Need("decode", model, decode=mode) for mode in ("tiled", "framewise"))
        assert [fits(card, need) for need in needs] == [True, True, False], card.needs_gib


def test_a_cpu_takes_only_models_whose_files_are_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It fetches no 44 GB because somebody asks for a video. It takes models of the package, and models made here."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    card = describe_device("w", node="n", settings=FarmSettings(cpu_threads=1))
    assert card.device == "CPU, 1 thread"
    assert set(card.models) == {name for name, entry in MODELS.items() if entry.origin != "hub"}
    for part, folder in hub_folders(MODELS["framepack-f1"].parts).items():
        for missing in list(missing_files(part, folder)):
            missing.parent.mkdir(parents=True, exist_ok=True)
            missing.touch()
    card = describe_device("w", node="n", settings=FarmSettings(cpu_threads=2))
    assert card.device == "CPU, 2 threads"
    assert set(MODELS) - set(card.models) == {"framepack-i2v"}


@pytest.mark.usefixtures("gpu")
@pytest.mark.parametrize("patient", [True, False])
def test_a_full_gpu_is_waited_for(monkeypatch: pytest.MonkeyPatch, patient: bool) -> None:
    """The worker says what it waits for until the trial has memory, and ends while it waits if the farm drains."""
    looks: Iterator[Exception | str] = iter([torch.OutOfMemoryError("full"), torch.OutOfMemoryError("full"), "sdpa"])
    told, slept = list[str](), list[float]()

    def trial(*_: object) -> str:
        found = next(looks)
        if isinstance(found, Exception):
            raise found
        return found

    def tell(message: str) -> bool:
        told.append(message)
        return patient

    monkeypatch.setattr("actors.worker.device.device_attention", trial)
    monkeypatch.setattr("torch.cuda.empty_cache", lambda: None)
    card = await_device("w", node="den", settings=FarmSettings(), tell=tell, sleep=slept.append)
    assert (card.attention if card else None) == ("sdpa" if patient else None)
    assert len(slept) == (2 if patient else 0)
    assert told[0].startswith("the GPU of den has 7.0 GiB free, too little")


@pytest.mark.usefixtures("gpu")
def test_fewer_bits_need_less_of_the_card() -> None:
    """FARM_PRECISION and FARM_DEVICE_GB are in the plan and in the needs that the scheduler reads."""
    whole, packed = (
        describe_device("w", node="n", settings=FarmSettings(cpu_threads=1, precision=precision, device_gb=6.0))
        for precision in ("bf16", "int4")
    )
    assert (whole.vram_gib, packed.vram_gib) == (6.0, 6.0)
    assert packed.plan.startswith("int4, ")
    assert packed.needs_gib["framepack-i2v"] <= whole.needs_gib["framepack-i2v"] < 6


@pytest.mark.usefixtures("gpu")
@pytest.mark.parametrize(
    ("settings", "preserve_gb", "allowed_gib"),
    [
        (FarmSettings(), None, 8.0),
        (FarmSettings(preserve_gb=3.0), None, 4.5),
        (FarmSettings(preserve_gb=3.0), 1.0, 6.5),
        (FarmSettings(preserve_gb=3.0), 0.0, 8.0),
        (FarmSettings(device_gb=6.0), None, 5.5),
        (FarmSettings(device_gb=6.0, preserve_gb=3.0), 1.0, 4.5),
        (FarmSettings(device_gb=12.0), None, 8.0),
        (FarmSettings(), 8.0, 0.0),
    ],
)
def test_others_have_what_is_left_to_them(
    settings: FarmSettings, preserve_gb: float | None, allowed_gib: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the worker's word, or the video's in its place; CUDA's own half GiB is taken off ours, and not off theirs."""
    shares = list[float]()

    def get(*_: object) -> None:
        raise LookupError("no weights here")

    monkeypatch.setattr("torch.cuda.set_per_process_memory_fraction", lambda share, _: shares.append(share))
    monkeypatch.setattr("actors.worker.device.ModelShelf.get", get)
    with pytest.raises(LookupError):
        Renderers(settings).load("framepack-i2v", preserve_gb)
    assert [share * 8 for share in shares] == [pytest.approx(allowed_gib)]  # set before any weights come
    room = device_book(size_of("framepack"), settings).room(None if preserve_gb is None else int(preserve_gb * GIB))
    assert room < allowed_gib * GIB


@pytest.mark.skipif(torch.cuda.is_available(), reason="a worker here computes on the GPU")
def test_a_cpu_that_plays_a_device_shows_a_plan(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the farm's model, before its first order; what fits nothing says what it would take; no limit, no plan."""
    monkeypatch.setattr("torch.backends.cudnn.version", lambda: 91_900)
    monkeypatch.setattr("framepack_engine.sampling.numeric.sdpa_kernel", lambda *_: "flash")
    monkeypatch.setattr("actors.worker.device.host_bytes", lambda: 64 * GIB)
    shown = [
        describe_device("w", node="n", settings=FarmSettings(cpu_threads=1, model=model, device_gb=gib)).plan
        for model, gib in (("tiny", None), ("tiny", 4.0), (None, 4.0), ("framepack-i2v", 8.0), ("framepack-i2v", 2.0))
    ]
    assert shown[0] == UNPLANNED
    assert all(plan.startswith("all resident, ") for plan in shown[1:3])
    assert "blocks streamed from host memory" in shown[3]
    assert shown[4].startswith("none: 960x416 needs")
