"""The autoencoder's encoder is a linear map that keeps what clips are made of; its optimizer turns, not stretches."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from framepack_engine.errors import EngineError
from lab.training.data.clips import ClipMaker
from lab.training.muon import Muon, orthogonal
from lab.training.recipe import RECIPES
from lab.training.stages.autoencoder import make_vae
from lab.training.stages.transform import NOISE_STD, computed_latents, weights_in_pixels, write_transform


def clips(count: int, *, first: int = 0) -> list[Tensor]:
    """Drawn clips, (1, 3, 5, 32, 48)."""
    maker = ClipMaker(seed=21, photo_share=0)
    return [maker.clip(first + i, height=32, width=48, frames=5).frames[None] for i in range(count)]


@pytest.fixture(scope="module", params=["128", "256"])
def vae(request: pytest.FixtureRequest) -> Any:
    """Of each recipe, its encoder computed from a few clips."""
    made = make_vae(RECIPES[request.param])
    write_transform(made, clips(12))
    return made


def latents(vae: Any, frames: Tensor) -> Tensor:
    """The posterior's mean, (B, 16, 2, 4, 6)."""
    with torch.no_grad():
        mean: Tensor = vae.encode(frames).latent_dist.mean
    return mean


def test_the_encoder_is_linear_through_norms_and_activations(vae: Any) -> None:
    """Twice the contrast is twice the latents, and the latents of a sum are the sum of the latents."""
    one, other = clips(2, first=50)
    torch.testing.assert_close(latents(vae, 0.5 * one), 0.5 * latents(vae, one), atol=0.02, rtol=0.01)
    both = latents(vae, one) + latents(vae, other)
    torch.testing.assert_close(latents(vae, one + other), both, atol=0.02, rtol=0.01)


def pairs(vae: Any, frames: list[Tensor]) -> tuple[Tensor, Tensor]:
    """Latents of clips as rows of 16, and the pixels that each is of."""
    known = [latents(vae, clip)[:, :, 1].flatten(2) for clip in frames]
    wanted = [clip[:, :, 1:].unfold(3, 8, 8).unfold(4, 8, 8).permute(0, 1, 2, 5, 6, 3, 4) for clip in frames]
    rows = torch.cat([part.transpose(1, 2)[0] for part in known])
    return rows, torch.cat([part.flatten(5).flatten(1, 4).transpose(1, 2)[0] for part in wanted])


@pytest.fixture(scope="module")
def back(vae: Any) -> Tensor:
    """(16, pixels of a latent): the best linear map back, fitted on some clips."""
    solution: Tensor = torch.linalg.lstsq(*pairs(vae, clips(40, first=100))).solution
    return solution


def test_the_latents_tell_a_clip_that_was_never_seen(vae: Any, back: Tensor) -> None:
    """A linear map gives others back at 19 dB, from 48 times fewer numbers."""
    known, wanted = pairs(vae, clips(10, first=200))
    error = float(((known @ back - wanted) ** 2).mean())
    assert error < 4 * 10**-1.9
    assert float(latents(vae, torch.cat(clips(10, first=200))).square().mean()) == pytest.approx(1, abs=0.5)


def test_a_channel_weighs_what_it_does_to_pixels(vae: Any, back: Tensor) -> None:
    """The energy that a unit of each channel brings into the picture, beside the mean of all."""
    energy = back.square().sum(1)
    torch.testing.assert_close(weights_in_pixels(vae), energy / energy.mean(), rtol=0.3, atol=0.05)


def test_the_matrices_alone_are_the_encoder(vae: Any) -> None:
    """The matrices that encode the transformer's clips give the latents and the spread of the autoencoder's encoder."""
    frames = torch.cat(clips(2, first=70))
    torch.testing.assert_close(computed_latents(vae, frames), latents(vae, frames), atol=0.01, rtol=0.01)
    with torch.no_grad():
        spread = vae.encode(frames).latent_dist.std
    torch.testing.assert_close(spread, torch.full_like(spread, NOISE_STD))


@pytest.mark.parametrize("channels", [(8, 16, 32, 32), (16, 32, 64, 64)])
def test_channels_without_room_are_refused(channels: tuple[int, int, int, int]) -> None:
    """The error names the setting."""
    with pytest.raises(EngineError, match="vae_channels"):
        write_transform(make_vae(replace(RECIPES["128"], vae_channels=channels)), clips(1))


@pytest.mark.parametrize("shape", [(8, 8), (6, 40), (40, 6)])
def test_an_orthogonal_step_goes_all_ways_alike(shape: tuple[int, int]) -> None:
    """Of a matrix that stretches one way 100 times as much as another, the result stretches all about once."""
    generator = torch.Generator().manual_seed(1)
    left, _, right = torch.linalg.svd(torch.randn(*shape, generator=generator), full_matrices=False)
    stretched = left @ torch.diag(torch.logspace(0, -2, len(right))) @ right
    values = torch.linalg.svdvals(orthogonal(stretched[None]))
    assert float(values.min()) > 0.5
    assert float(values.max()) < 1.3


def test_muon_fits_a_kernel_and_its_bias() -> None:
    """Matrices of a block by their own rate, the rest by Adam's: after 60 steps a layer is nearly what it imitates."""
    torch.manual_seed(0)
    layer, wanted = nn.Conv2d(8, 8, 3), nn.Conv2d(8, 8, 3)
    named = [(f"blocks.0.{name}", weight) for name, weight in layer.named_parameters()]
    optimizer = Muon(named, rate=2e-2, matrix_rate=0.2)
    tops = [group["lr"] for group in optimizer.param_groups]
    assert sorted(tops) == [2e-2, 0.2]
    outside = Muon(layer.named_parameters(), rate=2e-2, matrix_rate=0.2)
    assert [group["lr"] for group in outside.param_groups] == [2e-2]

    def distance(name: str) -> float:
        return float(((getattr(layer, name) - getattr(wanted, name)) ** 2).mean().item())

    before = {name: distance(name) for name in ("weight", "bias")}
    for step in range(60):
        for group, top in zip(optimizer.param_groups, tops, strict=True):
            group["lr"] = top * (1 - step / 60)
        x = torch.randn(16, 8, 6, 6)
        optimizer.zero_grad()
        ((layer(x) - wanted(x).detach()) ** 2).mean().backward()
        optimizer.step()
    assert all(distance(name) < before[name] / 30 for name in before)
    with pytest.raises(TypeError, match="closure"):
        optimizer.step(lambda: 0)
