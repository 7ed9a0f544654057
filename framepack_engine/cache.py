"""TeaCache: leave out the block stack where the model's input has hardly changed since the last step.

State belongs to a run and a guidance branch, never to the model: whoever calls the transformer says which state counts
for that call (`TeaCacheHooks.using`). Without one the hooks change nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from diffusers.hooks import HookRegistry, ModelHook
from torch import Tensor

# The authors' fit of output change against input change for HunyuanVideo, highest power first.
_CHANGE = (733.226126, -401.131952, 67.5869174, -3.149878, 0.0961237896)
_HOOK = "framepack_teacache"


def expected_change(distance: float) -> float:
    """Relative change of the output that a relative change `distance` of the input stands for.

    Source: arXiv:2411.19108; coefficients as in lllyasviel/FramePack, evaluated in float64.
    """
    value = 0.0
    for coefficient in _CHANGE:
        value = value * distance + coefficient
    return value


@dataclass(frozen=True, slots=True)
class TeaCacheState:
    """One guidance branch between two steps of a section; a value, replaced at each step.

    total: expected change since the blocks last ran. modulated: the last step's norm1-modulated input (1, tokens, dim).
    residual: output minus input of the block stack when it last ran (1, tokens, dim).
    """

    total: float = 0.0
    modulated: Tensor | None = None
    residual: Tensor | None = None


def decide(state: TeaCacheState, modulated: Tensor, *, threshold: float, forced: bool) -> tuple[bool, TeaCacheState]:
    """Whether the blocks must run, and the state to go on with.

    forced: the section's first and last step always run. A distance that is no number makes the blocks run.

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
    """One call of the transformer: what the hooks are told, and what they answer."""

    state: TeaCacheState
    threshold: float
    forced: bool
    computed: bool = True
    entered: Tensor | None = None  #: input of the block stack, kept until its end


@dataclass(slots=True)
class _Slot:
    """Shared by the hooks of one model: the call that is under way."""

    call: Call | None = field(default=None)


class _BlockHook(ModelHook):
    """Passes hidden states through while a call is skipped; the first block decides, the last one ends it."""

    def __init__(self, slot: _Slot, *, first: bool, last: bool) -> None:
        super().__init__()
        self.slot, self.first, self.last = slot, first, last

    def new_forward(self, module: Any, *args: Any, **kwargs: Any) -> Any:
        """Run the block, or not."""
        call = self.slot.call
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


class TeaCacheHooks:
    """diffusers hooks on every block of a HunyuanVideoFramepackTransformer3DModel; made once a model.

    Not for two threads at once: one call of one model is under way at a time.
    """

    def __init__(self, transformer: Any) -> None:
        """Register the hooks, in place of those of an earlier `TeaCacheHooks` on the same model."""
        self._slot = _Slot()
        blocks = [*transformer.transformer_blocks, *transformer.single_transformer_blocks]
        for i, block in enumerate(blocks):
            registry = HookRegistry.check_if_exists_or_initialize(block)
            if registry.get_hook(_HOOK) is not None:
                registry.remove_hook(_HOOK, recurse=False)
            registry.register_hook(_BlockHook(self._slot, first=i == 0, last=i == len(blocks) - 1), _HOOK)

    @contextmanager
    def using(self, state: TeaCacheState, *, threshold: float, forced: bool) -> Iterator[Call]:
        """Let the next call of the transformer use `state`; the yielded Call then holds what came of it."""
        call = self._slot.call = Call(state, threshold, forced)
        try:
            yield call
        finally:
            self._slot.call = None
