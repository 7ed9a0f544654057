"""Attention heads that begin by looking at one place each, as a trained transformer's do (docs/decisions/0087)."""

from __future__ import annotations

import math
from itertools import cycle, islice
from typing import Any

import torch
from torch import Tensor, nn

#: down and to the right, in tokens; a head each, in turn, from block to block
_PLACES = ((0, 0), (0, 1), (0, -1), (1, 0), (-1, 0), (0, 0))
_LEAST_FREQUENCY = 0.3  #: radians a token; slower rotations hardly tell neighbours apart
_SHARP = 1.5  #: of queries and keys each: a neighbour counts about a sixth as much as the place itself
_MARK = 1.5  #: on one channel, plus for what is known and minus for what is noisy
_MARKED_QUERY, _MARKED_KEY = 0.6, 0.3  #: shares of a vector's length
_DRAWN = 0.5  #: the share that is left of the drawn weights of queries and keys
_OPEN = 0.5  #: gates of attention, 0 otherwise
_GATE = 2  #: of the modulation's chunks


@torch.no_grad()
def look_nearby(model: Any) -> None:
    """Let each head of a HunyuanVideoFramepackTransformer3DModel look at one neighbour, in place.

    The rotary embedding makes a query's phase an offset: a query turned by θ·o scores highest with the key that lies
    o tokens further on.
    """
    heads, dim = model.config.num_attention_heads, model.config.attention_head_dim
    channel = heads * dim - 1
    _mark(model.x_embedder.proj, channel, -_MARK)
    for conv in model.clean_x_embedder.children():
        _mark(conv, channel, _MARK)
    rows = torch.arange(heads) * dim + model.config.rope_axes_dim[0] - 2  # the slowest rotation of time: hardly any
    places = cycle(_PLACES)
    for block in (*model.transformer_blocks, *model.single_transformer_blocks):
        query, key = block.attn.to_q, block.attn.to_k
        turned = [_turned(model.config, place) for place in islice(places, heads)]
        query.bias.copy_(torch.cat([one for one, _ in turned]))
        key.bias.copy_(torch.cat([one for _, one in turned]))
        for weight in (query.weight, key.weight):
            weight.mul_(_DRAWN)
            weight[rows] = 0
        query.bias[rows] = _MARKED_QUERY * math.sqrt(dim)
        key.weight[rows, channel] = _MARKED_KEY * math.sqrt(dim)
        for norm in (block.attn.norm_q, block.attn.norm_k):
            norm.weight.fill_(_SHARP)
        modulation = block.norm1.linear if hasattr(block, "norm1") else block.norm.linear
        modulation.bias.view(-1, heads * dim)[_GATE].fill_(_OPEN)


def _mark(conv: nn.Conv3d, channel: int, value: float) -> None:
    conv.weight[channel] = 0
    if conv.bias is not None:
        conv.bias[channel] = value


def _turned(config: Any, place: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Return a query and a key, (dim,) each, that score highest if the key lies at `place` from the query."""
    dim, axes = config.attention_head_dim, config.rope_axes_dim
    query, key = torch.zeros(dim), torch.zeros(dim)
    first = axes[0]
    for size, offset in zip(axes[1:], place, strict=True):
        for pair in range(size // 2):
            frequency = config.rope_theta ** (-2 * pair / size)
            if frequency > _LEAST_FREQUENCY:
                query[first + 2 * pair] = math.cos(frequency * offset)
                query[first + 2 * pair + 1] = math.sin(frequency * offset)
                key[first + 2 * pair] = 1
        first += size
    return query / query.norm() * math.sqrt(dim), key / key.norm() * math.sqrt(dim)
