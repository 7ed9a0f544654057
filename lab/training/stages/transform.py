"""The autoencoder's encoder in closed form: principal components of blocks of pixels, written into its convolutions.

Three levels, as the encoder halves: 2x2 pixels, then twice 2x2 places of 2 moments. Each keeps the directions in which
clips vary most; the last ones are the 16 latents, whitened halfway. Every block of the encoder is then a linear map:
residual branches are zero, and the last normalisation sees constants so large that the picture cannot change it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from framepack_engine.errors import EngineError

LATENTS = 16
_IN_TIME = (False, True, True)  #: whether a level halves time as well; space is halved by all
_CONSTANT = 100.0  #: beside latents of about 1
NOISE_STD = 0.05  #: of the posterior, in latents of about 1


def blocks(x: Tensor, *, in_time: bool) -> Tensor:
    """Gather neighbours of 2x2, and of 2 moments after the first, as one vector: (B, T', H/2, W/2, C·n).

    in_time: T is 1 + 2n; the first frame makes a pair with itself, as a causal convolution sees it.
    """
    x = torch.cat([x[:, :, :1], x], dim=2) if in_time else x
    batch, channels, frames, height, width = x.shape
    depth = 2 if in_time else 1
    cut = x.reshape(batch, channels, frames // depth, depth, height // 2, 2, width // 2, 2)
    return cut.permute(0, 2, 4, 6, 1, 3, 5, 7).flatten(4)


def principal(clips: Sequence[Tensor], *, kept: int, in_time: bool) -> tuple[Tensor, Tensor]:
    """Return orthonormal rows (kept, C·n) and their mean squares, largest first, with fixed signs."""
    width = blocks(clips[0], in_time=in_time).shape[-1]
    moments, count = torch.zeros(width, width, dtype=torch.float64), 0
    for clip in clips:
        vectors = blocks(clip, in_time=in_time).flatten(0, 3).double()
        moments += vectors.T @ vectors
        count += len(vectors)
    squares, rows = torch.linalg.eigh(moments / count)
    rows = rows.T.flip(0)[:kept]
    signs = rows.gather(1, rows.abs().argmax(1, keepdim=True)).sign()
    return (rows * signs).float(), squares.flip(0)[:kept].float()


def write_transform(vae: Any, clips: Sequence[Tensor]) -> None:
    """Give the encoder of `vae` the principal components of `clips`, each (1, 3, 1 + 4n, H, W) in [-1, 1].

    Raises: EngineError where the autoencoder's channels have no room for it.
    """
    channels, groups = vae.config.block_out_channels, vae.config.norm_num_groups
    room = channels[-1] // groups - 2 * LATENTS // groups
    if channels[1] < channels[0] or channels[2] < LATENTS or channels[2] == channels[3] or room < 2 or room % 2:
        raise EngineError(f"vae_channels={channels}: the encoder's transform does not fit into them")
    encoder, level = vae.encoder, list(clips)
    with torch.no_grad():
        for name, weight in encoder.named_parameters():
            if ".conv2." in name or name.endswith(".bias"):
                weight.zero_()
        _write(encoder.conv_in.conv, torch.eye(channels[0], 3), taps=[(2, 1, 1)])
        squares = torch.ones(LATENTS)
        for block, kept, in_time in zip(
            encoder.down_blocks, (min(channels[0], 12), channels[1], LATENTS), _IN_TIME, strict=False
        ):
            rows, squares = principal(level, kept=kept, in_time=in_time)
            shortcut = block.resnets[0].conv_shortcut
            if shortcut is not None:
                _write(
                    shortcut.conv, torch.eye(shortcut.conv.out_channels, shortcut.conv.in_channels), taps=[(0, 0, 0)]
                )
            moments = (1, 2) if in_time else (2,)
            _write(
                block.downsamplers[0].conv.conv, rows, taps=[(t, y, x) for t in moments for y in (1, 2) for x in (1, 2)]
            )
            level = [(blocks(clip, in_time=in_time) @ rows.T).permute(0, 4, 1, 2, 3) for clip in level]
        _write_end(encoder, vae.quant_conv, squares, groups=groups)
        _write(vae.post_quant_conv, torch.eye(LATENTS), taps=[(0, 0, 0)])


@torch.no_grad()
def computed_latents(vae: Any, frames: Tensor) -> Tensor:
    """Return the means that the encoder of `write_transform` gives: (B, 3, 1 + 4n, H, W) to (B, 16, 1 + n, H/8, W/8).

    This applies its four matrices without the layers in between, which change nothing: 18 times as fast on a CPU
    (docs/decisions/0062).
    """
    encoder, x = vae.encoder, frames
    for block, in_time in zip(encoder.down_blocks, _IN_TIME, strict=False):
        weight = block.downsamplers[0].conv.conv.weight
        rows = weight[:, : x.shape[1], 1 if in_time else 2 :, 1:, 1:].flatten(1)
        x = (blocks(x, in_time=in_time) @ rows.T).permute(0, 4, 1, 2, 3)
    latents: Tensor = x[:, :LATENTS] * _gains(encoder)[:, None, None, None]
    return latents


@torch.no_grad()
def weights_in_pixels(vae: Any) -> Tensor:
    """Return how much a squared error of each latent channel counts in pixels, (16,), relative to the mean.

    `write_transform` gives all latents one size, but a third of a picture's energy is in the first channel.
    """
    energy = _gains(vae.encoder) ** -2
    weights: Tensor = energy / energy.mean()
    return weights


def _gains(encoder: Any) -> Tensor:
    """Return the factors that bring each component to a mean square of 1."""
    gains: Tensor = encoder.down_blocks[-1].resnets[0].conv_shortcut.conv.weight[:, :LATENTS, 0, 0, 0].amax(0)
    return gains


def _write(conv: nn.Conv3d, rows: Tensor, *, taps: Sequence[tuple[int, int, int]]) -> None:
    """Make a convolution apply the linear map `rows` (out, in·taps) to these taps, and zero to all others."""
    conv.weight.zero_()
    if conv.bias is not None:
        conv.bias.zero_()
    kernel = rows.view(len(rows), -1, len(taps))
    for number, (t, y, x) in enumerate(taps):
        conv.weight[: len(rows), : kernel.shape[1], t, y, x] = kernel[:, :, number]


def _write_end(encoder: Any, quant: nn.Conv3d, squares: Tensor, *, groups: int) -> None:
    """Pass the latents through the last normalisation and SiLU unchanged: silu(x) - silu(-x) is x.

    Each group of channels has some latents, the same ones negated, and as many constants of each sign as there is room
    for: its mean is 0 and its deviation the constants'.
    """
    shortcut, norm, out = encoder.down_blocks[-1].resnets[0].conv_shortcut.conv, encoder.conv_norm_out, encoder.conv_out
    _write(shortcut, torch.zeros(shortcut.out_channels, shortcut.in_channels), taps=[(0, 0, 0)])
    _write(out.conv, torch.zeros(out.conv.out_channels, out.conv.in_channels), taps=[(2, 1, 1)])
    norm.weight.zero_()
    norm.bias.zero_()
    each, width = LATENTS // groups, shortcut.out_channels // groups
    spare = width - 2 * each
    gains = squares.clamp_min(1e-8) ** -0.25  # the deviations' roots are left in
    gains = gains / math.sqrt(float((squares * gains**2).mean()))
    for latent in range(LATENTS):
        group, place = divmod(latent, each)
        for sign, channel in ((1.0, group * width + place), (-1.0, group * width + each + place)):
            shortcut.weight[channel, latent] = sign * gains[latent]
            norm.weight[channel] = _CONSTANT * math.sqrt(spare / width)
            out.conv.weight[latent, channel, 2, 1, 1] = sign
    for group in range(groups):
        middle = group * width + 2 * each + spare // 2
        shortcut.bias[middle - spare // 2 : middle] = _CONSTANT
        shortcut.bias[middle : middle + spare // 2] = -_CONSTANT
    out.conv.bias[LATENTS:] = 2 * math.log(NOISE_STD)
    _write(quant, torch.eye(2 * LATENTS), taps=[(0, 0, 0)])
