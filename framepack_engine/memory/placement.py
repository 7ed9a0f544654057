"""A memory plan at work: which weights of a model are on the device in each stage, and how they come and go."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from framepack_engine.memory.budget import Budget
from framepack_engine.memory.hoist import Hoist
from framepack_engine.memory.ladder import MemoryPlan, Stage, streamed_blocks
from framepack_engine.memory.streaming import Guest, Stream
from framepack_engine.models.compiled import is_compiled
from framepack_engine.models.weights import blocks_of, weights_of


class Placement:
    """One model on one device, by one plan. Enter a stage before computing it. Weights are never copied back.

    Not for two threads at once. If the plan keeps all weights on the device, they come once and stay.
    """

    def __init__(self, parts: Mapping[str, Any], plan: MemoryPlan, *, budget: Budget) -> None:
        """Send the weights to the machine's memory, unless the plan keeps all of them on the device.

        parts: "transformer", "vae" and the encoders that share their device, by name.
        """
        self.plan, self.budget, self._parts = plan, budget, parts
        transformer = parts["transformer"]
        self.hoist = Hoist(transformer) if plan.hoisted or is_compiled(transformer) else None
        self._guests: dict[str, Guest] = {}
        self._streams: dict[str, Stream] = {}
        self._visitors: dict[nn.Module, Guest] = {}
        self._held = 0
        try:
            self._place_all()
        except BaseException:  # a machine out of memory, say: no memory stays locked
            self.close()
            raise

    def _place_all(self) -> None:
        plan, transformer = self.plan, self._parts["transformer"]
        if plan.keeps == "all":
            self._keep_all()
            return
        blocks = blocks_of(transformer)
        streamed = [blocks[number] for number in streamed_blocks(plan.streamed, len(blocks))] if plan.streamed else []
        if plan.hoisted and self.hoist is not None:
            self._visitors = {
                module: Guest(weights_of([module]), budget=self.budget) for module in self.hoist.modules()
            }
            self.hoist.visits = self._visit
            with self.hoist.at_work():
                self._place("transformer", transformer, streamed, mapped=plan.mapped)
        for part, module in self._parts.items():
            if part == "transformer":
                continue
            layers = list(module.layers) if part == "text_encoder" and plan.text == "streamed" else []
            self._place(part, module, layers, mapped=True)

    def _keep_all(self) -> None:
        """Let parts that are not on the device come with the first stage, and stay."""
        held = 0
        for part, module in self._parts.items():
            weights = weights_of([module])
            if any(tensor.device.type != self.budget.device.type for tensor in weights):
                self._guests[part] = Guest(weights, budget=self.budget)
            else:
                held += sum(tensor.nbytes for tensor in weights)
        self.budget.hold(held)
        self._held = held

    def _place(self, part: str, module: nn.Module, streamed: list[nn.Module], *, mapped: bool) -> None:
        away = {id(tensor) for tensor in weights_of(streamed)}
        rest = [tensor for tensor in weights_of([module]) if id(tensor) not in away]
        self._guests[part] = Guest(rest, budget=self.budget)
        if streamed:
            self._streams[part] = Stream(streamed, budget=self.budget, mapped=mapped)

    @contextmanager
    def stage(self, stage: Stage) -> Iterator[None]:
        """Bring the weights that `stage` needs; weights that the plan does not keep leave when another stage begins.

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
        """Keep `part` (an encoder or the VAE) on the device; yields the device."""
        stays = part == "vae" and self.plan.keeps == "transformer"
        self._bring(part)
        try:
            yield self.device
        finally:
            if not stays and self.plan.keeps != "all":
                self._leave(part)

    @property
    def device(self) -> torch.device:
        """Where every part computes."""
        return self.budget.device

    def close(self) -> None:
        """Send all weights to the machine's memory and restore the modules; another placement may take them."""
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
    def _visit(self, module: nn.Module) -> Iterator[None]:
        """Keep a hoisted module on the device."""
        try:
            self._visitors[module].bring()
            yield
        finally:
            self._visitors[module].leave()
