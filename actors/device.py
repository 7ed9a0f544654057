"""What a worker's device is, and the renderer that fits it."""

from __future__ import annotations

import gc
import os
from typing import get_args

import torch

from farm.contract import Stage, WorkerCard
from farm.settings import FarmSettings
from farm.vram import vram_class
from framepack_engine import ModelShelf, Renderer
from framepack_engine.attention import usable_attentions
from framepack_engine.catalog import known_models
from framepack_engine.numeric import default_dtype, numeric_class

_GIB = 1 << 30


def describe_device(worker_id: str, *, node: str, settings: FarmSettings) -> WorkerCard:
    """The card of a worker on this process's device. Sets torch's threads, which are part of the numeric class."""
    threads = settings.cpu_threads or os.cpu_count() or 1
    torch.set_num_threads(threads)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    on_gpu = device.type == "cuda"
    vram_gib = torch.cuda.mem_get_info(device)[1] / _GIB if on_gpu else None
    return WorkerCard(
        id=worker_id,
        node=node,
        device=torch.cuda.get_device_name(device) if on_gpu else f"CPU, {threads} threads",
        vram_gib=None if vram_gib is None else round(vram_gib, 1),
        vram_class=settings.vram_class or (None if vram_gib is None else vram_class(vram_gib)),
        numeric_class=numeric_class(device, default_dtype(device)),
        attentions=usable_attentions(device=device, dtype=default_dtype(device)),
        stages=_stages(settings),
        models=tuple(known_models(settings.models)),
        plan="all resident",
        preserve_gb=settings.preserve_gb if on_gpu else 0.0,
        hours=settings.hours,
    )


def gpu_memory() -> dict[str, int]:
    """Bytes of this process's GPU: "used", by whomever, and "total"; nothing on a CPU."""
    if not torch.cuda.is_available():
        return {}
    free, total = torch.cuda.mem_get_info()
    return {"used": total - free, "total": total}


def _stages(settings: FarmSettings) -> tuple[Stage, ...]:
    """Those that the machine's settings name, in the order of making; all where they name none."""
    named = {stage.strip() for stage in settings.stages.split(",") if stage.strip()}
    every: tuple[Stage, ...] = get_args(Stage)
    return tuple(stage for stage in every if not named or stage in named)


class Renderers:
    """Renderers by the name of their model, on this process's device; what two models share is loaded once."""

    def __init__(self, settings: FarmSettings) -> None:
        self._settings, self._known = settings, known_models(settings.models)
        self._device = "cuda" if torch.cuda.is_available() else "cpu"
        self._shelf = self._new_shelf()

    def _new_shelf(self) -> ModelShelf:
        here = self._settings
        return ModelShelf(device=self._device, cache_dir=here.cache, text_encoder_device=here.text_encoder_device)

    def let_go(self) -> None:
        """Hold nothing any more, and leave the GPU's memory to others. The renderers must have been dropped by then."""
        self._shelf = self._new_shelf()
        gc.collect()
        if self._device == "cuda":
            torch.cuda.empty_cache()

    def load(self, model: str, preserve_gb: float | None = None) -> Renderer:
        """A renderer, weights loaded; the one before must have been dropped by then. Raises: EngineError.

        preserve_gb: GPU memory that is left to others, GiB; None: as the settings say.
        """
        self._preserve(self._settings.preserve_gb if preserve_gb is None else preserve_gb)
        models = self._shelf.get(self._known.get(model, model))
        return Renderer(models, device=self._device, lora_dir=self._settings.lora_dir)

    def _preserve(self, gib: float) -> None:
        """Let torch's allocator refuse what would leave less than `gib` of the GPU to others."""
        if self._device != "cuda":
            return
        torch.cuda.empty_cache()  # what an earlier, larger share left behind
        total = torch.cuda.mem_get_info()[1]
        torch.cuda.set_per_process_memory_fraction(min(max(1.0 - gib * _GIB / total, 0.0), 1.0))
