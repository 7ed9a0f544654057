"""The decoder that spares memory: diffusers' bits by any strips, and no more memory than is said."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch

from framepack_engine.frames.frugal_decode import FrugalResnet, StripConv3d, spare_memory
from framepack_engine.memory.budget import LiveBytes
from framepack_engine.models.shelf import Models
from framepack_engine.planning.tiles import picture_bytes

CHANNELS = 256  #: of the official VAE's widest activation


@pytest.fixture(scope="module")
def official() -> Any:
    """HunyuanVideo's VAE on the meta device, sparing."""
    from diffusers import AutoencoderKLHunyuanVideo

    with torch.device("meta"):
        vae = AutoencoderKLHunyuanVideo().to(torch.float16).eval()
    spare_memory(vae.decoder)
    return vae


@pytest.fixture
def no_scores(monkeypatch: pytest.MonkeyPatch) -> None:
    """Attention on the meta device would make the matrix of scores, which no kernel of ours does."""
    monkeypatch.setattr(torch.nn.functional, "scaled_dot_product_attention", lambda q, *_, **__: torch.empty_like(q))


def plain_and_sparing(models: Models) -> tuple[Any, Any]:
    """A fresh decoder as diffusers has it, and the same with our classes."""
    from diffusers import AutoencoderKLHunyuanVideo

    plain = AutoencoderKLHunyuanVideo.from_config(models.vae.config).eval().requires_grad_(requires_grad=False)
    plain.load_state_dict(models.vae.state_dict())
    sparing = copy.deepcopy(plain)
    spare_memory(sparing.decoder)
    return plain, sparing


@pytest.mark.parametrize("numbers", [1 << 28, 1 << 16, 1 << 13, 1])
def test_strips_change_no_bit(tiny_models: Models, numbers: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whole, in a few strips, in strips of one row: what diffusers' own decoder gives; one frame too.

    Of one row, which no picture is cut into, oneDNN may choose another kernel (seen on an AMD EPYC): near, then.
    """
    monkeypatch.setattr(StripConv3d, "strip_numbers", numbers)
    plain, sparing = plain_and_sparing(tiny_models)
    generator = torch.Generator().manual_seed(1)
    for frames, height, width in ((5, 6, 10), (1, 7, 4)):
        latents = torch.randn(1, 16, frames, height, width, generator=generator)
        with torch.no_grad():
            ours, theirs = sparing.decode(latents)[0], plain.decode(latents)[0]
        assert torch.equal(ours, theirs) or numbers == 1
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)


def test_weights_and_names_stay(tiny_models: Models) -> None:
    """A state dict goes in and out as before; doing it twice is doing it once, and the encoder is left alone."""
    plain, sparing = plain_and_sparing(tiny_models)
    spare_memory(sparing.decoder)
    assert sparing.state_dict().keys() == plain.state_dict().keys()
    assert type(sparing.decoder.mid_block.resnets[0]) is FrugalResnet
    assert type(sparing.encoder.mid_block.resnets[0]) is type(plain.encoder.mid_block.resnets[0])


@pytest.mark.parametrize(
    ("size", "window", "most"),
    [((608, 640), 9, 1.2), ((416, 960), 33, 1.2), ((320, 320), 9, 1.6), ((960, 960), 9, 1.1)],
)
def test_a_decode_takes_what_is_said(
    official: Any, no_scores: None, size: tuple[int, int], window: int, most: float
) -> None:
    """Two sections of the real architecture, counted tensor by tensor: never more than predicted, nor far less."""
    height, width = size
    latents = torch.empty(1, 16, 2 * window, height // 8, width // 8, dtype=torch.float16, device="meta")
    with torch.no_grad(), LiveBytes() as count:
        official.decode(latents, return_dict=False)
    predicted = picture_bytes(height, width, frames=8 * window - 3, channels=CHANNELS, itemsize=2)
    assert count.peak <= predicted <= most * count.peak
