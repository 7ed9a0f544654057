"""The packed context: 19 latent frames that represent the video made so far, at constant size."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from framepack_engine.planning.sections import HISTORY, HISTORY_1X, HISTORY_2X, HISTORY_4X, Kind
from framepack_engine.sampling.artifacts import Conditioning


@dataclass(frozen=True, slots=True)
class PackedContext:
    """The latents that the transformer sees beside the noise, by patch size; each (1, 16, n, h, w) float32.

    clean: the start latent and the nearest frame (n = 2). history_2x: n = 2. history_4x: n = 16.
    """

    clean: Tensor
    history_2x: Tensor
    history_4x: Tensor


def first_history(kind: Kind, conditioning: Conditioning) -> Tensor:
    """Return the context of the first section, (1, 16, 19, h, w) float32 in time order; frames not made yet are zeros.

    f1 begins with the start latent as its newest frame, or with the end of the video that it continues; i2v begins with
    the latent of the end image, if there is one, as the frame that follows.

    Source: lllyasviel/FramePack demo_gradio_f1.py; nirvash/FramePack (end frame); continuing: docs/decisions.
    """
    start = conditioning.start_latent.float()
    history = start.new_zeros((*start.shape[:2], HISTORY, *start.shape[3:]))
    if kind == "f1":
        newest = start if conditioning.history is None else conditioning.history.float()
        history[:, :, -newest.shape[2] :] = newest
    elif conditioning.end_latent is not None:
        history[:, :, :1] = conditioning.end_latent.float()
    return history


def next_history(kind: Kind, history: Tensor, latents: Tensor) -> Tensor:
    """Return the context of the next section: i2v keeps the first 19 frames in time, f1 the last 19."""
    if kind == "f1":
        return torch.cat([history, latents], dim=2)[:, :, -HISTORY:].contiguous()
    return torch.cat([latents, history], dim=2)[:, :, :HISTORY].contiguous()


def start_for(kind: Kind, index: int, conditioning: Conditioning) -> Tensor:
    """Return the start latent of section `index`, (1, 16, 1, h, w) float32.

    i2v uses the keyframe with the smallest number that is not below `index`, else the start image.

    Source: nirvash/FramePack (keyframes).
    """
    later = [number for number in conditioning.keyframes if number >= index]
    if kind == "i2v" and later:
        return conditioning.keyframes[min(later)].float()
    return conditioning.start_latent.float()


def pack(kind: Kind, history: Tensor, start: Tensor) -> PackedContext:
    """Split 19 history frames by patch size; the nearest frame is the first with i2v, the last with f1."""
    if kind == "f1":
        far, middle, near = history.split([HISTORY_4X, HISTORY_2X, HISTORY_1X], dim=2)
    else:
        near, middle, far = history.split([HISTORY_1X, HISTORY_2X, HISTORY_4X], dim=2)
    return PackedContext(torch.cat([start, near], dim=2), middle, far)
