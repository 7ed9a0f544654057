"""A worker's device, and the renderer that fits it."""

from __future__ import annotations

import gc
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import get_args

import torch

from farm.contract import AUTO, Stage, WorkerCard
from farm.setting_types import vram_class
from farm.settings import FarmSettings
from framepack_engine import ModelShelf, Renderer
from framepack_engine.errors import DeviceTooSmall
from framepack_engine.kernels.blocks import check_exact
from framepack_engine.memory.cuda_share import limit_cuda
from framepack_engine.memory.ladder import GIB, largest_workload, size_of
from framepack_engine.memory.model_count import count_model
from framepack_engine.memory.plan_book import PlanBook, PlanNotes
from framepack_engine.models.catalog import CPU_MODEL, ModelEntry, known_models
from framepack_engine.models.compiled import check_compile
from framepack_engine.models.host import cpu_name, host_bytes
from framepack_engine.models.locate import is_here
from framepack_engine.models.model_size import ModelSize
from framepack_engine.models.precision import check_precision
from framepack_engine.sampling.attention import check_attention, usable_attentions
from framepack_engine.sampling.attention_trial import device_attention
from framepack_engine.sampling.numeric import default_dtype, numeric_class

_ROOM_S = 10.0  #: between two looks whether other programs have left memory
UNPLANNED = "all resident"
USUAL_MODEL = "framepack-i2v"  #: the largest model; any GPU may be asked for it


def describe_device(worker_id: str, *, node: str, settings: FarmSettings) -> WorkerCard:
    """Return the card of a worker on this process's device. Set torch's threads: they belong to the numeric class."""
    threads = settings.cpu_threads or os.cpu_count() or 1
    torch.set_num_threads(threads)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    check_precision(settings.precision, device=device)
    if settings.kernels == "compiled":
        check_compile(device, counted=settings.device_gb is not None)
    elif settings.kernels == "exact":
        check_exact(device)
    on_gpu = device.type == "cuda"
    vram_gib = device_bytes(settings) / GIB if on_gpu else None
    models = _servable(settings, on_gpu=on_gpu)
    needs_gib = dict[str, float]()
    if on_gpu:
        for name, entry in models.items():
            size = size_of(name, settings.precision, compiled=settings.kernels == "compiled")
            for decode, gib in device_book(size, settings).needs_gib(entry.resolution).items():
                needs_gib[f"{name} decode={decode}" if decode else name] = gib
    return WorkerCard(
        id=worker_id,
        node=node,
        device=torch.cuda.get_device_name(device) if on_gpu else cpu_name(threads),
        vram_gib=None if vram_gib is None else round(vram_gib, 1),
        vram_class=settings.vram_class or (None if vram_gib is None else vram_class(vram_gib)),
        numeric_class=numeric_class(
            device, default_dtype(device), precision=settings.precision, compiled=settings.kernels == "compiled"
        ),
        attentions=usable_attentions(device=device, dtype=default_dtype(device)),
        attention=_attention(device, settings),
        stages=_stages(settings),
        models=tuple(models),
        plan=_first_plan(settings) if on_gpu or settings.device_gb is not None else UNPLANNED,
        needs_gib=needs_gib,
        preserve_gb=settings.preserve_gb if on_gpu else 0.0,
        hours=settings.hours,
    )


def _servable(settings: FarmSettings, *, on_gpu: bool) -> dict[str, ModelEntry]:
    """Return the models that this worker takes orders for. A GPU is worth a download; a CPU takes what is here."""
    return {name: entry for name, entry in known_models(settings.models).items() if on_gpu or _lies_here(entry)}


def _lies_here(entry: ModelEntry) -> bool:
    return entry.origin != "hub" or is_here(entry)


def await_device(
    worker_id: str,
    *,
    node: str,
    settings: FarmSettings,
    tell: Callable[[str], bool],
    sleep: Callable[[float], object] = time.sleep,
) -> WorkerCard | None:
    """Return the card once the GPU has memory for the trial of its attention. None: the farm needs this worker no more.

    tell: hears each time what the worker waits for, and returns whether to go on.
    """
    while True:
        try:
            return describe_device(worker_id, node=node, settings=settings)
        except torch.OutOfMemoryError:
            torch.cuda.empty_cache()
            memory = gpu_memory()
            free = (memory["total"] - memory["used"]) / GIB if memory else 0.0
        if not tell(
            f"the GPU of {node} has {free:.1f} GiB free, too little to try its attention; the worker waits until other "
            "programs leave about 2 GiB (FARM_ATTENTION=sdpa needs no trial)"
        ):
            return None
        sleep(_ROOM_S)


def _attention(device: torch.device, settings: FarmSettings) -> str:
    """Return the attention for videos that leave it open. Raises: AttentionUnavailable if the settings' is missing."""
    dtype = default_dtype(device)
    if settings.attention == AUTO:
        return device_attention(device, dtype)
    check_attention(settings.attention, device=device, dtype=dtype)
    return settings.attention


def is_lost(err: Exception) -> bool:
    """Whether this process has lost its device: most of CUDA's own errors last until the process ends."""
    return isinstance(err, torch.AcceleratorError)


