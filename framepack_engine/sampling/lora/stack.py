"""LoRAs beside the weights: they act during a section of their video, and the base keeps every bit.

y = W x + s·B(A x). A forward hook adds the low-rank part, so W never changes, in any precision; without the hook
the base computes as before. Source: arXiv:2106.09685; why not PEFT: docs/decisions/0015.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from framepack_engine.errors import LoraUnusable
from framepack_engine.planning.spec import Lora
from framepack_engine.sampling.lora.files import find_lora, lora_digest
from framepack_engine.sampling.lora.formats import LowRank, read_lora


class LoraStack:
    """The LoRAs of the video that a transformer works on. Between two sections the model has no hook of theirs."""

    def __init__(self, model: nn.Module, *, device: torch.device, dtype: torch.dtype) -> None:
        """dtype: of the model, for layers whose weights are stored in a format that nothing is computed in."""
        self._linears = {name: part for name, part in model.named_modules() if isinstance(part, nn.Linear)}
        self._device, self._dtype = device, dtype
        self._lows: dict[str, LowRank] = {}
        self._using: tuple[tuple[str, float], ...] = ()

    def use(
        self, loras: Sequence[Lora], *, folder: str | Path | None, files: Mapping[str, Path] = MappingProxyType({})
    ) -> None:
        """Load exactly these; LoRAs that are loaded already are not read again.

        folder: where names are looked up. files: name -> file, for those that are not looked up.
        Raises: LoraUnusable; no LoRA is loaded then.
        """
        acting = [lora for lora in loras if lora.weight != 0]
        try:
            pinned = [_pinned(lora, files.get(lora.name) or find_lora(lora.name, folder)) for lora in acting]
        except LoraUnusable:
            self.clear()
            raise
        using = tuple((digest, lora.weight) for (_, digest), lora in zip(pinned, acting, strict=True))
        if using == self._using:
            return
        self.clear()
        added: dict[str, list[LowRank]] = defaultdict(list)
        for (path, _), lora in zip(pinned, acting, strict=True):
            for module, low in read_lora(path, self._linears).items():
                added[module].append(LowRank(low.down, low.up * lora.weight))
        self._lows = {module: self._joined(self._linears[module], lows) for module, lows in added.items()}
        self._using = using

    @property
    def using(self) -> tuple[tuple[str, float], ...]:
        """Digest and weight of each LoRA that is loaded."""
        return self._using

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """Let the LoRAs act on the model inside."""
        hooks = [self._linears[module].register_forward_hook(_adding(low)) for module, low in self._lows.items()]
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()

    def clear(self) -> None:
        """Free the LoRAs' memory."""
        self._lows, self._using = {}, ()

    def _joined(self, layer: nn.Linear, lows: list[LowRank]) -> LowRank:
        """Join several LoRAs into one of the sum of their ranks: a layer then needs two more products in all."""
        stored = getattr(layer.weight, "dtype", None)  # packed weights have none
        dtype = stored if stored in {torch.float32, torch.bfloat16, torch.float16} else self._dtype
        down, up = torch.cat([low.down for low in lows]), torch.cat([low.up for low in lows], dim=1)
        return LowRank(down.to(self._device, dtype), up.to(self._device, dtype))


def _pinned(lora: Lora, path: Path) -> tuple[Path, str]:
    digest = lora_digest(path)
    if lora.sha256 is not None and lora.sha256 != digest:
        raise LoraUnusable(
            f"LoRA {lora.name!r} is another file now: {path.name} has sha256 {digest}, and the video was accepted with "
            f"{lora.sha256}",
            name=lora.name,
        )
    return path, digest


def _adding(low: LowRank) -> Callable[[nn.Module, tuple[Tensor, ...], Tensor], Tensor]:
    def hook(_layer: nn.Module, args: tuple[Tensor, ...], output: Tensor) -> Tensor:
        return output + linear(linear(args[0], low.down), low.up)

    return hook
