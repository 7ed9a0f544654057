"""The training loop of every stage: accelerate's processes and precisions, checkpoints that appear whole, exact resume.

A step's data is a pure function of its number, so a run that was stopped goes on bit for bit (same machine, same number
of processes and threads): weights, optimizer, running mean and step are all there is to keep.
"""

from __future__ import annotations

import math
import shutil
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from framepack_engine.errors import EngineError
from lab.training.curves import draw_curves, write_curves
from lab.training.muon import Muon
from lab.training.recipe import StageNumbers

_KEPT = 2  #: checkpoints of a stage; the newest may have been cut off by a power failure
_GRADIENT_NORM = 1.0
_PREFIX = "step-"


class Stage(Protocol):
    """The model in training. `model` has the weights, and the loss must reach them through its forward."""

    name: str
    model: nn.Module

    def loss(self, model: nn.Module, step: int, rank: int, world: int) -> dict[str, Tensor]:
        """Scalars to draw, the one to go down under `loss`. model: ours as accelerate wrapped it. A pure function."""


@dataclass(slots=True)
class Progress:
    """The finished steps of a stage, and the mean of each scalar over every `every` steps. Part of a checkpoint."""

    every: int = 10
    step: int = 0
    curves: dict[str, list[float]] = field(default_factory=dict)
    open: dict[str, float] = field(default_factory=dict)

    def add(self, scalars: dict[str, float]) -> None:
        """Count one step."""
        self.step += 1
        for name, value in scalars.items():
            self.open[name] = self.open.get(name, 0.0) + value / self.every
        if self.step % self.every == 0:
            for name, value in self.open.items():
                self.curves.setdefault(name, []).append(round(value, 6))
            self.open = {}

    def state_dict(self) -> dict[str, Any]:
        """For accelerate."""
        return {"every": self.every, "step": self.step, "curves": self.curves, "open": self.open}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """For accelerate."""
        self.every, self.step = state["every"], state["step"]
        self.curves, self.open = state["curves"], state["open"]


@dataclass(frozen=True, slots=True)
class StepReport:
    """One finished step, for a progress bar."""

    stage: str
    step: int
    steps: int
    loss: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """Where, how and how long to train. folder: holds a folder for each stage.

    precision: accelerate's mixed precision, "no" or "bf16". compiled: compile the transformer's blocks. minutes: stop
    after this time, with a checkpoint. steps: stop at this step; the rate still falls by the recipe's number of steps.
    """

    folder: Path
    device: str = "cpu"
    precision: str = "no"
    compiled: bool = False
    resume: bool = False
    minutes: float | None = None
    steps: int | None = None
    on_step: Callable[[StepReport], None] | None = None


