"""Stage `dit`: the transformer learns the flow from noise to a section's latents, both of i2v and of F1."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor, nn

from framepack_engine.frames.decode import to_uint8
from framepack_engine.frames.embeddings import embed_picture, embed_prompt
from framepack_engine.models.shelf import Models
from framepack_engine.planning.buckets import buckets
from framepack_engine.planning.schedule import flow_mu
from framepack_engine.planning.sections import Kind, frames_for
from lab.training.data.clips import ClipMaker
from lab.training.data.pictures import Dice
from lab.training.muon import quick_in_bfloat16
from lab.training.parts import make_transformer
from lab.training.quick_attention import train_with_quick_attention
from lab.training.recipe import Recipe
from lab.training.stages.groups import GroupFolder
from lab.training.stages.samples import (
    ClipLatents,
    Section,
    dissolved,
    roughened,
    section_of,
    transformer_inputs,
    without_history,
)
from lab.training.stages.transform import NOISE_STD, computed_latents, weights_in_pixels

_KINDS: tuple[Kind, Kind] = ("i2v", "f1")
_NO_PROMPT, _NO_HISTORY, _ROUGH = 0.1, 0.05, 0.5  #: shares of sections
_WITH_END, _OTHER_END = 0.6, 0.6  #: share of those that may have an end image, and of these, of one that is no motion's
_LEAST_MOVED, _USUAL_WEIGHT = 0.15, 2.5  #: mean squares of latents of about 1; the second keeps the loss' size
_ROUGHEST = 0.15  #: noise on the history, beside latents of about 1


class ClipEncoder:
    """Clips to latents and conditions, with the encoders of a model, as the engine's `encode` makes them."""

    def __init__(self, models: Models, *, seed: int, computed: bool = False) -> None:
        """computed: `write_transform` wrote the autoencoder's encoder, so its matrices are applied directly."""
        self._models, self._seed, self._computed = models, seed, computed
        self._texts: dict[str, tuple[Tensor, Tensor]] = {}

    @torch.no_grad()
    def encoded(self, frames: Tensor, prompts: Sequence[str], *, number: int) -> ClipLatents:
        """Encode clips (B, 3, 1 + 4n, H, W) in [-1, 1]. number: names the draw from the VAE's posterior."""
        dice = Dice(self._seed, 6, number)
        first = [to_uint8(clip[None, :, :1])[0].cpu().numpy() for clip in frames]
        return ClipLatents(
            latents=self._latents(frames, dice)[:, :, 1:].contiguous(),
            start=self._latents(frames[:, :, :1], dice),
            end=self._latents(frames[:, :, -1:], dice),
            text=[self.text(prompt) for prompt in prompts],
            image_embeds=torch.cat([embed_picture(self._models, Image.fromarray(pixels)) for pixels in first]).clone(),
        )

    def text(self, prompt: str) -> tuple[Tensor, Tensor]:
        """Return the embeddings of a prompt, kept from earlier calls."""
        if prompt not in self._texts:
            embeds, pooled = embed_prompt(self._models, prompt)
            self._texts[prompt] = (embeds.clone(), pooled.clone())  # an inference tensor may not meet autograd
        return self._texts[prompt]

    def _latents(self, frames: Tensor, dice: Dice) -> Tensor:
        vae = self._models.vae
        if self._computed:
            mean = computed_latents(vae, frames.to(vae.device, vae.dtype)).float()
            drawn = mean + NOISE_STD * dice.normal(*mean.shape).to(mean.device)
            return drawn * float(vae.config.scaling_factor)
        vae.use_framewise_encoding, vae.use_tiling, vae.use_slicing = True, False, False
        made = []
        for clip in frames.split(1):  # one by one: a long clip at full resolution is what takes the memory
            posterior = vae.encode(clip.to(vae.device, vae.dtype)).latent_dist
            noise = dice.normal(*posterior.mean.shape).to(posterior.mean.device)
            made.append((posterior.mean + posterior.std * noise).float() * vae.config.scaling_factor)
        return torch.cat(made)


