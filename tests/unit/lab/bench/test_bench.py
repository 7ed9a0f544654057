"""The counts of `framefarm bench engine` are true."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from framepack_engine import Models
from framepack_engine.frames.decode import Decoder
from framepack_engine.planning.sections import Kind, decode_needs
from lab.bench.engine import count_render, small_spec, step_overhead

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.mark.parametrize("scale", [1.0, 2.0])
def test_nothing_is_done_twice(tiny_models: Models, scale: float) -> None:
    """As many forwards as planned, each frame encoded once, each latent decoded less than twice; no hook stays."""
    spec = small_spec("i2v", 4, window=2, true_cfg_scale=scale)
    counts = count_render(tiny_models, spec)
    assert counts.forwards == counts.planned_forwards == 4 * 2 * scale
    assert counts.frames_encoded == counts.frames_delivered == spec.frames
    assert 1 < counts.latents_decoded / counts.latents_delivered < 2
    assert count_render(tiny_models, spec) == counts
    assert counts.row()["encoded_per_frame"] == 1.0
    assert "decode" not in vars(tiny_models.vae)


@pytest.mark.parametrize("kind", ["i2v", "f1"])
def test_the_cold_count_is_what_cold_decoders_do(tiny_models: Models, kind: Kind) -> None:
    """Each section decoded by a worker that has nothing warm."""
    spec = replace(small_spec("i2v", 4, window=2), kind=kind)
    made = {k: torch.randn(1, 16, 2, 8, 8) for k in range(4)}
    windows: list[int] = []
    vae = tiny_models.vae

    def decode(latents: torch.Tensor, **options: bool) -> object:
        windows.append(latents.shape[2])
        return type(vae).decode(vae, latents, **options)

    vae.decode = decode
    try:
        for k in range(4):
            if decode_needs(kind, 4, k):
                Decoder(vae).frames(spec, k, torch.randn(1, 16, 1, 8, 8), made)
    finally:
        del vae.decode
    assert sum(windows) == count_render(tiny_models, spec).latents_decoded_cold


def test_a_step_is_timed_beside_its_forward(tiny_models: Models) -> None:
    """One time a step after the first; the median is no less than the least."""
    found = step_overhead(tiny_models, height=64, width=64, steps=4)
    assert (found.steps, found.threads) == (3, 1)
    assert 0 < found.least_ms <= found.median_ms
    assert found.row()["height"] == 64
