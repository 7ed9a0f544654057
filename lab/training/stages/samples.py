"""The transformer's training samples: sections of clips, packed by the engine's own plan and context.

Layouts, histories and start latents come from `plan` and `context`, the same functions that `Renderer.section` calls,
so that training and sampling cannot disagree.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from framepack_engine.planning.sections import HISTORY, IndexLayout, Kind, section_layout
from framepack_engine.sampling.artifacts import Conditioning
from framepack_engine.sampling.context import first_history, next_history, pack, start_for
from lab.training.data.pictures import Dice

_SCALE = 1000.0  #: the model counts timesteps and guidance in thousandths


@dataclass(frozen=True, slots=True, kw_only=True)
class ClipLatents:
    """A batch of encoded clips of one size and length, with their conditions.

    latents: (B, 16, sections·window, h, w) in time order, without the start. start, end: (B, 16, 1, h, w), encoded as
    single pictures, as the engine does it. text: per clip (1, n, D) and (1, P). image_embeds: (B, m, E).
    """

    latents: Tensor
    start: Tensor
    end: Tensor
    text: Sequence[tuple[Tensor, Tensor]]
    image_embeds: Tensor

    def sections(self, window: int) -> int:
        """The number of sections of `window` latent frames in the clips."""
        return self.latents.shape[2] // window


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """One section of a batch: `target` is what the transformer must make, `fixed` are its other inputs."""

    kind: Kind
    index: int
    sections: int
    target: Tensor
    history: Tensor
    start: Tensor
    layout: IndexLayout


def section_of(
    clips: ClipLatents, *, kind: Kind, index: int, window: int, sections: int | None = None, with_end: bool = False
) -> Section:
    """Return section `index`, in generation order, of the clips' first `sections`, with the history it would have.

    sections: None takes all that the clips have. with_end: an end image is given (i2v).
    """
    count = sections or clips.sections(window)
    conditioning = Conditioning(
        prompt_embeds=clips.text[0][0],
        pooled_prompt_embeds=clips.text[0][1],
        image_embeds=clips.image_embeds,
        start_latent=clips.start,
        end_latent=clips.end if with_end and kind == "i2v" else None,
    )
    slots = [in_time(kind, sections=count, index=i) for i in range(index + 1)]
    parts = [clips.latents[:, :, slot * window : (slot + 1) * window] for slot in slots]
    history = first_history(kind, conditioning)
    for part in parts[:-1]:
        history = next_history(kind, history, part)
    return Section(
        kind=kind,
        index=index,
        sections=count,
        target=parts[-1],
        history=history,
        start=start_for(kind, index, conditioning),
        layout=section_layout(kind, sections=count, index=index, window=window),
    )


def dissolved(clips: ClipLatents) -> ClipLatents:
    """Let each clip dissolve into the next of its batch and take its end image: an end that no motion leads to.

    The encoder is linear, so mixing latents is mixing frames.
    """
    count = clips.latents.shape[2]
    share = torch.arange(1, count + 1, device=clips.latents.device).view(1, 1, -1, 1, 1) / count
    return replace(clips, latents=torch.lerp(clips.latents, clips.latents.roll(1, 0), share), end=clips.end.roll(1, 0))


def in_time(kind: Kind, *, sections: int, index: int) -> int:
    """Return the place in time of section `index`: i2v makes the last one first."""
    return sections - 1 - index if kind == "i2v" else index


def roughened(history: Tensor, dice: Dice, *, strength: float) -> Tensor:
    """Add noise to the history, since a model's own frames are never quite right; missing frames stay zero."""
    noise = dice.normal(*history.shape).to(history.device)
    there = (history != 0).any(dim=1, keepdim=True).any(dim=3, keepdim=True).any(dim=4, keepdim=True)
    return history + strength * noise * there


def without_history(history: Tensor, kind: Kind) -> Tensor:
    """Empty the history as in the first section: f1 keeps its newest frame, i2v none."""
    kept = torch.zeros_like(history)
    if kind == "f1":
        kept[:, :, HISTORY - 1 :] = history[:, :, HISTORY - 1 :]
    return kept


def transformer_inputs(
    section: Section, *, text: Sequence[tuple[Tensor, Tensor]], image_embeds: Tensor, x: Tensor, sigma: Tensor
) -> dict[str, Any]:
    """Return the arguments of the transformer's forward for a batch. x: noisy latents; sigma: (B,) noise levels.

    Texts are padded with zeros to the longest of the batch, with a mask; guidance is told as the engine's default.
    """
    context, device = pack(section.kind, section.history, section.start), x.device
    longest = max(embeds.shape[1] for embeds, _ in text)
    states = x.new_zeros((len(text), longest, text[0][0].shape[2]))
    mask = torch.zeros((len(text), longest), dtype=torch.long, device=device)
    for row, (embeds, _) in enumerate(text):
        states[row, : embeds.shape[1]] = embeds[0].to(device)
        mask[row, : embeds.shape[1]] = 1

    def indices(positions: tuple[int, ...]) -> Tensor:
        return torch.tensor(positions, device=device)

    return {
        "hidden_states": x,
        "timestep": sigma.to(device) * _SCALE,
        "guidance": torch.full((len(x),), 10 * _SCALE, device=device),
        "encoder_hidden_states": states,
        "encoder_attention_mask": mask,
        "pooled_projections": torch.cat([pooled for _, pooled in text]).to(device),
        "image_embeds": image_embeds.to(device),
        "indices_latents": indices(section.layout.noisy),
        "latents_clean": context.clean,
        "indices_latents_clean": indices(section.layout.clean),
        "latents_history_2x": context.history_2x,
        "indices_latents_history_2x": indices(section.layout.history_2x),
        "latents_history_4x": context.history_4x,
        "indices_latents_history_4x": indices(section.layout.history_4x),
        "return_dict": False,
    }
