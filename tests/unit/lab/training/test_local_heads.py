"""A new transformer's heads look at one place each: at their own token's, or right beside it, in known frames."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from lab.training.parts import make_transformer
from lab.training.recipe import RECIPES, Recipe

HEIGHT = WIDTH = 8  #: tokens
MIDDLE = (4, 4)
PLACES = [(0, 0), (0, 1), (0, -1), (1, 0), (-1, 0), (0, 0)]  #: down, to the right


def scores(model: Any, block: Any, *, known: bool) -> Tensor:
    """(heads, HEIGHT, WIDTH): scores of one frame's places, for a noisy token in the middle."""
    from diffusers.models.embeddings import apply_rotary_emb

    generator = torch.Generator().manual_seed(0)
    latents = torch.randn(1, 16, 1, 2 * HEIGHT, 2 * WIDTH, generator=generator)
    noisy = model.x_embedder(torch.randn(latents.shape, generator=generator))
    keys = model.clean_x_embedder.proj(latents).flatten(2).transpose(1, 2) if known else noisy
    rope = model.rope(frame_indices=torch.zeros(1), height=2 * HEIGHT, width=2 * WIDTH, device=torch.device("cpu"))
    attn = block.attn
    turned = []
    for states, linear, norm in ((noisy, attn.to_q, attn.norm_q), (keys, attn.to_k, attn.norm_k)):
        normed = torch.nn.functional.layer_norm(states, states.shape[-1:])
        vectors = norm(linear(normed).unflatten(2, (attn.heads, -1)).transpose(1, 2))
        turned.append(apply_rotary_emb(vectors, rope)[0])
    query = turned[0].unflatten(1, (HEIGHT, WIDTH))[:, MIDDLE[0], MIDDLE[1]]
    found: Tensor = (turned[1] @ query[..., None])[..., 0].unflatten(1, (HEIGHT, WIDTH)) / query.shape[-1] ** 0.5
    return found


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES)
@torch.no_grad()
def test_a_head_looks_at_its_place(recipe: Recipe) -> None:
    """The first block's heads, and where those are few the next one's, score their places highest of a known frame."""
    model = make_transformer(recipe)
    blocks = (*model.transformer_blocks, *model.single_transformer_blocks)
    found = [
        (int(best) // WIDTH - MIDDLE[0], int(best) % WIDTH - MIDDLE[1])
        for block in blocks[: -(-len(PLACES) // recipe.heads)]
        for best in scores(model, block, known=True).flatten(1).argmax(1)
    ]
    assert found[: len(PLACES)] == PLACES


@torch.no_grad()
def test_what_is_known_counts_more_than_noise() -> None:
    """Frames that are given have higher scores than those that are being made."""
    model = make_transformer(RECIPES["128"])
    block = model.transformer_blocks[0]
    known, noise = (scores(model, block, known=known).amax((1, 2)) for known in (True, False))
    assert bool((known > noise + 1).all())
