"""How a renderer's models use their device: by a memory plan, and by a smaller one when memory runs out."""

from __future__ import annotations

import gc
import logging
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import torch

from framepack_engine.errors import DeviceTooSmall, OutOfMemory
from framepack_engine.memory.budget import Budget
from framepack_engine.memory.ladder import GIB, MemoryPlan, Stage, Workload
from framepack_engine.memory.placement import Placement
from framepack_engine.memory.plan_book import PlanBook
from framepack_engine.models.compiled import check_compile, is_compiled
from framepack_engine.planning.spec import RenderSpec

T = TypeVar("T")
log = logging.getLogger(__name__)
#: torch's convolution tries cuDNN's engines in turn; if each of them runs out of memory, torch says only this
_NO_ENGINE = "unable to find an engine to execute this computation"


class Tenancy:
    """One model's stay on one device. All its plans give the same bits."""

    def __init__(self, parts: Mapping[str, Any], *, device: torch.device, book: PlanBook) -> None:
        """Move nothing before the first stage. Raises: KernelsUnavailable.

        parts: see `Placement`.
        """
        if is_compiled(parts["transformer"]):
            check_compile(device, counted=book.counted)
        self._parts, self.book = parts, book
        self._preserve_bytes: int | None = None
        self._placement: Placement | None = None
        self.budget = Budget(device)
        self.stepped_down = 0  #: how often memory ran out and a smaller plan was taken

    @property
    def plan(self) -> MemoryPlan | None:
        """The plan in force; None before the first stage."""
        return None if self._placement is None else self._placement.plan

    def leave_gb(self, preserve_gb: float | None) -> None:
        """Leave so many GiB of the device to others from now on; None: as many as the plan book says."""
        self._preserve_bytes = None if preserve_gb is None else int(preserve_gb * GIB)

    def tile_px(self, work: Workload) -> int:
        """Choose the size of a decode's tiles. Raises: DeviceTooSmall."""
        return self.book.tile_px(work, preserve_bytes=self._preserve_bytes)

    def fitted(self, stage: Stage, work: Workload, do: Callable[[Placement], T]) -> T:
        """Do a stage by the best plan; when memory runs out, do it again by the next smaller plan.

        do: may be called several times, and keeps what it needs to go on where it stopped.
        Raises: OutOfMemory if no smaller plan is left; what `do` raises.
        """
        while True:
            placement = self._placed(work)
            try:
                with placement.stage(stage):
                    return do(placement)
            except RuntimeError as err:
                if not isinstance(err, torch.OutOfMemoryError) and _NO_ENGINE not in str(err):
                    raise
                short = str(err).partition("\n")[0]
            # outside the `except`: its traceback holds every tensor of the stage
            self._step_down(stage, work, placement.plan, short)

    def close(self) -> None:
        """Send the weights home."""
        if self._placement is not None:
            self._placement.close()
        self._placement = None
        _free(self.budget.device)

    def _placed(self, work: Workload) -> Placement:
        plan = self.book.plan(work, preserve_bytes=self._preserve_bytes)
        room = self.book.room(self._preserve_bytes)
        if self.book.counted:
            self.budget.cap_bytes = room
        held = self._placement
        if held is None or _arrangement(held.plan) != _arrangement(plan):
            self.close()
            held = self._placement = Placement(self._parts, plan, budget=self.budget)
        held.plan = plan
        return held

    def _step_down(self, stage: Stage, work: Workload, plan: MemoryPlan, short: str) -> None:
        self.close()
        try:
            smaller = self.book.plan(work, preserve_bytes=self._preserve_bytes, below=plan.rung)
        except DeviceTooSmall as err:
            raise _hopeless(stage, work, plan, short) from err
        if smaller.of(stage) >= plan.of(stage):  # the smaller plan takes no less in this stage
            raise _hopeless(stage, work, plan, short)
        self.book.too_large(work, plan, preserve_bytes=self._preserve_bytes)
        self.stepped_down += 1
        log.warning("step_down: %s: %s", stage, short, extra={"stage": stage, "from": plan.words, "to": smaller.words})


def workload_of(spec: RenderSpec) -> Workload:
    """Return what the memory of a video depends on."""
    return Workload(
        height=spec.height,
        width=spec.width,
        window=spec.latent_window_size,
        branches=1 + (spec.true_cfg_scale != 1),
        cached=spec.cache != "none",
        decode=spec.decode,
        tile_px=spec.decode_tile_px,
        continues=spec.continues,
    )


def _arrangement(plan: MemoryPlan) -> tuple[object, ...]:
    """Return what decides where weights lie; another picture size alone moves nothing."""
    return plan.keeps, plan.hoisted, plan.streamed, plan.mapped, plan.text


def _hopeless(stage: Stage, work: Workload, plan: MemoryPlan, short: str) -> OutOfMemory:
    return OutOfMemory(
        f"{stage} of {work.width}x{work.height} px does not fit the device, with the smallest plan that gives the same "
        f"bits ({plan.words}): {short}. A smaller size, decode=tiled or a smaller preserve_gb takes less",
        stage=stage,
        plan=plan.words,
    )


def _free(device: torch.device) -> None:
    """Return unused memory to the device."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()
