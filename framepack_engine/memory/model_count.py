"""The size of a model that is here, counted from its modules; they may lie on torch's meta device."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from torch import nn

from framepack_engine.memory.hoist import Hoist
from framepack_engine.models.model_size import ModelSize
from framepack_engine.models.precision import Packed, precision_of
from framepack_engine.models.weights import weights_of


def count_model(models: Any) -> ModelSize:
    """Of `models`, which has a transformer and may have the other parts; what it lacks counts nothing."""
    transformer, vae = models.transformer, getattr(models, "vae", None)
    hoist, llama = Hoist(transformer), getattr(models, "text_encoder", None)
    layers = list(llama.layers) if llama is not None else []
    image = getattr(models, "image_encoder", None)
    with hoist.at_work():
        blocks = [*transformer.transformer_blocks, *transformer.single_transformer_blocks]
        numels, block_bytes = tuple(map(_numel, blocks)), tuple(map(_bytes, blocks))
        loop = _bytes(transformer)
        matrices = [layer.in_features * layer.out_features for layer in _linears(blocks)]
    # float32 in the step loop, whatever it was loaded in: see transformer.Transformer
    widened = sum((4 - tensor.element_size()) * tensor.numel() for tensor in transformer.proj_out.parameters())
    hoisted = hoist.modules()
    return ModelSize(
        precision=precision_of(transformer),
        blocks=numels,
        block_bytes=block_bytes,
        rest_bytes=loop - sum(block_bytes) + widened,
        hoisted_bytes=sum(map(_bytes, hoisted)),
        largest_hoisted_bytes=max(map(_bytes, hoisted)),
        largest_matrix=max(matrices),
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


def _bytes(module: nn.Module) -> int:
    return sum(tensor.nbytes for tensor in weights_of([module]))


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
