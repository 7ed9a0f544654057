"""Step caches, and TeaCache: skip the block stack if the input has hardly changed since the last step.

State belongs to a section and a guidance branch, never to the model. A call of the transformer takes the state before
it and returns the state after it, a value that can be stored (`StepCache.call`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, Protocol

import torch
from diffusers.hooks import HookRegistry, ModelHook
from torch import Tensor, nn
from typing_extensions import override

from framepack_engine.models.weights import blocks_of

# The authors' fit of output change to input change for HunyuanVideo, highest power first.
_CHANGE = (733.226126, -401.131952, 67.5869174, -3.149878, 0.0961237896)
_HOOK = "framepack_teacache"


@dataclass(frozen=True, slots=True, eq=False)
class CacheState:
    """The state of a step cache in one guidance branch, between two steps of a section.

    cache: its name, as in the specification. facts: plain JSON. tensors: on the model's device until they are stored.
    """

    cache: str
    facts: Mapping[str, Any]
    tensors: Mapping[str, Tensor]

    def to(self, device: torch.device) -> CacheState:
        """The same state on `device`."""
        return replace(self, tensors={name: tensor.to(device) for name, tensor in self.tensors.items()})


class CachedAnswer(NamedTuple):
    """The result of a call of the transformer through a cache. computed: all blocks ran."""

    output: Tensor
    state: CacheState
    computed: bool


class StepCache(Protocol):
    """A cache that acts on one model for one section."""

    def call(self, run: Callable[[], Tensor], state: CacheState | None, *, step: int) -> CachedAnswer:
        """Call the transformer with `run`; the cache may skip blocks.

        state: of the step before in the same guidance branch, left unchanged; None at the section's first step. Other
        calls before this one have no effect.
        """

    def close(self) -> None:
        """Remove the hooks; the model is as before."""


def expected_change(distance: float) -> float:
    """Return the relative change of the output to expect after a relative change `distance` of the input.

    Source: arXiv:2411.19108; coefficients as in lllyasviel/FramePack, evaluated in float64.
    """
    value = 0.0
    for coefficient in _CHANGE:
        value = value * distance + coefficient
    return value


@dataclass(frozen=True, slots=True)
class TeaCacheState:
    """TeaCache's state in one guidance branch between two steps; a value, replaced at each step.

    total: expected change since the blocks last ran. modulated: the last step's norm1-modulated input (1, tokens, dim).
    residual: output minus input of the block stack when it last ran (1, tokens, dim).
    """

    total: float = 0.0
    modulated: Tensor | None = None
    residual: Tensor | None = None

    def packed(self) -> CacheState:
        """Return it in the form of every cache's state."""
        tensors = {"modulated": self.modulated, "residual": self.residual}
        present = {name: tensor for name, tensor in tensors.items() if tensor is not None}
        return CacheState("teacache", {"total": self.total}, present)

    @classmethod
    def unpacked(cls, state: CacheState | None) -> TeaCacheState:
        """Undo `packed`; None is the state before the first step."""
        if state is None:
            return cls()
        return cls(float(state.facts["total"]), state.tensors.get("modulated"), state.tensors.get("residual"))


def decide(state: TeaCacheState, modulated: Tensor, *, threshold: float, forced: bool) -> tuple[bool, TeaCacheState]:
    """Return whether the blocks must run, and the next state.

    forced: in the first and last step of a section the blocks always run. They also run if the distance is NaN.

    Source: arXiv:2411.19108 §3.3; the sum is compared with `threshold`, so a higher one skips more and is worse.
    """
    total = 0.0
    if not forced and state.modulated is not None and state.residual is not None:
        change = (modulated - state.modulated).abs().mean() / state.modulated.abs().mean()
        total = state.total + expected_change(float(change))
        if total < threshold:
            return False, replace(state, total=total, modulated=modulated)
    return True, replace(state, total=0.0, modulated=modulated)


@dataclass(slots=True)
class Call:
    """One call of the transformer, as input and output of the hooks."""

    state: TeaCacheState
    threshold: float
    forced: bool
    computed: bool = True
    entered: Tensor | None = None  #: the input of the block stack, until its end


class _BlockHook(ModelHook):
    """Passes hidden states through in a skipped call; the first block decides, the last one ends the call."""

    def __init__(self, cache: TeaCache, *, first: bool, last: bool) -> None:
        super().__init__()
        self.cache, self.first, self.last = cache, first, last

    def new_forward(self, module: Any, *args: Any, **kwargs: Any) -> Any:
        """Run the block, or skip it."""
        call = self.cache.current
        if call is None:
            return self.fn_ref.original_forward(*args, **kwargs)
        hidden, encoder_hidden, temb = args[:3]
        if self.first:
            modulated = module.norm1(hidden, emb=temb)[0]
            call.computed, call.state = decide(call.state, modulated, threshold=call.threshold, forced=call.forced)
            call.entered = hidden
        output = self.fn_ref.original_forward(*args, **kwargs) if call.computed else (hidden, encoder_hidden)
        if self.last:
            if call.computed:
                call.state = replace(call.state, residual=output[0] - call.entered)
            else:
                output = (hidden + call.state.residual, encoder_hidden)
            call.entered = None
        return output


class TeaCache(StepCache):
    """TeaCache as a StepCache. Its hooks are on the blocks of the model until `close`.

    Not for two threads at once.
    """

    def __init__(self, model: Any, *, threshold: float, steps: int) -> None:
        self._model, self._threshold, self._last = model, threshold, steps - 1
        self.current: Call | None = None  #: in progress
        self._blocks = blocks_of(model)
        for i, block in enumerate(self._blocks):
            hook = _BlockHook(self, first=i == 0, last=i == len(self._blocks) - 1)
            HookRegistry.check_if_exists_or_initialize(block).register_hook(hook, _HOOK)

    @override
    def close(self) -> None:
        for block in self._blocks:
            HookRegistry.check_if_exists_or_initialize(block).remove_hook(_HOOK, recurse=False)
        forget_hooks(self._model)

    @override
    def call(self, run: Callable[[], Tensor], state: CacheState | None, *, step: int) -> CachedAnswer:
        before, forced = TeaCacheState.unpacked(state), step in {0, self._last}
        with self.using(before, forced=forced) as call:
            output = run()
        return CachedAnswer(output, call.state.packed(), call.computed)

    @contextmanager
    def using(self, state: TeaCacheState, *, forced: bool) -> Iterator[Call]:
        """Let the next call of the transformer use `state`; the yielded Call then holds the outcome."""
        call = self.current = Call(state, self._threshold, forced)
        try:
            yield call
        finally:
            self.current = None


def forget_hooks(model: nn.Module) -> None:
    """Remove what diffusers leaves after its hooks: empty registries, and a `forward` on the module itself.

    With these, a copy of the module would call the module that it was copied from.
    """
    for module in model.modules():
        registry = module.__dict__.get("_diffusers_hook")
        if registry is None or registry.hooks:
            continue
        del module.__dict__["_diffusers_hook"]
        forward = module.__dict__.get("forward")
        if getattr(forward, "__func__", None) is type(module).forward:
            del module.__dict__["forward"]
