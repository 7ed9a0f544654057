"""FirstBlockCache, MagCache and TaylorSeer: diffusers' own hooks, their state taken out after each call as a value.

Left alone, diffusers 0.42.1 keeps that state in the model: it leaks from one section, video and guidance branch to the
next, and no file could hold it. Here each call begins with the state that it is given and nothing else. Measurements
and what each cache costs: docs/decisions/0008.
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

from framepack_engine.sampling.caches import CachedAnswer, CacheState, forget_hooks

_CONTEXT = "framepack"  # diffusers' caches refuse to run without the name of one
_MAX_SKIPS, _ALWAYS_RUN = 3, 0.2  # MagCache: at most so many skips in a row, none in this share of the first steps


@dataclass(frozen=True, slots=True)
class _Kind:
    """What is peculiar to one of diffusers' caches.

    transient: attributes of its state that matter within a call only. ground: the attribute without which it computes.
    """

    config: Callable[[float, int, tuple[float, ...]], Any]
    computed: Callable[[Any], bool]
    transient: frozenset[str] = frozenset()
    ground: str | None = None


def _taylorseer(threshold: float, steps: int, _: tuple[float, ...]) -> TaylorSeerCacheConfig:
    # The lite variant foretells the model's output and skips all blocks. The full one foretells every attention's:
    # 13.5 GB of factors a branch at 640x608 on the 13B model, and the blocks' MLPs still run at each step.
    return TaylorSeerCacheConfig(
        cache_interval=int(threshold),
        disable_cache_after_step=steps - 1,
        taylor_factors_dtype=torch.float32,
        use_lite_mode=True,
    )


_KINDS: Mapping[str, _Kind] = {
    "first_block": _Kind(
        config=lambda threshold, _steps, _ratios: FirstBlockCacheConfig(threshold=threshold),
        computed=lambda state: bool(state.should_compute),
        transient=frozenset({"head_block_output"}),
        ground="head_block_residual",
    ),
    "magcache": _Kind(
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
    "taylorseer": _Kind(config=_taylorseer, computed=lambda state: bool(state.last_update_step == state.current_step)),
}


class DiffusersCache:
    """One of diffusers' caches as a StepCache. Its hooks are on the model from here to `close`."""

    def __init__(self, model: Any, cache: str, *, threshold: float, steps: int, ratios: tuple[float, ...] = ()) -> None:
        """ratios: MagCache's. The model must have no other of diffusers' caches enabled."""
        self._model, self._cache, self._kind, self._last = model, cache, _KINDS[cache], steps - 1
        model.enable_cache(self._kind.config(threshold, steps, ratios))
        self._managers = _managers(model)

    def close(self) -> None:
        """See StepCache."""
        self._model.disable_cache()
        forget_hooks(self._model)

    def call(self, run: Callable[[], Tensor], state: CacheState | None, *, step: int) -> CachedAnswer:
        """See StepCache."""
        with self._model.cache_context(_CONTEXT):
            for name, manager in self._managers.items():
                manager._state_cache.clear()  # noqa: SLF001  # its only door; the pinned version is tested
                known = {} if state is None else _Unpacker(state.tensors, self._model.device).attributes(state, name)
                if step == self._last and self._kind.ground:
                    known[self._kind.ground] = None  # the last step's answer is the section: never a guess
                fresh = manager.get_state()
                for attribute, value in known.items():
                    setattr(fresh, attribute, value)
            output = run()
            states = {name: manager.get_state() for name, manager in self._managers.items()}
        computed = all(self._kind.computed(found) for found in states.values())
        answer = CachedAnswer(output, self._packed(states), computed)
        for manager in self._managers.values():
            manager.reset()  # not before: it empties the very objects that were packed
        return answer

    def _packed(self, states: Mapping[str, Any]) -> CacheState:
        packer = _Packer()
        facts = {
            name: {key: packer.packed(value) for key, value in vars(found).items() if key not in self._kind.transient}
            for name, found in states.items()
        }
        return CacheState(self._cache, facts, packer.tensors)


@contextmanager
def measured_ratios(model: Any) -> Iterator[list[float]]:
    """Collect MagCache's ratio of each call of `model` inside: 1, then how much its residual has grown, token by token.

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
        [*model.transformer_blocks, *model.single_transformer_blocks][-1].register_forward_hook(leave),
    ]
    try:
        yield ratios
    finally:
        for hook in hooks:
            hook.remove()


def _managers(model: Any) -> dict[str, StateManager]:
    """The holders of state under `model`, each once, by the name of the first module that uses it."""
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
    """Takes Python values apart into JSON and named tensors."""

    tensors: dict[str, Tensor] = field(default_factory=dict)

    def packed(self, value: Any) -> Any:
        """JSON that `_Unpacker` makes the same value of. Raises: TypeError for a type that no state has had so far."""
        if value is None or isinstance(value, bool | int | float | str):
            return value
        if isinstance(value, Tensor):
            if value.ndim == 0:
                return float(value)  # counters: as exact, and on no device
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
    """Undoes `_Packer`; what belongs on a device comes to `device`."""

    tensors: Mapping[str, Tensor]
    device: torch.device

    def attributes(self, state: CacheState, name: str) -> dict[str, Any]:
        """The attributes of the state that was packed as `name`."""
        return {key: self.unpacked(value) for key, value in state.facts[name].items()}

    def unpacked(self, value: Any) -> Any:
        """The value that was packed."""
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
