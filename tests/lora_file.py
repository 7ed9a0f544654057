"""A LoRA file for a transformer that is here."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import nn

from framepack_engine import Lora


def write_lora(folder: Path, name: str, transformer: nn.Module, *, seed: int) -> Lora:
    """Of rank 2 on every Linear: in the step loop, and of what is hoisted."""
    generator, tensors = torch.Generator().manual_seed(seed), dict[str, torch.Tensor]()
    for module, layer in transformer.named_modules():
        if isinstance(layer, nn.Linear):
            tensors[f"transformer.{module}.lora_A.weight"] = torch.randn(2, layer.in_features, generator=generator)
            up = torch.randn(layer.out_features, 2, generator=generator)
            tensors[f"transformer.{module}.lora_B.weight"] = 0.05 * up
    save_file(tensors, folder / f"{name}.safetensors")
    return Lora(name)
