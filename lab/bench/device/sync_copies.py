"""Weights that come module by module, just before it computes, by a copy that the host waits for.

This is how lllyasviel/FramePack does it (diffusers_helper/memory.py: DynamicSwapInstaller, and
move_model_to_device_with_memory_preservation for what may stay). It is the baseline of streaming.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn


class SyncCopies:
    """Holds one model that way until `close`. copied: bytes so far."""

    def __init__(self, model: nn.Module, device: torch.device, *, resident_bytes: int) -> None:
        """Keep the first modules on the device, up to `resident_bytes`, and the weights of the others at home."""
        self._device, self.copied, self.resident = device, 0, 0
        self._hooks: list[Any] = []
        self._homes: dict[nn.Module, list[tuple[Tensor, Tensor]]] = {}
        for module in model.modules():
            own = [*module.parameters(recurse=False), *module.buffers(recurse=False)]
            size = sum(tensor.nbytes for tensor in own)
            if not own:
                continue
            if self.resident + size <= resident_bytes:
                self.resident += size
                for tensor in own:
                    tensor.data = tensor.data.to(device)
                continue
            self._homes[module] = [(tensor, tensor.data.cpu()) for tensor in own]
            self._go_home(module)
            self._hooks.append(module.register_forward_pre_hook(lambda module, _: self._bring(module)))
            self._hooks.append(module.register_forward_hook(lambda module, *_: self._go_home(module)))

    def close(self) -> None:
        """Remove the hooks and leave the swapped weights at home."""
        for hook in self._hooks:
            hook.remove()
        for module in self._homes:
            self._go_home(module)

    def _bring(self, module: nn.Module) -> None:
        for tensor, home in self._homes[module]:
            tensor.data = home.to(self._device, copy=True)
            self.copied += home.nbytes

    def _go_home(self, module: nn.Module) -> None:
        for tensor, home in self._homes[module]:
            tensor.data = home
