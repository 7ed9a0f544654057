"""FirstBlockCache, MagCache and TaylorSeer: diffusers' own hooks, with their state taken out after each call.

diffusers 0.42.1 keeps this state in the model: there it leaks into the next section, video or guidance branch, and
cannot be saved. Here a call begins with the state that it is given, and nothing else. docs/decisions/0008 has
measurements and the cost of each cache.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from diffusers.hooks import FirstBlockCacheConfig, MagCacheConfig, TaylorSeerCacheConfig
from diffusers.hooks.hooks import StateManager
from torch import Tensor
from typing_extensions import override

from framepack_engine.models.weights import blocks_of
from framepack_engine.sampling.caches import CachedAnswer, CacheState, StepCache, forget_hooks

_CONTEXT = "framepack"  # diffusers' caches refuse to run without the name of one
_MAX_SKIPS, _ALWAYS_RUN = 3, 0.2  # MagCache: skips in a row at most, and the share of first steps without any


@dataclass(frozen=True, slots=True)
class _Rules:
    """The differences between diffusers' caches.

    transient: attributes of the state that matter within a call only. ground: the attribute without which all blocks
    run.
    """

    config: Callable[[float, int, tuple[float, ...]], Any]
    computed: Callable[[Any], bool]
    transient: frozenset[str] = frozenset()
    ground: str | None = None


def _taylorseer(threshold: float, steps: int, _: tuple[float, ...]) -> TaylorSeerCacheConfig:
    # The lite variant predicts the model's output and skips all blocks. The full one predicts each attention's output:
    # 13.5 GB of factors for a branch at 640x608 px on the 13B model, and the MLPs still run in each step.
    return TaylorSeerCacheConfig(
        cache_interval=int(threshold),
        disable_cache_after_step=steps - 1,
        taylor_factors_dtype=torch.float32,
        use_lite_mode=True,
    )


_CACHES: Mapping[str, _Rules] = {
    "first_block": _Rules(
        config=lambda threshold, _steps, _ratios: FirstBlockCacheConfig(threshold=threshold),
        computed=lambda state: bool(state.should_compute),
        transient=frozenset({"head_block_output"}),
        ground="head_block_residual",
    ),
    "magcache": _Rules(
        config=lambda threshold, steps, ratios: MagCacheConfig(
            threshold=threshold,
            max_skip_steps=_MAX_SKIPS,
            retention_ratio=_ALWAYS_RUN,
            num_inference_steps=steps,
            mag_ratios=torch.tensor(ratios),
        ),
        computed=lambda state: bool(state.should_compute),
        transient=frozenset({"head_block_input"}),
        ground="previous_residual",
    ),
    "taylorseer": _Rules(config=_taylorseer, computed=lambda state: bool(state.last_update_step == state.current_step)),
}


class DiffusersCache(StepCache):
    """One of diffusers' caches as a StepCache. Its hooks are on the model until `close`."""

    def __init__(self, model: Any, cache: str, *, threshold: float, steps: int, ratios: tuple[float, ...] = ()) -> None:
        """ratios: MagCache's. No other cache of diffusers may be enabled on the model."""
        self._model, self._cache, self._rules, self._last = model, cache, _CACHES[cache], steps - 1
        model.enable_cache(self._rules.config(threshold, steps, ratios))
        self._managers = _managers(model)

    @override
    def close(self) -> None:
        self._model.disable_cache()
        forget_hooks(self._model)

    @override
    def call(self, run: Callable[[], Tensor], state: CacheState | None, *, step: int) -> CachedAnswer:
        with self._model.cache_context(_CONTEXT):
            for name, manager in self._managers.items():
                manager._state_cache.clear()  # noqa: SLF001  # it has no public way; the pinned version is tested
                known = {} if state is None else _Unpacker(state.tensors, self._model.device).attributes(state, name)
                if step == self._last and self._rules.ground:
                    known[self._rules.ground] = None  # the last step's answer is the section: always computed
                fresh = manager.get_state()
                for attribute, value in known.items():
                    setattr(fresh, attribute, value)
            output = run()
            states = {name: manager.get_state() for name, manager in self._managers.items()}
        computed = all(self._rules.computed(found) for found in states.values())
        answer = CachedAnswer(output, self._packed(states), computed)
        for manager in self._managers.values():
            manager.reset()  # last: it empties the objects that were packed
        return answer

    def _packed(self, states: Mapping[str, Any]) -> CacheState:
        packer = _Packer()
        facts = {
            name: {key: packer.packed(value) for key, value in vars(found).items() if key not in self._rules.transient}
            for name, found in states.items()
        }
        return CacheState(self._cache, facts, packer.tensors)


