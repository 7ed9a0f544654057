"""The VAE's decoder in less memory: the same maths with fewer copies of its widest activation.

Where it is widest, diffusers' decoder holds four and a half copies at once, 14.3 GiB for 17 frames of 640x608 px; this
decoder holds 2.8. It pads and convolves strips of rows instead of whole pictures, and overwrites or frees what is not
read again. docs/decisions/0055 has the counts.
"""

from __future__ import annotations

from typing import Any

from diffusers.models.autoencoders import autoencoder_kl_hunyuan_video as hunyuan
from torch import Tensor, nn
from torch.nn.functional import interpolate, pad, silu

from framepack_engine.planning.tiles import STRIP_NUMBERS


class StripConv3d(hunyuan.HunyuanVideoCausalConv3d):
    """The causal convolution; a large input is convolved strip by strip."""

    strip_numbers = STRIP_NUMBERS  #: a count, and no share of the memory: every device cuts the same strips

    def forward(self, hidden_states: Tensor) -> Tensor:
        """(B, C, T, H, W) to (B, C', T, H, W)."""
        left, right, above, below, before, _ = self.time_causal_padding
        _, channels, frames, height, width = hidden_states.shape
        numbers = channels * (frames + before) * (width + left + right)
        rows = max(1, self.strip_numbers // numbers - above - below)
        if rows >= height or self.conv.stride != (1, 1, 1):
            whole: Tensor = super().forward(hidden_states)
            return whole
        out = hidden_states.new_empty((len(hidden_states), self.conv.out_channels, frames, height, width))
        for top in range(0, height, rows):
            bottom = min(top + rows, height)
            strip = hidden_states[..., max(0, top - above) : min(height, bottom + below), :]
            edges = (max(0, above - top), max(0, bottom + below - height))
            out[..., top:bottom, :] = self.conv(pad(strip, (left, right, *edges, before, 0), mode=self.pad_mode))
        return out


class FrugalResnet(hunyuan.HunyuanVideoResnetBlockCausal3D):
    """The residual block; activations are computed in place."""

    def forward(self, hidden_states: Tensor) -> Tensor:
        """(B, C, T, H, W) to (B, C', T, H, W)."""
        residual = hidden_states.contiguous()
        made: Tensor = self.conv1(silu(self.norm1(residual), inplace=True))
        made = self.norm2(made)
        made = self.conv2(silu(made, inplace=True))
        return made.add_(residual if self.conv_shortcut is None else self.conv_shortcut(residual))


class FrugalUpsample(hunyuan.HunyuanVideoUpsampleCausal3D):
    """The upsampler; each frame is written to its place at once. The first frame is not doubled in time."""

    def forward(self, hidden_states: Tensor) -> Tensor:
        """(B, C, T, H, W) to (B, C', 1 + (T - 1) * factor, factor * H, factor * W)."""
        times = int(self.upsample_factor[0])
        batch, channels, frames, height, width = hidden_states.shape
        tall, wide = int(height * self.upsample_factor[1]), int(width * self.upsample_factor[2])
        large = hidden_states.new_empty((batch, channels, 1 + (frames - 1) * times, tall, wide))
        for frame in range(frames):
            begin = 1 + (frame - 1) * times if frame else 0
            picture = interpolate(hidden_states[:, :, frame], size=(tall, wide), mode="nearest")
            large[:, :, begin : begin + (times if frame else 1)] = picture.unsqueeze(2)
        made: Tensor = self.conv(large)
        return made


_FRUGAL: dict[type, type] = {
    hunyuan.HunyuanVideoCausalConv3d: StripConv3d,
    hunyuan.HunyuanVideoResnetBlockCausal3D: FrugalResnet,
    hunyuan.HunyuanVideoUpsampleCausal3D: FrugalUpsample,
}


def spare_memory(decoder: nn.Module) -> None:
    """Let a HunyuanVideo decoder compute in less memory; its weights, names and state dict stay as they are.

    For inference only: what was overwritten cannot be differentiated.
    """
    for module in decoder.modules():
        frugal: Any = _FRUGAL.get(type(module))
        if frugal is not None:
            module.__class__ = frugal
        elif type(module) is nn.SiLU:
            module.inplace = True
