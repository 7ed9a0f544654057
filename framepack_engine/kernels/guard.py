"""A guard that uses a fused kernel only after its bits equal those of the eager operations."""

from __future__ import annotations

import logging
from typing import Any

import torch
from torch import Tensor

from framepack_engine.kernels import eager

log = logging.getLogger(__name__)


class Guarded:
    """Computes one chain with its fused kernel if that gives eager bits, else with the eager operations.

    The first call with new shapes, dtypes, strides or a new device computes both. After the first difference, or the
    first error of the kernel, the eager operations compute on that device until the process ends. Where memory does not
    suffice for both, they compute those shapes only.
    """

    def __init__(self, name: str) -> None:
        """name: of the function, both in `eager` and in `fused`. The first call imports `fused`."""
        self.name = name
        self.equal = set[tuple[object, ...]]()
        self._unseen = set[tuple[object, ...]]()  # could not be compared
        self.given_up = set[torch.device]()

    def __call__(self, *args: Any) -> Tensor:
        """Compute the chain."""
        device, sight = args[0].device, tuple(map(_looks, args))
        if device in self.given_up or sight in self._unseen:
            return self._eager(args)
        if sight in self.equal:
            return self._fused(args)
        wanted = self._eager(args)
        try:
            reason = self._difference(args, wanted)
        except torch.OutOfMemoryError:
            self._unseen.add(sight)
            return wanted
        if reason:
            self.given_up.add(device)
            facts = {"kernel": self.name, "device": str(device), "shape": list(wanted.shape)}
            log.warning("kernel_given_up: %s; its eager operations compute from now on", reason, extra=facts)
        else:
            self.equal.add(sight)
        return wanted

    def _difference(self, args: tuple[Any, ...], wanted: Tensor) -> str:
        """Say why the fused kernel cannot be used; empty if it can."""
        try:
            made = self._fused(args)
            equal = made.dtype == wanted.dtype and torch.equal(made.view(torch.uint8), wanted.view(torch.uint8))
        except torch.OutOfMemoryError:
            raise
        except Exception as err:  # noqa: BLE001 - if Triton fails, the eager operations still work
            return f"{type(err).__name__}: {str(err).partition(chr(10))[0]}"
        return "" if equal else "it differs in bits from the eager operations"

    def _eager(self, args: tuple[Any, ...]) -> Tensor:
        made: Tensor = getattr(eager, self.name)(*args)
        return made

    def _fused(self, args: tuple[Any, ...]) -> Tensor:
        from framepack_engine.kernels import fused

        with torch.cuda.device_of(args[0]):  # Triton launches on the current device
            made: Tensor = getattr(fused, self.name)(*args)
        return made


def _looks(arg: object) -> object:
    """Return what decides how a kernel is compiled and in which order it adds."""
    return (arg.shape, arg.dtype, arg.stride(), arg.device) if isinstance(arg, Tensor) else arg
