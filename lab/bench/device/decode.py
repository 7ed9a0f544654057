"""The decode of a section's windows in each mode: seconds, and the peak beside what a plan predicts."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from framepack_engine.frames.decode import Decoder
from framepack_engine.memory.budget import LiveBytes
from framepack_engine.memory.ladder import GIB, decode_work_bytes
from framepack_engine.memory.tenancy import workload_of
from framepack_engine.planning.spec import RenderSpec
from lab.bench.device.machine import clean, finish
from lab.bench.device.row import four_digits
from lab.bench.device.site import Site

_MODES: tuple[tuple[str, int | None], ...] = (("framewise", None), ("tiled", 256), ("tiled", 192), ("whole", None))


def decodes(site: Site) -> Iterator[dict[str, Any]]:
    """Decode the last section of two in each mode, twice: both windows, so that its seam is made too."""
    parts = site.make(site.device)
    size, window, (height, width) = parts.size(), site.spec.latent_window_size, site.spec.latent_size
    latents = {index: torch.randn(1, 16, window, height, width) for index in range(2)}
    start = torch.randn(1, 16, 1, height, width)
    parts.transformer, vae = None, parts.vae
    for mode, tile_px in _MODES:
        spec = replace(site.spec, sections=2, decode=mode, decode_tile_px=tile_px)
        planned = decode_work_bytes(size, workload_of(spec))
        for turn in ("first", "second"):
            clean(site.device)
            name = f"{mode}{'' if tile_px is None else f' {tile_px}'}, {turn}"
            yield {
                "part": name,
                **_decoded(site, Decoder(vae), spec, start, latents),
                "predicted_gib": four_digits(planned / GIB),
            }


def _decoded(
    site: Site, decoder: Decoder, spec: RenderSpec, start: Tensor, latents: dict[int, Tensor]
) -> dict[str, Any]:
    """Decode once. The peak is of what is computed, beside the weights."""
    before, count = 0, LiveBytes()
    if site.on_gpu:
        torch.cuda.reset_peak_memory_stats(site.device)
        before = torch.cuda.memory_allocated(site.device)
    begun = time.perf_counter()
    try:
        with nullcontext() if site.on_gpu else count:
            frames = decoder.frames(spec, 1, start, latents)
        finish(site.device)
    except Exception as err:  # noqa: BLE001 - border: the other modes are measured all the same
        return {"error": f"{type(err).__name__}: {str(err).partition(chr(10))[0][:200]}"}
    taken = time.perf_counter() - begun
    peak = torch.cuda.max_memory_allocated(site.device) - before if site.on_gpu else count.peak
    return {"s": four_digits(taken), "frames": len(frames), "peak_gib": four_digits(peak / GIB)}
