"""The size of a model that is here, counted from its modules; they may lie on torch's meta device."""

from __future__ import annotations

from typing import Any

from torch import nn

from framepack_engine.hoist import Hoist
from framepack_engine.model_size import ModelSize


def count_model(models: Any) -> ModelSize:
    """Parameters of `models`, which has a transformer and may have the other parts; what it lacks counts nothing."""
    transformer, vae = models.transformer, getattr(models, "vae", None)
    hoist, llama = Hoist(transformer), getattr(models, "text_encoder", None)
    layers = list(llama.layers) if llama is not None else []
    image = getattr(models, "image_encoder", None)
    with hoist.at_work():
        blocks = tuple(map(_numel, (*transformer.transformer_blocks, *transformer.single_transformer_blocks)))
        loop = _numel(transformer)
    hoisted = hoist.modules()
    return ModelSize(
        blocks=blocks,
        rest=loop - sum(blocks) - _numel(transformer.proj_out),
        proj_out=_numel(transformer.proj_out),
        hoisted=sum(map(_numel, hoisted)),
        largest_hoisted=max(map(_numel, hoisted)),
        text=_numel(llama),
        text_block=_numel(layers[0]) if layers else 0,
        text_blocks=len(layers),
        text_2=_numel(getattr(models, "text_encoder_2", None)),
        image=_numel(image),
        vae=_numel(vae),
        dim=transformer.config.num_attention_heads * transformer.config.attention_head_dim,
        heads=transformer.config.num_attention_heads,
        image_tokens=(image.config.image_size // image.config.patch_size) ** 2 if image is not None else 0,
        vae_channels=vae.config.block_out_channels[1] if vae is not None else 0,
        itemsize=_itemsize(transformer.x_embedder),
        encoder_itemsize=_itemsize(llama),
        vae_itemsize=_itemsize(vae),
    )


def _numel(module: nn.Module | None) -> int:
    return 0 if module is None else sum(parameter.numel() for parameter in module.parameters())


def _itemsize(module: nn.Module | None) -> int:
    return 0 if module is None else next(module.parameters()).element_size()
