"""The size of a loaded model, counted from its modules, which may be on torch's meta device."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from torch import nn

from framepack_engine.memory.hoist import Hoist
from framepack_engine.models.compiled import is_compiled
from framepack_engine.models.model_size import ModelSize
from framepack_engine.models.precision import Packed, precision_of
from framepack_engine.models.weights import blocks_of, bytes_of


def count_model(
    transformer: Any, *, vae: Any, text_encoder: Any = None, text_encoder_2: Any = None, image_encoder: Any = None
) -> ModelSize:
    """Count the parameters and bytes of each part; an encoder that is None counts nothing."""
    hoist = Hoist(transformer)
    layers = list(text_encoder.layers) if text_encoder is not None else []
    with hoist.at_work():
        blocks = blocks_of(transformer)
        numels, block_bytes = tuple(map(_numel, blocks)), tuple(map(bytes_of, blocks))
        loop = bytes_of(transformer)
        linears = list(_linears(blocks))
    # the engine computes it in float32: see sampling.transformer.Transformer
    widened = sum((4 - tensor.element_size()) * tensor.numel() for tensor in transformer.proj_out.parameters())
    hoisted = hoist.modules()
    return ModelSize(
        precision=precision_of(transformer),
        compiled=is_compiled(transformer),
        blocks=numels,
        block_bytes=block_bytes,
        rest_bytes=loop - sum(block_bytes) + widened,
        hoisted_bytes=sum(map(bytes_of, hoisted)),
        largest_hoisted_bytes=max(map(bytes_of, hoisted)),
        largest_matrix=max(layer.in_features * layer.out_features for layer in linears),
        widest_answer=max(layer.out_features for layer in linears),
        text=_numel(text_encoder),
        text_block=_numel(layers[0]) if layers else 0,
        text_blocks=len(layers),
        text_2=_numel(text_encoder_2),
        image=_numel(image_encoder),
        vae=_numel(vae),
        dim=transformer.config.num_attention_heads * transformer.config.attention_head_dim,
        heads=transformer.config.num_attention_heads,
        image_tokens=_image_tokens(image_encoder),
        vae_channels=vae.config.block_out_channels[1],
        itemsize=_itemsize(transformer.x_embedder),
        encoder_itemsize=_itemsize(text_encoder),
        vae_itemsize=_itemsize(vae),
    )


def _image_tokens(encoder: Any) -> int:
    return 0 if encoder is None else (encoder.config.image_size // encoder.config.patch_size) ** 2


def _linears(modules: list[nn.Module]) -> Iterator[nn.Linear]:
    for module in modules:
        yield from (part for part in module.modules() if isinstance(part, nn.Linear))


def _numel(module: nn.Module | None) -> int:
    if module is None:
        return 0
    packed = sum(part.in_features * part.out_features for part in module.modules() if isinstance(part, Packed))
    return packed + sum(parameter.numel() for parameter in module.parameters())


def _itemsize(module: nn.Module | None) -> int:
    return 0 if module is None else next(module.parameters()).element_size()
