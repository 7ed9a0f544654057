"""The text of one section: one prompt's embeddings, or two mixed while one fades into the other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from framepack_engine.artifacts import Conditioning
from framepack_engine.errors import ArtifactMismatch
from framepack_engine.timeline import Share


def with_text(conditioning: Conditioning, shares: Sequence[Share]) -> Conditioning:
    """`conditioning` with the prompt that `shares` name, their embeddings' weighted sum where they are several.

    The shorter ones are padded with zeros; sums are made in float32 and brought back to the encoders' precision.

    Raises: ArtifactMismatch where the conditioning lacks a prompt.
    """
    prompts = [(conditioning.prompt_embeds, conditioning.pooled_prompt_embeds), *conditioning.timed]
    if max(share.number for share in shares) >= len(prompts):
        raise ArtifactMismatch(f"the conditioning has {len(prompts)} prompts, the video more")
    chosen = [prompts[share.number] for share in shares]
    if len(chosen) == 1:
        embeds, pooled = chosen[0]
    else:
        weights = [share.weight for share in shares]
        embeds = _mixed([embeds for embeds, _ in chosen], weights)
        pooled = _mixed([pooled[:, None] for _, pooled in chosen], weights)[:, 0]
    return replace(conditioning, prompt_embeds=embeds, pooled_prompt_embeds=pooled)


def _mixed(parts: Sequence[Tensor], weights: Sequence[float]) -> Tensor:
    """Weighted sum of (1, n, D) tensors of unequal n."""
    length = max(part.shape[1] for part in parts)
    total = torch.zeros((1, length, parts[0].shape[2]), dtype=torch.float32)
    for part, weight in zip(parts, weights, strict=True):
        total[:, : part.shape[1]] += weight * part.float().cpu()
    return total.to(parts[0].dtype)
