"""Fused kernels compute only where they were seen to give the bits of the eager chain."""

from __future__ import annotations

import logging
from typing import Any

import torch
from torch import Tensor

from framepack_engine.kernels import eager

log = logging.getLogger(__name__)


class Guarded:
    """One chain: its fused kernel where the two are equal, the eager operations everywhere else.

    Arguments are compared by shape, dtype, strides and device. The first call with new ones computes both. The first
    difference, or the first error of the kernel, ends its use on that device until the process ends.
    """

    def __init__(self, name: str) -> None:
        """name: of the function in `eager` and in `fused`. `fused` is imported at the first call."""
        self._name = name
        self._equal = set[tuple[object, ...]]()
        self._given_up = set[torch.device]()

    def __call__(self, *args: Any) -> Tensor:
        """Compute the chain."""
        device, sight = args[0].device, tuple(map(_looks, args))
        if device in self._given_up:
            return self._eager(args)
        if sight in self._equal:
            return self._fused(args)
        wanted = self._eager(args)
        if reason := self._difference(args, wanted):
            self._given_up.add(device)
            facts = {"kernel": self._name, "device": str(device), "shape": list(wanted.shape)}
            log.warning("kernel_given_up: %s; its eager operations compute from now on", reason, extra=facts)
        else:
            self._equal.add(sight)
        return wanted

    def _difference(self, args: tuple[Any, ...], wanted: Tensor) -> str:
        """Why the fused kernel cannot be used; empty where it can."""
        try:
            made = self._fused(args)
            equal = made.dtype == wanted.dtype and torch.equal(made.view(torch.uint8), wanted.view(torch.uint8))
        except Exception as err:  # noqa: BLE001 - whatever fails in Triton's compiler, the eager operations still work
            return f"{type(err).__name__}: {str(err).partition(chr(10))[0]}"
        return "" if equal else "it differs in bits from the eager operations"

    def _eager(self, args: tuple[Any, ...]) -> Tensor:
        made: Tensor = getattr(eager, self._name)(*args)
        return made

    def _fused(self, args: tuple[Any, ...]) -> Tensor:
        from framepack_engine.kernels import fused

        with torch.cuda.device_of(args[0]):  # Triton launches on the current device
            made: Tensor = getattr(fused, self._name)(*args)
        return made


def _looks(arg: object) -> object:
    """What decides which code a kernel is compiled to, and what it adds in which order."""
    return (arg.shape, arg.dtype, arg.stride(), arg.device) if isinstance(arg, Tensor) else arg
