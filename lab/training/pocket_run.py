"""`train pocket`: its options, and the stages one after the other. Imports neither torch nor typer until it runs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from framepack_engine.errors import EngineError
from lab.options import option
from lab.training.recipe import STAGES, recipe_of

if TYPE_CHECKING:
    from lab.training.loop import StepReport

ABOUT = "Train the pocket model on pictures that are made here; print its folder."


@dataclass(frozen=True, slots=True, kw_only=True)
class PocketOptions:
    """The command's flags."""

    stage: str = option("text, vae, dit or all", default="all")
    size: str | None = option("128 or 256 (default: 256 with a GPU, else 128)")
    out: Path | None = option("the run's folder (default: FARM_CACHE/pocket-SIZE)")
    resume: bool = option("continue from the last checkpoint", default=False)
    minutes: float | None = option("stop each stage after this time", least=0)
    steps: int | None = option("stop each stage at this step", least=1)
    threads: int | None = option("CPU threads (default: torch's choice)", least=1)
    compiled: bool = option(
        "compile the transformer's blocks: a minute first, then faster (needs g++)", default=False, flag="--compile"
    )


def train_stages(options: PocketOptions, on_step: Callable[[StepReport], None]) -> Path:
    """Train the stages that are asked for and return the model's folder. Raises: EngineError."""
    if options.stage not in (*STAGES, "all"):
        raise EngineError(f"--stage {options.stage}: there are {', '.join(STAGES)} and all")
    import torch

    from framepack_engine.models.tiny import cache_root
    from lab.training.loop import Run
    from lab.training.pocket import MODEL, train_pocket

    if options.threads is not None:
        torch.set_num_threads(options.threads)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    recipe = recipe_of(options.size or ("256" if device == "cuda" else "128"))
    folder = options.out or cache_root() / f"pocket-{recipe.name}"
    for stage in STAGES if options.stage == "all" else (options.stage,):
        run = Run(
            folder=folder,
            device=device,
            precision=precision_of(stage, device, compiled=options.compiled),
            compiled=options.compiled,
            resume=options.resume,
            minutes=options.minutes,
            steps=options.steps,
            on_step=on_step,
        )
        train_pocket(recipe, stage, run)
    return folder / MODEL


def precision_of(stage: str, device: str, *, compiled: bool) -> Literal["bf16", "no"]:
    """Return a stage's precision: bfloat16 on a GPU; on a CPU for the transformer alone, where that was measured.

    Source: docs/decisions/0061 (a CPU with AMX) and 0086 (a CPU with AVX512-BF16, compiled blocks only).
    """
    if device == "cuda":
        return "bf16"
    import torch

    able = torch.cpu.get_capabilities()
    measured = able.get("amx_bf16") or (compiled and able.get("avx512_bf16"))
    return "bf16" if stage == "dit" and measured else "no"
