"""Steps a second of each stage of `train pocket`. Beside `bench training`, only this needs lab.training."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from framepack_engine.memory.ladder import GIB
from lab.bench.device.row import four_digits
from lab.bench.device.site import Site

if TYPE_CHECKING:
    from lab.training.loop import StepReport

_MINUTES = 0.4  #: of each stage on a GPU
_CPU_STEPS = 2  #: of each stage on a CPU: enough to see that it runs


def stages(site: Site) -> Iterator[dict[str, Any]]:
    """Train each stage for a short time: size 256 on a GPU, in bfloat16 and compiled; size 128 on a CPU."""
    from lab.training.loop import Run
    from lab.training.pocket import train_pocket
    from lab.training.recipe import STAGES, recipe_of

    recipe, gpu = recipe_of("256" if site.on_gpu else "128"), site.on_gpu
    with tempfile.TemporaryDirectory(prefix="framefarm-bench-train-") as folder:
        for stage in STAGES:
            seen: list[tuple[float, StepReport]] = []
            run = Run(
                folder=Path(folder),
                device="cuda" if gpu else "cpu",
                precision="bf16" if gpu else "no",
                minutes=_MINUTES if gpu else None,
                steps=None if gpu else _CPU_STEPS,
                compiled=gpu and stage == "dit",
                on_step=partial(_note, seen),
            )
            train_pocket(recipe, stage, run)
            later = seen[len(seen) // 2 :] if len(seen) > _CPU_STEPS else seen
            elapsed = later[-1][0] - later[0][0] if later else 0.0
            yield {
                "part": stage,
                "recipe": recipe.name,
                "steps": len(seen),
                "steps_per_s": four_digits((len(later) - 1) / elapsed) if elapsed > 0 else None,
                "loss": four_digits(seen[-1][1].loss) if seen else None,
                "peak_gib": round(torch.cuda.max_memory_allocated() / GIB, 2) if gpu else None,
            }


def _note(seen: list[tuple[float, StepReport]], report: StepReport) -> None:
    seen.append((time.perf_counter(), report))
