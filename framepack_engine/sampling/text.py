"""The text of a section: one prompt, or two while one fades into the next, padded as the transformer takes it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from framepack_engine.errors import ArtifactMismatch
from framepack_engine.planning.prompts import Share
from framepack_engine.sampling.artifacts import Conditioning

TEXT_TOKENS = 512  #: every prompt is zero-padded to this length, with a mask


def with_text(conditioning: Conditioning, shares: Sequence[Share]) -> Conditioning:
    """Return `conditioning` with the prompt that `shares` name; of several prompts, with the weighted sum.

    Shorter embeddings are padded with zeros. The sum is computed in float32 and returned in the encoders' precision.

    Raises: ArtifactMismatch if the conditioning lacks a prompt.
    """
    prompts = [(conditioning.prompt_embeds, conditioning.pooled_prompt_embeds), *conditioning.timed]
    if max(share.number for share in shares) >= len(prompts):
        raise ArtifactMismatch(f"the conditioning has {len(prompts)} prompts, and the video has more")
    chosen = [prompts[share.number] for share in shares]
    if len(chosen) == 1:
        embeds, pooled = chosen[0]
    else:
        weights = [share.weight for share in shares]
        embeds = _mixed([embeds for embeds, _ in chosen], weights)
        pooled = _mixed([pooled[:, None] for _, pooled in chosen], weights)[:, 0]
    return replace(conditioning, prompt_embeds=embeds, pooled_prompt_embeds=pooled)


def _mixed(parts: Sequence[Tensor], weights: Sequence[float]) -> Tensor:
    """Add (1, n, D) tensors of different n, weighted."""
    length = max(part.shape[1] for part in parts)
    total = torch.zeros((1, length, parts[0].shape[2]), dtype=torch.float32)
    for part, weight in zip(parts, weights, strict=True):
        total[:, : part.shape[1]] += weight * part.float().cpu()
    return total.to(parts[0].dtype)


def padded_text(embeds: Tensor) -> tuple[Tensor, Tensor]:
    """Pad (1, n, D) text to (1, 512, D) with zeros. Returns it and its mask, (1, 512) of 1 and 0."""
    count = embeds.shape[1]
    if not 0 < count <= TEXT_TOKENS:
        raise ArtifactMismatch(f"a prompt of {count} tokens: need 1 to {TEXT_TOKENS}")
    mask = torch.zeros((1, TEXT_TOKENS), dtype=torch.long, device=embeds.device)
    mask[:, :count] = 1
    return torch.nn.functional.pad(embeds, (0, 0, 0, TEXT_TOKENS - count)), mask
