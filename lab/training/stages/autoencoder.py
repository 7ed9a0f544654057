"""Stage `vae`: a small AutoencoderKLHunyuanVideo. Its encoder is computed; its decoder learns to restore clips."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from lab.training.data.clips import ClipMaker
from lab.training.data.pictures import Dice
from lab.training.recipe import Cut, Recipe
from lab.training.stages.transform import LATENTS, write_transform

_GRADIENT_WEIGHT = 1.0
_SCALES = 3  #: resolutions at which edges are compared
_MEASURED_CLIPS = 6  #: the scaling factor is taken from so many
_SEEN_CLIPS = 100  #: the encoder's transform is computed from so many


def make_vae(recipe: Recipe) -> Any:
    """Make the autoencoder with random weights, float32; the decoder's residual branches begin at zero.

    No attention: on a CPU it would cost more than all the rest.
    """
    from diffusers import AutoencoderKLHunyuanVideo

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        vae: Any = AutoencoderKLHunyuanVideo(
            block_out_channels=recipe.vae_channels,
            layers_per_block=1,
            norm_num_groups=4,
            mid_block_add_attention=False,
        )
    for name, weight in vae.decoder.named_parameters():
        if ".conv2." in name:
            nn.init.zeros_(weight)
    return vae


class Autoencoding(nn.Module):
    """Encodes, draws from the posterior and decodes in one forward, which accelerate can wrap. The encoder is fixed."""

    def __init__(self, vae: Any) -> None:
        super().__init__()
        self.vae = vae
        for part in (vae.encoder, vae.quant_conv, vae.post_quant_conv):
            part.requires_grad_(requires_grad=False)

    def forward(self, frames: Tensor, noise: Tensor) -> Tensor:
        """frames: (B, 3, T, H, W); noise: of the latents' shape. Returns: the frames again."""
        with torch.no_grad():
            posterior = self.vae.encode(frames).latent_dist
            latents = posterior.mean + posterior.std * noise.to(posterior.mean.dtype)
        again: Tensor = self.vae.decode(latents).sample
        return again


class AutoencoderStage:
    """Reconstruction, and edges at several scales, from the latents of an encoder in closed form."""

    name = "vae"

    def __init__(self, recipe: Recipe, *, device: str, photo_share: float = 0.45) -> None:
        self._recipe, self._device = recipe, device
        self._clips = ClipMaker(seed=recipe.seed, device=device, photo_share=photo_share)
        vae = make_vae(recipe)
        vae.use_framewise_encoding = vae.use_framewise_decoding = False
        side = recipe.resolution
        seen = (self._clips.clip(-100 - i, height=side, width=side, frames=9).frames for i in range(_SEEN_CLIPS))
        write_transform(vae, [frames[None].cpu() for frames in seen])
        model: Any = Autoencoding(vae)  # torch's own types do not know this format of modules
        self.model: nn.Module = model.to(memory_format=torch.channels_last_3d)

    def loss(self, model: nn.Module, step: int, rank: int, world: int) -> dict[str, Tensor]:
        """Compute the loss of this step's and process' pieces of clips."""
        number = step * world + rank
        cut = self._recipe.vae_cuts[step % len(self._recipe.vae_cuts)]
        frames = self.pieces(cut, number)
        shape = (len(frames), LATENTS, (cut.frames + 3) // 4, cut.side_px // 8, cut.side_px // 8)
        noise = Dice(self._recipe.seed, 1, number).normal(*shape).to(frames.device)
        again = model(frames.contiguous(memory_format=torch.channels_last_3d), noise).float()
        pixels = (again - frames).abs().mean()
        edges = edge_difference(again, frames)
        total = pixels + _GRADIENT_WEIGHT * edges
        mse = ((again.detach().clamp(-1, 1) - frames) ** 2).mean() / 4
        return {"loss": total, "pixels": pixels, "edges": edges, "psnr": -10 * torch.log10(mse + 1e-8)}

    def pieces(self, cut: Cut, number: int) -> Tensor:
        """(count, 3, T, side, side): two pieces of each clip, clips of the recipe's resolution."""
        view, made = max(self._recipe.resolution, cut.side_px), list[Tensor]()
        dice = Dice(self._recipe.seed, 2, number)
        while len(made) < cut.count:
            index = number * 64 + len(made)
            clip = self._clips.clip(index, height=view, width=view, frames=cut.frames, every=dice.whole(1, 2))
            for _ in range(min(2 if cut.side_px < view else 1, cut.count - len(made))):
                top, left = dice.whole(0, view - cut.side_px), dice.whole(0, view - cut.side_px)
                made.append(clip.frames[:, :, top : top + cut.side_px, left : left + cut.side_px])
        return torch.stack(made)


def edge_difference(one: Tensor, other: Tensor) -> Tensor:
    """Mean absolute difference of horizontal and vertical steps between pixels, at full, half and quarter size."""
    one, other = one.transpose(1, 2).flatten(0, 1), other.transpose(1, 2).flatten(0, 1)
    total = one.new_zeros(())
    for scale in range(_SCALES):
        if scale:
            one, other = functional.avg_pool2d(one, 2), functional.avg_pool2d(other, 2)
        for axis in (2, 3):
            total = total + (one.diff(dim=axis) - other.diff(dim=axis)).abs().mean()
    return total / (2 * _SCALES)


@torch.no_grad()
def measured_scaling(vae: Any, recipe: Recipe, clips: ClipMaker) -> float:
    """Measure the config's scaling_factor, which brings latents to a standard deviation of 1."""
    squares, count = 0.0, 0
    for i in range(_MEASURED_CLIPS):
        side = recipe.resolution
        frames = clips.clip(-1 - i, height=side, width=side, frames=17).frames[None]
        latents = vae.encode(frames.to(vae.device, vae.dtype)).latent_dist.mean.float()
        squares += float((latents**2).sum())
        count += latents.numel()
    return math.sqrt(count / squares)
