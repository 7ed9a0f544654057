"""FramePack's full architecture with random weights, for measurements without a download.

It has the transformer and the VAE, which a section needs. Its pictures are noise; time and memory are the real model's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from framepack_engine.memory.model_count import count_model
from framepack_engine.models.model_size import ModelSize
from framepack_engine.models.weights import OFFICIAL
from framepack_engine.sampling.artifacts import Conditioning

PROMPT_TOKENS = 32
_IMAGE_TOKENS = 729  #: SigLIP's
_NORM, _BIAS = 0.05, 0.05  #: how far norms are from one, and biases from zero


@dataclass(slots=True)
class RandomParts:
    """The parts that `Renderer` needs for sections. image_tokens: as many as the missing image encoder would give."""

    transformer: Any
    vae: Any
    image_tokens: int = _IMAGE_TOKENS

    def size(self) -> ModelSize:
        """Count the sizes from the modules."""
        return replace(count_model(self.transformer, vae=self.vae), image_tokens=self.image_tokens)


def random_framepack(
    *,
    device: torch.device,
    home: torch.device,
    transformer_config: Mapping[str, Any] | None = None,
    vae_config: Mapping[str, Any] | None = None,
) -> RandomParts:
    """Draw the 13B transformer and its VAE on `device` and keep them at `home`, where they take 26.3 GB.

    They are in bfloat16 and float16, on a CPU in float32. transformer_config, vae_config: what differs from the real
    ones.
    """
    from diffusers import AutoencoderKLHunyuanVideo, HunyuanVideoFramepackTransformer3DModel

    with torch.device("meta"):
        transformer = HunyuanVideoFramepackTransformer3DModel(**OFFICIAL | dict(transformer_config or {}))
        vae = AutoencoderKLHunyuanVideo(**(vae_config or {}))
    generator = torch.Generator(device).manual_seed(1)
    whole = torch.float32 if device.type == "cpu" else None
    for part, half in ((transformer, torch.bfloat16), (vae, torch.float16)):
        dtype = whole or half
        fill(part, generator, dtype=dtype, home=home)
        part.eval()
    return RandomParts(transformer, vae)


@torch.no_grad()
def fill(model: nn.Module, generator: torch.Generator, *, dtype: torch.dtype, home: torch.device) -> None:
    """Give a model of the meta device weights: matrices of variance 1 / fan-in, norms near one, biases near zero."""
    for module in model.modules():
        for name, meta in list(module.named_parameters(recurse=False)):
            drawn = torch.randn(meta.shape, generator=generator, device=generator.device)
            if drawn.ndim >= 2:
                drawn *= drawn[0].numel() ** -0.5
            elif name == "weight":
                drawn = 1 + _NORM * drawn
            else:
                drawn *= _BIAS
            setattr(module, name, nn.Parameter(drawn.to(home, dtype), requires_grad=False))
    left = [name for name, tensor in (*model.named_parameters(), *model.named_buffers()) if tensor.is_meta]
    if left:
        raise ValueError(f"{type(model).__name__} has tensors that no weights fill: {', '.join(left)}")


def random_conditioning(parts: RandomParts, *, height: int, width: int) -> Conditioning:
    """Draw a prompt of 32 tokens and a start image of the model's widths; they are the same each time."""
    generator, config = torch.Generator().manual_seed(2), parts.transformer.config

    def drawn(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator)

    return Conditioning(
        prompt_embeds=drawn(1, PROMPT_TOKENS, config.text_embed_dim),
        pooled_prompt_embeds=drawn(1, config.pooled_projection_dim),
        image_embeds=drawn(1, parts.image_tokens, config.image_proj_dim),
        start_latent=drawn(1, 16, 1, height // 8, width // 8),
    )