class DiffusionStage:
    """Flow matching on packed sections. A group of clips is encoded once and gives `reuse` steps their sections."""

    name = "dit"

    def __init__(
        self,
        recipe: Recipe,
        models: Models,
        *,
        device: str,
        photo_share: float = 0.45,
        reuse: int = 6,
        kept: Path | None = None,
        compiled: bool = False,
    ) -> None:
        """models: all parts but the transformer, on the device. kept: folder for clips, if the recipe keeps them.

        compiled: compile the transformer's blocks.
        """
        self.model = make_transformer(recipe)
        if compiled:
            if torch.device(device).type == "cpu" and quick_in_bfloat16(torch.device(device)):
                train_with_quick_attention()
            for block in (*self.model.transformer_blocks, *self.model.single_transformer_blocks):
                block.compile(dynamic=True)
        self._recipe, self._device, self._reuse = recipe, device, reuse
        self._encoder = ClipEncoder(models, seed=recipe.seed, computed=True)
        self._maker = ClipMaker(seed=recipe.seed + 7, device=device, photo_share=photo_share)
        self._weights = weights_in_pixels(models.vae).to(device).view(1, -1, 1, 1, 1)
        self._sizes = buckets(recipe.resolution)
        self._group: tuple[int, ClipLatents] | None = None
        numbers = f"{recipe.seed} {recipe.batch} {recipe.window} {recipe.max_sections} {self._sizes} {photo_share}"
        self._kept = (
            None
            if kept is None or recipe.kept_groups is None
            else GroupFolder(kept, models.vae.encoder, numbers=numbers)
        )

    def loss(self, model: nn.Module, step: int, rank: int, world: int) -> dict[str, Tensor]:
        """Return the velocity's mean square error, weighted as pixels show it; each section has its own noise level."""
        number = step * world + rank
        dice = Dice(self._recipe.seed, 8, number)
        clips = self._clips(step // self._reuse * world + rank)
        section = self._section(clips, dice)
        empty = self._encoder.text("")
        text = [empty if dice.chance(_NO_PROMPT) else text for text in clips.text]
        sigma = levels(section.target, dice)
        noise = dice.normal(*section.target.shape).to(section.target.device)
        velocity = velocity_of(model, section, text, clips.image_embeds, noise=noise, sigma=sigma)
        error = (self._weights * (velocity - (noise - section.target)) ** 2).flatten(1).mean(1)
        return {"loss": (error * _weight_of(section, self._weights)).mean(), section.kind: error.detach().mean()}

    def _clips(self, group: int) -> ClipLatents:
        """Return the clips of a group of steps; the first step of the group makes or loads them."""
        count = self._recipe.kept_groups
        group = group if count is None else group % count
        if self._group is None or self._group[0] != group:
            self._group = (group, self._made(group))
        return self._group[1]

    def _made(self, group: int) -> ClipLatents:
        """Make a group's clips. Kept ones are always read back from their file, so that its bits are used."""
        if self._kept is not None and self._kept.has(group):
            return self._found(self._kept, group)
        recipe, dice = self._recipe, Dice(self._recipe.seed, 9, group)
        count = frames_for(dice.whole(1, recipe.max_sections), recipe.window)
        height, width = dice.one_of(self._sizes)
        numbers = range(group * recipe.batch, (group + 1) * recipe.batch)
        clips = [self._maker.clip(number, height=height, width=width, frames=count) for number in numbers]
        frames, prompts = torch.stack([clip.frames for clip in clips]), [clip.prompt for clip in clips]
        encoded = self._encoder.encoded(frames, prompts, number=group)
        if self._kept is None:
            return encoded
        self._kept.keep(group, encoded, prompts)
        return self._found(self._kept, group)

    def _found(self, kept: GroupFolder, group: int) -> ClipLatents:
        tensors, prompts = kept.found(group, device=self._device)
        return ClipLatents(**tensors, text=[self._encoder.text(prompt) for prompt in prompts])

    def _section(self, clips: ClipLatents, dice: Dice) -> Section:
        """Draw a section of the batch, of either kind, with a history that may be missing or rough."""
        kind, window = dice.one_of(_KINDS), self._recipe.window
        count = whole = clips.sections(window)
        if kind == "i2v":  # the further off, the less of a picture is known, and the more of a gradient is noise
            count = min(dice.whole(1, count), dice.whole(1, count))
        index = dice.whole(0, count - 1)
        with_end = count == whole and dice.chance(_WITH_END)  # the end image is the whole clip's
        if with_end and kind == "i2v" and dice.chance(_OTHER_END):
            clips = dissolved(clips)
        section = section_of(clips, kind=kind, index=index, window=window, sections=count, with_end=with_end)
        return _with_other_history(section, dice)


def _weight_of(section: Section, weights: Tensor) -> Tensor:
    """Return how much each section counts, (B,): the less it moves, the more. Else only fast motion would be learned.

    A section moves as much as its start, or the newest known frame, differs from all of its frames.
    """
    known = (section.start, section.history[:, :, -1:], section.history[:, :, :1])
    moved = [(weights * (frame - section.target) ** 2).flatten(1).mean(1) for frame in known]
    return 1 / (_LEAST_MOVED + torch.stack(moved).amin(0)) / _USUAL_WEIGHT


def _with_other_history(section: Section, dice: Dice) -> Section:
    if dice.chance(_NO_HISTORY):
        return replace(section, history=without_history(section.history, section.kind))
    if dice.chance(_ROUGH):
        return replace(section, history=roughened(section.history, dice, strength=dice.uniform(0, _ROUGHEST)))
    return section


def levels(target: Tensor, dice: Dice) -> Tensor:
    """Draw noise levels, (B,), one from each B-th, spread like the sampler's steps for as many tokens."""
    t = ((torch.arange(len(target)) + dice.many(len(target))) / len(target)).clamp_min(1e-3).to(target.device)
    shift = math.exp(flow_mu(math.prod(target.shape[2:]) // 4))
    return shift / (shift + (1 / t - 1))


def velocity_of(
    model: nn.Module,
    section: Section,
    text: Sequence[tuple[Tensor, Tensor]],
    image_embeds: Tensor,
    *,
    noise: Tensor,
    sigma: Tensor,
) -> Tensor:
    """Return the model's velocity for a section at noise levels `sigma` (B,): float32, of the target's shape."""
    level = sigma.view(-1, 1, 1, 1, 1)
    x = (1 - level) * section.target + level * noise
    velocity: Tensor = model(**transformer_inputs(section, text=text, image_embeds=image_embeds, x=x, sigma=sigma))[
        0
    ].float()
    return velocity
