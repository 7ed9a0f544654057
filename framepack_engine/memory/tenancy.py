"""How a renderer's models hold their device: by a plan of the book, and by a smaller one when memory runs out."""

from __future__ import annotations

import gc
import logging
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, cast

import torch

from framepack_engine.errors import DeviceTooSmall, OutOfMemory
from framepack_engine.memory.budget import Budget
from framepack_engine.memory.ladder import GIB, Plan, Stage, Workload
from framepack_engine.memory.placement import Placement
from framepack_engine.memory.plan_book import PlanBook
from framepack_engine.models.compiled import check_compile, is_compiled

if TYPE_CHECKING:
    from framepack_engine.models.shelf import Models
    from framepack_engine.planning.spec import RenderSpec
    from framepack_engine.sampling.transformer import Transformer

T = TypeVar("T")
log = logging.getLogger(__name__)
#: torch's convolution tries cuDNN's engines one by one; where each of them ran out of memory it says only this
_NO_ENGINE = "unable to find an engine to execute this computation"


class SamplingModels(Protocol):
    """The two parts that the section loop and the decode need; `Models` has them, and the encoders besides."""

    @property
    def transformer(self) -> Any:
        """A HunyuanVideoFramepackTransformer3DModel."""

    @property
    def vae(self) -> Any:
        """An AutoencoderKLHunyuanVideo."""


class Tenancy:
    """One model's stay on one device. Every plan it takes is equal in bits to the one before."""

    def __init__(self, models: SamplingModels, transformer: Transformer, *, book: PlanBook) -> None:
        """Nothing is moved before the first stage. Raises: CompileUnavailable."""
        if is_compiled(transformer.model):
            check_compile(transformer.device, counted=book.counted)
        self._models, self._transformer, self.book = models, transformer, book
        self._preserve_bytes: int | None = None
        self._placement: Placement | None = None
        self.budget = Budget(transformer.device)
        self.stepped_down = 0  #: times that memory ran out and a smaller plan was taken

    @property
    def plan(self) -> Plan | None:
        """That holds now; None before the first stage."""
        return None if self._placement is None else self._placement.plan

    def leave_gb(self, preserve_gb: float | None) -> None:
        """See `Renderer.leave_gb`."""
        self._preserve_bytes = None if preserve_gb is None else int(preserve_gb * GIB)

    def tile_px(self, work: Workload) -> int:
        """The size of tiles that a decode can have here. Raises: DeviceTooSmall."""
        return self.book.tile_px(work, preserve_bytes=self._preserve_bytes)

    def fitted(self, stage: Stage, work: Workload, do: Callable[[SamplingModels], T]) -> T:
        """Do a stage by the best plan; where memory runs out, again by the next smaller one, at once.

        do: is given the models; it is called again from where it left off, which is its own business.
        Raises: OutOfMemory where no smaller plan is left; whatever `do` raises.
        """
        while True:
            placement = self._placed(work)
            try:
                with placement.stage(stage):
                    return do(self._visible(placement))
            except RuntimeError as err:
                if not isinstance(err, torch.OutOfMemoryError) and _NO_ENGINE not in str(err):
                    raise
                short = str(err).partition("\n")[0]
            # not inside of `except`: its traceback holds every tensor of the stage
            self._step_down(stage, work, placement.plan, short)

    def close(self) -> None:
        """The weights go home."""
        if self._placement is not None:
            self._placement.close()
        self._placement, self._transformer.hoist = None, None
        _free(self.budget.device)

    def _placed(self, work: Workload) -> Placement:
        plan = self.book.plan(work, preserve_bytes=self._preserve_bytes)
        room = self.book.room(self._preserve_bytes)
        if self.book.counted:
            self.budget.cap_bytes = room
        held = self._placement
        if held is None or _arrangement(held.plan) != _arrangement(plan):
            self.close()
            held = self._placement = Placement(cast("Models", self._models), plan, budget=self.budget)
            self._transformer.hoist = held.hoist
        held.plan = plan
        return held

    def _visible(self, placement: Placement) -> SamplingModels:
        """The models, by way of their placement; those of a test may be parts only, which never move by themselves."""
        if not hasattr(self._models, "places"):
            return self._models
        return replace(cast("Models", self._models), places=placement)

    def _step_down(self, stage: Stage, work: Workload, plan: Plan, short: str) -> None:
        self.close()
        try:
            smaller = self.book.plan(work, preserve_bytes=self._preserve_bytes, below=plan.rung)
        except DeviceTooSmall as err:
            raise _hopeless(stage, work, plan, short) from err
        if smaller.of(stage) >= plan.of(stage):  # a rung that is no better is not worth the one that we have
            raise _hopeless(stage, work, plan, short)
        self.book.too_large(work, plan, preserve_bytes=self._preserve_bytes)
        self.stepped_down += 1
        log.warning("step_down: %s: %s", stage, short, extra={"stage": stage, "from": plan.words, "to": smaller.words})


def workload_of(spec: RenderSpec) -> Workload:
    """What memory depends on in a video."""
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


def _arrangement(plan: Plan) -> tuple[object, ...]:
    """What of a plan decides where weights lie: another size of picture alone moves nothing."""
    return plan.keeps, plan.hoisted, plan.streamed, plan.mapped, plan.text


def _hopeless(stage: Stage, work: Workload, plan: Plan, short: str) -> OutOfMemory:
    return OutOfMemory(
        f"{stage} of {work.width}x{work.height} px does not fit the device, with the smallest plan that gives the same "
        f"bits ({plan.words}): {short}. A smaller size, decode=tiled or a smaller preserve_gb takes less",
        stage=stage,
        plan=plan.words,
    )


def _free(device: torch.device) -> None:
    """Give memory back that nothing uses: to the device, and before that to torch."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()
