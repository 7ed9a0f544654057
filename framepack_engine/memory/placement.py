"""A plan carried out: which weights of a model are on the device in each stage, and how they come and go."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from framepack_engine.memory.budget import Budget
from framepack_engine.memory.hoist import Hoist
from framepack_engine.memory.ladder import Plan, Stage, streamed_blocks
from framepack_engine.memory.streaming import Guest, Stream
from framepack_engine.models.compiled import is_compiled
from framepack_engine.models.weights import weights_of

if TYPE_CHECKING:
    from framepack_engine.models.shelf import Models

_ENCODERS = ("text_encoder", "text_encoder_2", "image_encoder")


class Placement:
    """One model on one device, by one plan. Enter `stage` before it; nothing is copied back when weights leave.

    Not for two threads at once. Where the plan keeps all, they come once and stay.
    """

    def __init__(self, models: Models, plan: Plan, *, budget: Budget) -> None:
        """Weights go home to the machine's memory, but where the plan keeps all of them on the device.

        Encoders that lie on another device than the transformer's on purpose must not be in `budget`'s care: they stay.
        """
        self.plan, self.budget, self._models = plan, budget, models
        transformer: Any = models.transformer
        self.hoist = Hoist(transformer) if plan.hoisted or is_compiled(transformer) else None
        self._guests: dict[str, Guest] = {}
        self._streams: dict[str, Stream] = {}
        self._visitors: dict[nn.Module, Guest] = {}
        self._held = 0
        if plan.keeps == "all":
            self._keep_all()
            return
        blocks = [*transformer.transformer_blocks, *transformer.single_transformer_blocks]
        streamed = [blocks[number] for number in streamed_blocks(plan.streamed, len(blocks))] if plan.streamed else []
        if plan.hoisted and self.hoist is not None:
            self._visitors = {module: Guest(weights_of([module]), budget=budget) for module in self.hoist.modules()}
            self.hoist.visits = self._visit
            with self.hoist.at_work():
                self._place("transformer", transformer, streamed, mapped=plan.mapped)
        for part in ("vae", *self._encoders()):
            module = getattr(models, part)
            layers = list(module.layers) if part == "text_encoder" and plan.text == "streamed" else []
            self._place(part, module, layers, mapped=True)

    def _keep_all(self) -> None:
        """What lies elsewhere than the device comes with the first stage, and stays."""
        for part in ("transformer", "vae", *self._encoders()):
            weights = weights_of([getattr(self._models, part)])
            if any(tensor.device.type != self.budget.device.type for tensor in weights):
                self._guests[part] = Guest(weights, budget=self.budget)
            else:
                self._held += sum(tensor.nbytes for tensor in weights)
        self.budget.hold(self._held)

    def _encoders(self) -> list[str]:
        """Those that are ours to move."""
        return [part for part in _ENCODERS if getattr(self._models, part, None) is not None and self._ours(part)]

    def _ours(self, part: str) -> bool:
        return part not in getattr(self._models, "elsewhere", ())

    def _place(self, part: str, module: nn.Module, streamed: list[nn.Module], *, mapped: bool) -> None:
        away = {id(tensor) for tensor in weights_of(streamed)}
        rest = [tensor for tensor in weights_of([module]) if id(tensor) not in away]
        self._guests[part] = Guest(rest, budget=self.budget)
        if streamed:
            self._streams[part] = Stream(streamed, budget=self.budget, mapped=mapped)

    @contextmanager
    def stage(self, stage: Stage) -> Iterator[None]:
        """Inside, `stage` can compute. What the plan lets stay stays afterwards; weights of other stages leave before.

        Raises: torch.OutOfMemoryError.
        """
        wanted = {"section": {"transformer"}, "decode": {"vae"}, "encode": set[str]()}[stage]
        keeps = {"transformer", "vae"} if self.plan.keeps == "transformer" else wanted
        if self.plan.keeps == "all":
            keeps = wanted = set(self._guests)
        for part in self._guests.keys() - keeps:
            self._leave(part)
        for part in self._guests.keys() & wanted:
            self._bring(part)
        with self.budget.computing():
            yield

    @contextmanager
    def visiting(self, part: str) -> Iterator[torch.device]:
        """Inside, `part` (an encoder, or the VAE) is on the device that is yielded: its own, where it never moves."""
        stays = part == "vae" and self.plan.keeps == "transformer"
        self._bring(part)
        try:
            yield self.device_of(part)
        finally:
            if not stays and self.plan.keeps != "all":
                self._leave(part)

    def device_of(self, part: str) -> torch.device:
        """Where `part` computes."""
        if part in self._guests:
            return self.budget.device
        device: torch.device = getattr(self._models, part).device
        return device

    def close(self) -> None:
        """All weights are in the machine's memory and the modules as they were; they may be placed anew."""
        for part in list(self._guests):
            self._leave(part)
        for stream in self._streams.values():
            stream.close()
        if self.hoist is not None:
            self.hoist.forget()
        self.budget.drop(self._held)
        self._held = 0
        self._guests, self._streams = {}, {}

    def _bring(self, part: str) -> None:
        for place in (self._guests.get(part), self._streams.get(part)):
            if place is not None:
                place.bring()

    def _leave(self, part: str) -> None:
        for place in (self._guests.get(part), self._streams.get(part)):
            if place is not None:
                place.leave()

    @contextmanager
    def _visit(self, *modules: nn.Module) -> Iterator[None]:
        """Hoisted modules, one at a time."""
        try:
            for module in modules:
                self._visitors[module].bring()
            yield
        finally:
            for module in modules:
                self._visitors[module].leave()
