"""A HunyuanVideoFramepackTransformer3DModel of one block of each class whose heads have FramePack's size."""

from __future__ import annotations

from typing import Any

import torch


def small_model(dtype: torch.dtype) -> Any:
    """Random weights, the same each time."""
    from diffusers import HunyuanVideoFramepackTransformer3DModel

    torch.manual_seed(0)
    model = HunyuanVideoFramepackTransformer3DModel(
        num_attention_heads=2,
        num_layers=1,
        num_single_layers=1,
        num_refiner_layers=1,
        text_embed_dim=32,
        pooled_projection_dim=16,
        image_condition_type=None,
        has_image_proj=True,
        image_proj_dim=24,
        has_clean_x_embedder=True,
    )
    return model.to(dtype).eval().requires_grad_(requires_grad=False)


def inputs(dtype: torch.dtype) -> dict[str, Any]:
    """One forward's arguments: 4 x 4 latents, a prompt of 5 tokens with a padding of 3."""
    generator = torch.Generator().manual_seed(1)

    def draw(*shape: int) -> torch.Tensor:
        return torch.randn(shape, generator=generator).to(dtype)

    return {
        "hidden_states": draw(1, 16, 2, 4, 4),
        "timestep": torch.tensor([500.0], dtype=dtype),
        "encoder_hidden_states": draw(1, 8, 32),
        "encoder_attention_mask": torch.tensor([[1, 1, 1, 1, 1, 0, 0, 0]]),
        "pooled_projections": draw(1, 16),
        "image_embeds": draw(1, 3, 24),
        "indices_latents": torch.tensor([4, 5]),
        "guidance": torch.tensor([10000.0], dtype=dtype),
        "latents_clean": draw(1, 16, 1, 4, 4),
        "indices_latents_clean": torch.tensor([0]),
        "latents_history_2x": draw(1, 16, 2, 4, 4),
        "indices_latents_history_2x": torch.tensor([1, 2]),
        "latents_history_4x": draw(1, 16, 4, 4, 4),
        "indices_latents_history_4x": torch.tensor([6, 7, 8, 9]),
        "return_dict": False,
    }
