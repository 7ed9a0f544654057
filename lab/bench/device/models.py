"""The models that are measured; each row makes its own."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy

import torch

from framepack_engine.memory.ladder import size_of
from framepack_engine.models.model_size import ModelSize
from framepack_engine.sampling.numeric import default_dtype
from lab.bench.random_model import RandomParts, random_framepack

Make = Callable[[torch.device], RandomParts]  #: makes a model whose weights lie at the device that it is given


def maker(model: str, device: torch.device) -> Make:
    """Return what makes a model of its own that computes on `device`."""
    if model != "tiny":
        return lambda home: random_framepack(device=device, home=home)
    from framepack_engine.models.shelf import load_models

    tiny = load_models("tiny")
    tokens = (tiny.image_encoder.config.image_size // tiny.image_encoder.config.patch_size) ** 2
    dtypes = default_dtype(device), torch.float32 if device.type == "cpu" else torch.float16  # as the farm loads it
    parts = tiny.transformer, tiny.vae

    def make(home: torch.device) -> RandomParts:
        transformer, vae = (deepcopy(part).to(home, dtype) for part, dtype in zip(parts, dtypes, strict=True))
        return RandomParts(transformer, vae, tokens)

    return make


def full_size(model: str) -> ModelSize:
    """Return the size of a model by its name, without making it."""
    return size_of("tiny" if model == "tiny" else "framepack-i2v")


def home_bytes(model: str) -> int:
    """Return the bytes that a model takes in the machine's memory where it does not lie on the device."""
    if model == "tiny":
        return 0
    size = full_size(model)
    return size.transformer_bytes + size.vae_bytes
