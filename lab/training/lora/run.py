"""`train lora`: its options, and the training. Imports neither torch nor typer until it runs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from lab.options import option

if TYPE_CHECKING:
    from lab.training.loop import StepReport


@dataclass(frozen=True, slots=True, kw_only=True)
class LoraOptions:
    """The command's flags."""

    model: str = option("a model's name, or its folder or file (default: framepack-i2v)", default="framepack-i2v")
    kind: Literal["i2v", "f1"] | None = option("i2v or f1, if the model's path does not say")
    out: Path = option("the LoRA's file (default: lora.safetensors)", default=Path("lora.safetensors"))
    rank: int = option("rank of the LoRA's matrices (default: 16)", default=16, least=1)
    alpha: float | None = option("the strength is alpha / rank (default: the rank)")
    rate: float = option("learning rate (default: 0.0001)", default=1e-4, least=0)
    batch: int = option("clips a step (default: 1)", default=1, least=1)
    window: int = option(
        "latent frames of a section, as in later requests (default: 9)", default=9, least=1, flag="--latent-window-size"
    )
    sections: int = option("cut longer videos into clips of this many sections (default: 4)", default=4, least=1)
    resolution: int | None = option("of the size buckets, px (default: the model's own)")
    work: Path | None = option("folder for latents and checkpoints (default: OUT.work)")
    seed: int = option("seed of all random numbers (default: 0)", default=0)
    resume: bool = option("continue from the last checkpoint", default=False)
    minutes: float | None = option("stop after this time", least=0)
    steps: int = option("number of steps (default: 1000)", default=1000, least=1)


def train_folder(
    folder: Path, options: LoraOptions, on_step: Callable[[StepReport], None], *, say: Callable[[str], None]
) -> Path:
    """Train a LoRA on the videos of `folder` and return its file. Raises: EngineError."""
    import torch

    from lab.training.loop import Run
    from lab.training.lora.stage import LoraNumbers, train_lora
    from lab.training.recipe import StageNumbers

    steps = options.steps
    numbers = LoraNumbers(
        rank=options.rank,
        alpha=options.rank if options.alpha is None else options.alpha,
        batch=options.batch,
        window=options.window,
        max_sections=options.sections,
        seed=options.seed,
        stage=StageNumbers(steps=steps, rate=options.rate, warmup=min(50, steps), save_every=250, average=0.95),
    )
    device = "cuda" if torch.cuda.is_available() else "cpu"
    run = Run(
        folder=options.work or options.out.with_suffix(".work"),
        device=device,
        precision="bf16" if device == "cuda" else "no",
        resume=options.resume,
        minutes=options.minutes,
        on_step=on_step,
    )
    train_lora(
        folder,
        options.out,
        numbers,
        run,
        model=options.model,
        kind=options.kind,
        resolution=options.resolution,
        say=say,
    )
    return options.out
