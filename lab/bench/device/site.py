"""The device and models with which a row is measured."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch

from framepack_engine.planning.spec import RenderSpec
from lab.bench.device.machine import Machine
from lab.bench.device.models import Make


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """A device, a model by its name, and a section to render with it. out: folder for what a row leaves behind."""

    machine: Machine
    model: str
    make: Make
    spec: RenderSpec
    out: Path

    @property
    def device(self) -> torch.device:
        """The device that computes."""
        return self.machine.device

    @property
    def on_gpu(self) -> bool:
        """Whether it is a CUDA device."""
        return self.device.type == "cuda"
