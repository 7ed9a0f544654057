"""Measure the cost of a clip in a step of training, packed by section or whole: tokens, gradients' memory, time.

FramePack claims that a step sees a section and a context of constant length, so that batches are as large as in image
diffusion for a video of any length (arXiv:2504.12626). This bench compares it with the same transformer on all frames.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn

from framepack_engine.models.tiny import IMAGE_DIM
from framepack_engine.planning.sections import FPS, frames_for
from lab.training.parts import TEXT_DIM, make_transformer
from lab.training.recipe import Recipe
from lab.training.stages.diffusion import velocity_of
from lab.training.stages.samples import ClipLatents, section_of

SECTIONS = (1, 2, 4, 8)
ROOM_GIB = 16
_COPIES = 4  #: of the weights: themselves, gradients, momentum, running mean
_IMAGE_TOKENS, _TEXT_TOKENS = 16, 20
_GIB = 2**30


@dataclass(frozen=True, slots=True, kw_only=True)
class StepCost:
    """One clip's share of a step: what is kept for the gradients, in MB (10^6 bytes), and seconds on this machine.

    batch: an estimate of the clips of this length whose step fits in `ROOM_GIB`: what four copies of the weights leave,
    over what one clip keeps.
    """

    sections: int
    seconds: float
    how: str
    tokens: int
    kept_mb: float
    step_s: float
    batch: int

    def row(self) -> dict[str, Any]:
        """Return a line of a table."""
        return asdict(self)


def step_costs(
    recipe: Recipe, *, sections: tuple[int, ...] = SECTIONS, say: Callable[[str], None] = lambda _: None
) -> Iterator[StepCost]:
    """Measure a clip of each length, packed as the trainer packs it (F1's last section), then whole.

    say: hears of each measurement before it begins.
    """
    model, window = make_transformer(recipe), recipe.window
    _cost(model, _clips(window, recipe), index=0, window=window)  # the first one of a process takes longer
    for count in sections:
        clips = _clips(count * window, recipe)
        for how, index, length in (("packed", count - 1, window), ("whole", 0, count * window)):
            say(f"{count} sections, {how} …")
            found = _cost(model, clips, index=index, window=length)
            seconds = round(frames_for(count, window) / FPS, 1)
            yield StepCost(sections=count, seconds=seconds, how=how, **found)


def _clips(frames: int, recipe: Recipe) -> ClipLatents:
    """Make one square clip of noise."""
    side = recipe.resolution // 8
    return ClipLatents(
        latents=torch.randn(1, 16, frames, side, side),
        start=torch.randn(1, 16, 1, side, side),
        end=torch.randn(1, 16, 1, side, side),
        text=[(torch.randn(1, _TEXT_TOKENS, TEXT_DIM), torch.randn(1, TEXT_DIM))],
        image_embeds=torch.randn(1, _IMAGE_TOKENS, IMAGE_DIM),
    )


def _cost(model: Any, clips: ClipLatents, *, index: int, window: int) -> dict[str, Any]:
    """Run section `index` of `window` latent frames forward and backward; return the last fields of a `StepCost`."""
    section = section_of(clips, kind="f1", index=index, window=window)
    weights = {weight.untyped_storage().data_ptr(): weight.nbytes for weight in model.parameters()}
    kept, tokens = dict[int, int](), list[int]()

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    def count_tokens(_block: nn.Module, inputs: tuple[Any, ...]) -> None:
        tokens.append(sum(states.shape[1] for states in inputs[:2]))

    watch = model.transformer_blocks[0].register_forward_pre_hook(count_tokens)
    begun = time.perf_counter()
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        noise, sigma = torch.randn_like(section.target), torch.full((1,), 0.9)
        velocity = velocity_of(model, section, clips.text, clips.image_embeds, noise=noise, sigma=sigma)
    velocity.square().mean().backward()
    step_s = time.perf_counter() - begun
    watch.remove()
    model.zero_grad(set_to_none=True)
    clip_bytes, room = sum(kept.values()), ROOM_GIB * _GIB - _COPIES * sum(weights.values())
    return {
        "tokens": tokens[0],
        "kept_mb": round(clip_bytes / 1e6, 1),
        "step_s": round(step_s, 2),
        "batch": room // clip_bytes,
    }
