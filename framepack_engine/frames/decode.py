"""From latents to final frames: decode a window of two sections, cross-fade the seam, return what cannot change."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from framepack_engine.errors import ArtifactMismatch, BlackFrames, NotFinite
from framepack_engine.models.host import available_bytes
from framepack_engine.planning.sections import decode_needs, seam_frames, window_has_start, window_sections
from framepack_engine.planning.spec import RenderSpec
from framepack_engine.planning.tiles import TILE_DEFAULT_PX, choose_tile_px


def crossfade(earlier: Tensor, later: Tensor) -> Tensor:
    """Fade (B, 3, T, H, W) frames of the earlier clip into the frames of the later clip at the same times.

    The weight of `earlier` falls linearly from 1 to 0, both ends included; a single frame is the earlier clip's.

    Source: lllyasviel/FramePack diffusers_helper/utils.py (soft_append_bcthw).
    """
    weight = torch.linspace(1, 0, earlier.shape[2], dtype=earlier.dtype, device=earlier.device).view(1, 1, -1, 1, 1)
    return weight * earlier + (1 - weight) * later


def to_uint8(pixels: Tensor) -> Tensor:
    """Turn (1, 3, T, H, W) in [-1, 1] into (T, H, W, 3) uint8, truncated as in the reference."""
    frames = (pixels.clamp(-1, 1) * 127.5 + 127.5).to(torch.uint8)
    return frames[0].permute(1, 2, 3, 0).contiguous()


def assemble(spec: RenderSpec, index: int, window: Tensor, seam: Tensor | None) -> Tensor:
    """Return the final pixel frames of section `index`, from its decoded window and the seam of the window before.

    window: (1, 3, T, H, W). seam: the part of the previous section's window that overlaps with it, (1, 3, 4w-3, H, W);
    None for the first section. Returns: (1, 3, final_frames[index], H, W).
    """
    overlap, last = seam_frames(spec.latent_window_size), index == spec.sections - 1
    if seam is None:
        window = window[:, :, int(spec.continues) :]  # the other video ends with the start frame
        if last:
            return window
        return window[:, :, :-overlap] if spec.kind == "f1" else window[:, :, :0]
    if spec.kind == "f1":
        joined = torch.cat([crossfade(seam, window[:, :, :overlap]), window[:, :, overlap:]], dim=2)
        return joined if last else joined[:, :, :-overlap]
    joined = torch.cat([window[:, :, :-overlap], crossfade(window[:, :, -overlap:], seam)], dim=2)
    return joined if last else joined[:, :, overlap:]


@dataclass(frozen=True, slots=True)
class _Seam:
    """The overlap with the next window; `key` is a digest of the latents that it was decoded from."""

    key: bytes
    pixels: Tensor


class Decoder:
    """An AutoencoderKLHunyuanVideo, and the seam of the window that it decoded last.

    Frames are blended in float32 on the CPU: only the decode depends on the device.
    """

    def __init__(self, vae: Any) -> None:
        from framepack_engine.frames.frugal_decode import spare_memory  # loads diffusers: seconds

        self._vae = vae.eval().requires_grad_(requires_grad=False)
        spare_memory(vae.decoder)
        self._warm: _Seam | None = None

    def tile_px(self) -> int:
        """Return the largest tile that fits into half of the memory now free on the VAE's device.

        Tiles of another size give other bits.
        """
        parameter = next(self._vae.parameters())
        if parameter.device.type == "cuda":
            free, _ = torch.cuda.mem_get_info(parameter.device)
            free += torch.cuda.memory_reserved(parameter.device) - torch.cuda.memory_allocated(parameter.device)
        else:
            free = available_bytes()
        channels = self._vae.config.block_out_channels[1]
        return choose_tile_px(free, channels=channels, itemsize=parameter.element_size())

    @torch.no_grad()
    def frames(self, spec: RenderSpec, index: int, start: Tensor, latents: Mapping[int, Tensor]) -> Tensor:
        """Decode the frames that section `index` makes final, (T, H, W, 3) uint8 on the CPU; T may be 0.

        start: (1, 16, 1, h, w), of the start image. latents: at least the sections of `decode_needs`. The seam with the
        section before is kept from the last call or decoded again; the bits are the same.

        Raises: ArtifactMismatch naming the missing sections, NotFinite, BlackFrames.
        """
        if not 0 <= index < spec.sections:
            raise ArtifactMismatch(f"section {index} of a video with {spec.sections} sections")
        needs = decode_needs(spec.kind, spec.sections, index)
        missing = sorted(set(needs) - set(latents))
        if missing:
            raise ArtifactMismatch(f"decoding section {index} also needs the latents of sections {missing}")
        if not needs:
            return torch.zeros((0, spec.height, spec.width, 3), dtype=torch.uint8)
        seam = self._seam(spec, index - 1, start, latents) if index else None
        pixels = assemble(spec, index, self._decoded(spec, index, start, latents), seam)
        frames = to_uint8(pixels)
        if not frames.any():
            raise BlackFrames(f"all {len(frames)} frames of section {index} are black", section=index)
        return frames

    def _seam(self, spec: RenderSpec, index: int, start: Tensor, latents: Mapping[int, Tensor]) -> Tensor:
        key = _digest(spec, _window(spec, index, start, latents))
        if self._warm is None or self._warm.key != key:
            self._decoded(spec, index, start, latents)
        if self._warm is None or self._warm.key != key:
            raise ArtifactMismatch(f"section {index} cannot be decoded: its latents are not of this video")
        return self._warm.pixels

    def _decoded(self, spec: RenderSpec, index: int, start: Tensor, latents: Mapping[int, Tensor]) -> Tensor:
        """Decode the window of section `index` to (1, 3, T, H, W) float32 and keep its seam for the next section."""
        window = _window(spec, index, start, latents)
        vae, parameter = self._vae, next(self._vae.parameters())
        _set_mode(vae, spec)
        scaled = window.to(parameter.device, parameter.dtype) / vae.config.scaling_factor
        pixels: Tensor = vae.decode(scaled, return_dict=False)[0].float().cpu()
        if not bool(torch.isfinite(pixels).all()):
            raise NotFinite(f"decoding section {index} gave NaN or infinity", section=index)
        overlap = seam_frames(spec.latent_window_size)
        kept = pixels[:, :, -overlap:] if spec.kind == "f1" else pixels[:, :, :overlap]
        self._warm = _Seam(_digest(spec, window), kept.clone())
        return pixels


def _set_mode(vae: Any, spec: RenderSpec) -> None:
    """Let the VAE decode as `spec` says: its settings are those of the last video."""
    tile_px = spec.decode_tile_px or TILE_DEFAULT_PX
    vae.use_framewise_decoding, vae.use_tiling, vae.use_slicing = spec.decode != "whole", spec.decode == "tiled", False
    vae.tile_sample_min_height = vae.tile_sample_min_width = tile_px
    vae.tile_sample_stride_height = vae.tile_sample_stride_width = tile_px * 3 // 4


def _window(spec: RenderSpec, index: int, start: Tensor, latents: Mapping[int, Tensor]) -> Tensor:
    """The latents that are decoded together after section `index`, in time order, float32 on the CPU."""
    parts = [latents[k] for k in window_sections(spec.kind, index)]
    if window_has_start(spec.kind, spec.sections, index):
        parts.insert(0, start)
    return torch.cat([part.detach().float().cpu() for part in parts], dim=2)


def _digest(spec: RenderSpec, window: Tensor) -> bytes:
    return hashlib.sha256(
        f"{spec.kind} {spec.decode} {spec.decode_tile_px} {tuple(window.shape)}".encode() + window.numpy().tobytes()
    ).digest()