def gpu_memory() -> dict[str, int]:
    """Return the bytes of this process's GPU: "used", by any process, and "total"; nothing on a CPU."""
    if not torch.cuda.is_available():
        return {}
    free, total = torch.cuda.mem_get_info()
    return {"used": total - free, "total": total}


def _stages(settings: FarmSettings) -> tuple[Stage, ...]:
    """Return the stages that the machine's settings name, in the order of making; all if they name none."""
    named = {stage.strip() for stage in settings.stages.split(",") if stage.strip()}
    every: tuple[Stage, ...] = get_args(Stage)
    return tuple(stage for stage in every if not named or stage in named)


def device_bytes(settings: FarmSettings) -> int:
    """Return the device memory that plans may use: all of it, or FARM_DEVICE_GB."""
    total = torch.cuda.mem_get_info()[1] if torch.cuda.is_available() else host_bytes()
    return total if settings.device_gb is None else min(total, int(settings.device_gb * GIB))


def host_share(settings: FarmSettings) -> int:
    """Return the machine's memory that plans may use. Workers of one machine share it: each pins what it streams."""
    return host_bytes() // max(1, int(settings.workers) if settings.workers.isdigit() else 1)


def device_book(size: ModelSize, settings: FarmSettings, *, notes: PlanNotes | None = None) -> PlanBook:
    """Return a plan book for a model of that size on this process's device."""
    return PlanBook(
        size=size,
        device_bytes=device_bytes(settings),
        host_bytes=host_share(settings),
        preserve_bytes=int(settings.preserve_gb * GIB),
        notes=notes,
    )


def _first_plan(settings: FarmSettings) -> str:
    """Describe the plan of the farm's model at its usual size, before anything is loaded."""
    models = known_models(settings.models)
    usual = USUAL_MODEL if torch.cuda.is_available() else CPU_MODEL
    entry = models.get(settings.model or usual, models[usual])
    try:
        size = size_of(entry.name, settings.precision, compiled=settings.kernels == "compiled")
        return device_book(size, settings).plan(largest_workload(entry.resolution)).words
    except DeviceTooSmall as err:
        return f"none: {err}"


class Renderers:
    """Makes renderers on this process's device. Parts that two models share are loaded once."""

    def __init__(self, settings: FarmSettings) -> None:
        self._settings, self._known = settings, known_models(settings.models)
        self._device = "cuda" if torch.cuda.is_available() else "cpu"
        self._planned = self._device == "cuda" or settings.device_gb is not None  # else there is nothing to plan
        self._books: dict[str, PlanBook] = {}  # by model, for the process's life
        self._shelf = self._new_shelf()

    def _new_shelf(self) -> ModelShelf:
        here = self._settings
        return ModelShelf(
            device=self._device,
            cache_dir=here.cache,
            text_encoder_device=here.text_encoder_device,
            home="cpu" if self._planned and not self._keeps_all() else None,
            precision=here.precision,
            kernels=here.kernels,
        )

    def let_go(self) -> None:
        """Free the GPU's memory. Drop all renderers first."""
        self._shelf = self._new_shelf()
        gc.collect()
        if self._device == "cuda":
            torch.cuda.empty_cache()

    def load(self, model: str, preserve_gb: float | None = None) -> Renderer:
        """Return a renderer with its weights loaded. Drop the one before first. Raises: EngineError.

        preserve_gb: GPU memory left to other programs, GiB; None: the settings' value.
        """
        self._preserve(self._settings.preserve_gb if preserve_gb is None else preserve_gb)
        models = self._shelf.get(self._known.get(model, model))
        book = None
        if self._planned:
            book = self.book_of(model, count_model(**models.modules))
        renderer = Renderer(models, device=self._device, lora_dir=self._settings.lora_dir, book=book)
        renderer.leave_gb(preserve_gb)
        return renderer

    def book_of(self, model: str, size: ModelSize) -> PlanBook:
        """Return what this or an earlier process learnt of a model on this device."""
        if model not in self._books:
            name = torch.cuda.get_device_name() if self._device == "cuda" else self._device
            about = {"device": name, "bytes": device_bytes(self._settings), "model": model, "precision": size.precision}
            about["compiled"] = self._settings.kernels == "compiled"
            notes = PlanNotes(Path(self._settings.cache, "plans"), about)
            self._books[model] = device_book(size, self._settings, notes=notes)
        return self._books[model]

    def _keeps_all(self) -> bool:
        """Whether the largest model's best plan streams nothing: then weights are loaded straight onto the device."""
        usual = largest_workload(self._known[USUAL_MODEL].resolution)
        try:
            size = size_of(USUAL_MODEL, self._settings.precision, compiled=self._settings.kernels == "compiled")
            return device_book(size, self._settings).plan(usual).keeps == "all"
        except DeviceTooSmall:
            return False

    def _preserve(self, gib: float) -> None:
        """Make torch's allocator refuse what would leave less than `gib` of the GPU to other programs."""
        if self._device != "cuda":
            return
        torch.cuda.empty_cache()  # leftovers of an earlier, larger share
        limit_cuda(torch.device(self._device), device_bytes(self._settings) - int(gib * GIB))