def save_on_signals() -> None:
    """Treat SIGTERM as Ctrl-C, and Ctrl-C even in the background, where a shell has it ignored: save, then end."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)


def averaged(model: nn.Module, *, share: float) -> AveragedModel:
    """Return a running mean of the weights: at first of all steps, later `share` old and the rest new."""

    def mean(old: Tensor, new: Tensor, count: Tensor | int) -> Tensor:
        weight = max(1 - share, 10 / (float(count) + 10))
        return torch.lerp(old, new.to(old.dtype), weight) if old.is_floating_point() else new

    return AveragedModel(model, avg_fn=mean)


def make_optimizer(model: nn.Module, numbers: StageNumbers) -> torch.optim.Optimizer:
    """Make the optimizer of the trained weights: Muon if the recipe has a rate for matrices, else AdamW."""
    trained = [(name, weight) for name, weight in model.named_parameters() if weight.requires_grad]
    if numbers.matrix_rate is not None:
        return Muon(trained, rate=numbers.rate, matrix_rate=numbers.matrix_rate, momentum=numbers.momentum)
    return torch.optim.AdamW([weight for _, weight in trained], lr=numbers.rate, betas=(0.9, 0.95), weight_decay=0.01)


def share_at(step: int, numbers: StageNumbers) -> float:
    """Return the share of the rates that a step has: a linear rise, then a cosine down to a tenth."""
    risen = min((step + 1) / numbers.warmup, 1.0)
    return risen * (0.1 + 0.45 * (1 + math.cos(math.pi * min(step / numbers.steps, 1.0))))


def train(stage: Stage, numbers: StageNumbers, run: Run) -> nn.Module:
    """Train until the last step or the time is up, and save; returns the running mean of the weights, on the device.

    On an interrupt (Ctrl-C), one process saves before it raises; several may be at different steps, so they keep the
    last checkpoint. With `run.resume` it continues from the newest checkpoint, else the folder must have none.

    Raises: EngineError if the folder is in use, or a loss is not finite.
    """
    AcceleratorState._reset_state()  # noqa: SLF001 - one precision a process else, and the stages of a run have two
    accelerator = Accelerator(cpu=run.device == "cpu", mixed_precision=run.precision)
    folder, steps = run.folder / stage.name, run.steps or numbers.steps
    newest = newest_checkpoint(folder)
    if newest is not None and not run.resume:
        raise EngineError(f"{folder} has a checkpoint of step {_step_of(newest)}: --resume goes on, or remove it")
    mean = averaged(stage.model, share=numbers.average).to(accelerator.device)
    optimizer = make_optimizer(stage.model, numbers)
    tops = [group["lr"] for group in optimizer.param_groups]
    model, optimizer = accelerator.prepare(stage.model, optimizer)
    progress = Progress()
    accelerator.register_for_checkpointing(progress, mean)
    if newest is not None:
        accelerator.load_state(str(newest))
    ends_s = math.inf if run.minutes is None else time.monotonic() + 60 * run.minutes
    saved, whole = progress.step, accelerator.num_processes == 1
    try:
        while progress.step < steps and not _in_any(accelerator, time.monotonic() >= ends_s):
            for group, top in zip(optimizer.param_groups, tops, strict=True):
                group["lr"] = top * share_at(progress.step, numbers)
            scalars = _step(accelerator, stage, model, optimizer, progress.step)
            mean.update_parameters(accelerator.unwrap_model(model))
            progress.add(scalars)
            if run.on_step is not None and accelerator.is_main_process:
                run.on_step(StepReport(stage.name, progress.step, steps, scalars["loss"]))
            if progress.step % numbers.save_every == 0:
                _save(accelerator, folder, progress)
                saved = progress.step
        whole = True
    finally:
        if whole and progress.step > saved:
            _save(accelerator, folder, progress)
    averaged_model: nn.Module = mean.module
    return averaged_model


def _step(accelerator: Any, stage: Stage, model: nn.Module, optimizer: Any, step: int) -> dict[str, float]:
    scalars = stage.loss(model, step, accelerator.process_index, accelerator.num_processes)
    optimizer.zero_grad(set_to_none=True)
    accelerator.backward(scalars["loss"])
    accelerator.clip_grad_norm_(model.parameters(), _GRADIENT_NORM)
    values = {name: float(value.detach()) for name, value in scalars.items()}
    if _in_any(accelerator, not math.isfinite(values["loss"])):
        raise EngineError(
            f"stage {stage.name}, step {step}: the loss is {values['loss']}; the last checkpoint is whole"
        )
    optimizer.step()
    return values


def _in_any(accelerator: Any, here: bool) -> bool:  # noqa: FBT001 - it is the value
    """Tell whether it is so in any process: if one stopped alone, the others would wait for it forever."""
    if accelerator.num_processes == 1:
        return here
    return bool(accelerator.reduce(torch.tensor(float(here), device=accelerator.device), "sum") > 0)


def newest_checkpoint(folder: Path) -> Path | None:
    """Return the folder of the last complete checkpoint."""
    found = [path for path in folder.glob(f"{_PREFIX}*") if path.is_dir()]
    return max(found, key=_step_of, default=None)


def _step_of(path: Path) -> int:
    return int(path.name.removeprefix(_PREFIX))


def _save(accelerator: Any, folder: Path, progress: Progress) -> None:
    """Write a checkpoint aside and rename it; then the curves; then drop the oldest."""
    final, aside = folder / f"{_PREFIX}{progress.step:07}", folder / ".being-written"
    if accelerator.is_main_process:
        shutil.rmtree(aside, ignore_errors=True)
        aside.mkdir(parents=True)
    accelerator.wait_for_everyone()
    accelerator.save_state(str(aside))
    accelerator.wait_for_everyone()
    if accelerator.is_main_process:
        shutil.rmtree(final, ignore_errors=True)
        aside.rename(final)
        write_curves(folder / "losses.json", progress.curves, every=progress.every)
        draw_curves(folder / "losses.png", progress.curves, every=progress.every, title=f"stage {folder.name}")
        for old in sorted(folder.glob(f"{_PREFIX}*"), key=_step_of)[:-_KEPT]:
            shutil.rmtree(old, ignore_errors=True)
    accelerator.wait_for_everyone()