@contextmanager
def measured_ratios(model: Any) -> Iterator[list[float]]:
    """Collect MagCache's ratio of each call of `model`: 1, then the growth of its residual, averaged over tokens.

    Source: arXiv:2506.09045 §3.2; the residual is output minus input of the whole block stack.
    """
    ratios: list[float] = []
    entered: list[Tensor] = []
    norms: list[Tensor] = []

    def enter(_module: Any, args: tuple[Any, ...]) -> None:
        entered[:] = [args[0]]

    def leave(_module: Any, _args: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
        norms.append(torch.linalg.vector_norm((output[0] - entered.pop()).float(), dim=-1))
        ratios.append(float((norms[-1] / norms.pop(0)).mean()) if len(norms) > 1 else 1.0)

    hooks = [
        model.transformer_blocks[0].register_forward_pre_hook(enter),
        blocks_of(model)[-1].register_forward_hook(leave),
    ]
    try:
        yield ratios
    finally:
        for hook in hooks:
            hook.remove()


def _managers(model: Any) -> dict[str, StateManager]:
    """Return the state managers in `model`, each once, by the name of the first module that uses it."""
    found: dict[int, tuple[str, StateManager]] = {}
    for name, module in model.named_modules():
        hooks = getattr(module, "_diffusers_hook", None)
        for hook in hooks.hooks.values() if hooks is not None else ():
            manager = getattr(hook, "state_manager", None)
            if manager is not None:
                found.setdefault(id(manager), (name, manager))
    return dict(found.values())


@dataclass(slots=True)
class _Packer:
    """Splits Python values into JSON and named tensors."""

    tensors: dict[str, Tensor] = field(default_factory=dict)

    def packed(self, value: Any) -> Any:
        """Return JSON from which `_Unpacker` restores the value. Raises: TypeError for an unknown type."""
        if value is None or isinstance(value, bool | int | float | str):
            return value
        if isinstance(value, Tensor):
            if value.ndim == 0:
                return float(value)  # counters: exact as floats, and then on no device
            name = f"t{len(self.tensors)}"
            self.tensors[name] = value
            return {"tensor": name}
        if isinstance(value, torch.dtype):
            return {"dtype": str(value).removeprefix("torch.")}
        if isinstance(value, torch.device):
            return {"device": None}
        if isinstance(value, dict):
            return {"dict": [[self.packed(key), self.packed(inner)] for key, inner in value.items()]}
        if isinstance(value, tuple | list):
            return {type(value).__name__ if type(value) is list else "tuple": [self.packed(inner) for inner in value]}
        raise TypeError(f"a cache's state holds a {type(value).__name__}: it cannot be stored")


@dataclass(frozen=True, slots=True)
class _Unpacker:
    """Undoes `_Packer`; puts tensors on `device`."""

    tensors: Mapping[str, Tensor]
    device: torch.device

    def attributes(self, state: CacheState, name: str) -> dict[str, Any]:
        """Return the attributes of the state that was packed as `name`."""
        return {key: self.unpacked(value) for key, value in state.facts[name].items()}

    def unpacked(self, value: Any) -> Any:
        """Return the value that was packed."""
        if not isinstance(value, dict):
            return value
        ((kind, inner),) = value.items()
        if kind == "tensor":
            return self.tensors[inner].to(self.device)
        if kind == "dtype":
            return getattr(torch, inner)
        if kind == "device":
            return self.device
        if kind == "dict":
            return {self.unpacked(key): self.unpacked(item) for key, item in inner}
        parts = [self.unpacked(item) for item in inner]
        return parts if kind == "list" else tuple(parts)
