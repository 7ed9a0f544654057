"""What a worker's device is, and the renderer that fits it."""

from __future__ import annotations

import os

import torch

from farm.contract import WorkerCard
from farm.settings import FarmSettings
from framepack_engine import Renderer, load_models
from framepack_engine.catalog import MODELS

_BUILT_IN = ("tiny", "tiny-f1")
_GIB = 1 << 30


def describe_device(worker_id: str, *, node: str, settings: FarmSettings) -> WorkerCard:
    """The card of a worker on this process's device."""
    device = device_name()
    total = torch.cuda.mem_get_info()[1] / _GIB if device != "cpu" else None
    name = torch.cuda.get_device_name() if device != "cpu" else f"CPU, {cpu_threads(settings)} threads"
    return WorkerCard(
        id=worker_id,
        node=node,
        device=name,
        vram_gib=total and round(total, 1),
        numeric_class=Renderer.class_of(device, threads=cpu_threads(settings)),
        stages=("encode", "section", "decode", "finish"),
        models=tuple(MODELS),
        plan="all resident",
    )


def load_renderer(model: str, *, settings: FarmSettings) -> Renderer:
    """The renderer for `model` on this process's device, weights loaded. Raises: EngineError."""
    device = device_name()
    torch.set_num_threads(cpu_threads(settings))
    models = load_models(model, device=device, cache_dir=settings.cache)
    return Renderer(models, device=device)


def device_name() -> str:
    """`cuda` where Ray gave this process a GPU, else `cpu`."""
    return "cuda" if torch.cuda.is_available() else "cpu"


def cpu_threads(settings: FarmSettings) -> int:
    """Threads for torch; part of the numeric class, since sums are split by thread."""
    return settings.cpu_threads or os.cpu_count() or 1
