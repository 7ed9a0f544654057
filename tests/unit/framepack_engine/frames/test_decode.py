"""Frames leave in runs that never change again: the same ones as if the whole video were blended at the end."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from framepack_engine.conformance import load_case_model
from framepack_engine.errors import ArtifactMismatch, BlackFrames, InvalidSpec, NotFinite
from framepack_engine.frames.decode import Decoder, assemble, crossfade, to_uint8
from framepack_engine.planning.sections import (
    Kind,
    decode_needs,
    final_frames,
    seam_frames,
    sections_for,
    time_order,
    window_has_start,
    window_sections,
)
from framepack_engine.planning.spec import RenderSpec
from framepack_engine.planning.tiles import TILE_SIZES_PX, choose_tile_px, tile_bytes
from tests.imports import ROOT

pytestmark = pytest.mark.usefixtures("one_thread")

MODEL = ROOT / "tests" / "golden" / "tiny_model"
START = torch.randn((1, 16, 1, 4, 6), generator=torch.Generator().manual_seed(9))


def spec(
    kind: Kind,
    sections: int,
    window: int,
    *,
    decode: str = "framewise",
    decode_tile_px: int | None = None,
    height: int = 32,
    width: int = 48,
) -> RenderSpec:
    """A video, by default of 32x48 px."""
    return RenderSpec(
        kind=kind,
        sections=sections,
        height=height,
        width=width,
        seed=1,
        prompt="",
        latent_window_size=window,
        decode=decode,
        decode_tile_px=decode_tile_px,
    )


def latents(sections: int, window: int) -> dict[int, Tensor]:
    """Made-up latents of all sections."""
    generator = torch.Generator().manual_seed(3)
    return {k: torch.randn((1, 16, window, 4, 6), generator=generator) for k in range(sections)}


def window_frames(video: RenderSpec, k: int) -> int:
    """Pixel frames of the decode window of section k."""
    count = len(window_sections(video.kind, k)) * video.latent_window_size
    return 4 * (count + window_has_start(video.kind, video.sections, k)) - 3


def blended_whole(video: RenderSpec, windows: list[Tensor]) -> Tensor:
    """As the reference does it: keep every pixel, append window after window."""
    whole, overlap = windows[0], seam_frames(video.latent_window_size)
    for window in windows[1:]:
        earlier, later = (whole, window) if video.kind == "f1" else (window, whole)
        seam = crossfade(earlier[:, :, -overlap:], later[:, :, :overlap])
        whole = torch.cat([earlier[:, :, :-overlap], seam, later[:, :, overlap:]], dim=2)
    return whole


@given(st.sampled_from(["i2v", "f1"]), st.integers(1, 7), st.integers(1, 33))
def test_streamed_blending_is_whole_blending(kind: Kind, sections: int, window: int) -> None:
    """The runs of final frames, put in time order, are the whole video bit for bit, and as long as planned."""
    video, overlap = spec(kind, sections, window), seam_frames(window)
    generator = torch.Generator().manual_seed(sections)
    windows = [torch.randn((1, 3, window_frames(video, k), 1, 1), generator=generator) for k in range(sections)]
    seams = [None, *(w[:, :, -overlap:] if kind == "f1" else w[:, :, :overlap] for w in windows[:-1])]
    runs = [assemble(video, k, windows[k], seams[k]) for k in range(sections)]
    assert tuple(run.shape[2] for run in runs) == final_frames(kind, sections, window)
    streamed = torch.cat([runs[k] for k in time_order(kind, sections)], dim=2)
    assert torch.equal(streamed, blended_whole(video, windows))


@given(st.sampled_from(["i2v", "f1"]), st.floats(0.1, 600), st.integers(1, 33))
@settings(max_examples=25)
def test_long_videos_lose_and_repeat_no_frame(kind: Kind, seconds: float, window: int) -> None:
    """Up to 600 s: with pixels that tell their own time the runs put together count up without a gap."""
    video = spec(kind, sections_for(seconds, window=window), window)
    per_section, overlap, clips, seam = 4 * window, seam_frames(window), [], None
    for k in range(video.sections):
        before = max(k - 1, 0) if kind == "f1" else video.sections - 1 - k
        # a window's first latent decodes to the last of the four frames that it stands for, but the start's to its one
        first = 0 if window_has_start(kind, video.sections, k) else 4 + before * per_section
        decoded = torch.arange(first, first + window_frames(video, k), dtype=torch.float64).view(1, 1, -1, 1, 1)
        run = assemble(video, k, decoded, seam)
        clips.append(run[0, 0, :, 0, 0])
        seam = decoded[:, :, -overlap:] if kind == "f1" else decoded[:, :, :overlap]
    times = torch.cat([clips[k] for k in time_order(kind, video.sections)])
    assert len(times) == video.frames
    assert float((times[1:] - times[:-1] - 1).abs().max()) < 1e-6


@given(st.integers(1, 33), st.integers(0, 1000))
def test_a_crossfade_never_leaves_its_clips(window: int, seed: int) -> None:
    """Every pixel lies between the two clips', it begins as the earlier and ends as the later one, at any window."""
    shape = (1, 3, seam_frames(window), 2, 2)
    generator = torch.Generator().manual_seed(seed)
    earlier, later = torch.rand(shape, generator=generator), torch.rand(shape, generator=generator)
    mixed = crossfade(earlier, later)
    assert bool((mixed >= torch.minimum(earlier, later) - 1e-6).all())
    assert bool((mixed <= torch.maximum(earlier, later) + 1e-6).all())
    assert torch.equal(mixed[:, :, 0], earlier[:, :, 0])
    assert window == 1 or torch.equal(mixed[:, :, -1], later[:, :, -1])
    assert torch.allclose(crossfade(earlier, earlier), earlier)


def test_a_crossfade_starts_with_the_earlier_clip() -> None:
    """Weights go from wholly earlier to wholly later; a single shared frame is the earlier clip's."""
    earlier, later = torch.ones(1, 3, 5, 1, 1), torch.zeros(1, 3, 5, 1, 1)
    assert crossfade(earlier, later)[0, 0, :, 0, 0].tolist() == pytest.approx([1.0, 0.75, 0.5, 0.25, 0.0])
    assert crossfade(earlier[:, :, :1], later[:, :, :1]).tolist() == earlier[:, :, :1].tolist()


def test_pixels_are_truncated() -> None:
    """-1 to 1 becomes 0 to 255, cut off, not rounded, and clamped beyond."""
    pixels = torch.tensor([-2.0, -1.0, 0.0, 0.999, 1.0, 3.0]).view(1, 1, 6, 1, 1).repeat(1, 3, 1, 1, 1)
    assert to_uint8(pixels)[:, 0, 0, 0].tolist() == [0, 0, 127, 254, 255, 255]


@pytest.mark.parametrize("kind", ["i2v", "f1"])
@pytest.mark.parametrize("window", [1, 2])
def test_a_cold_decoder_gives_the_bits_of_a_warm_one(kind: Kind, window: int) -> None:
    """A section may be decoded anywhere: with the seam kept warm, or with nothing but three sections' latents."""
    video, made = spec(kind, 4, window), latents(4, window)
    vae = load_case_model(MODEL).vae
    warm = Decoder(vae)
    for k, count in enumerate(final_frames(kind, 4, window)):
        mine = warm.frames(video, k, START, made)
        needed = {n: made[n] for n in decode_needs(kind, 4, k)}
        assert torch.equal(mine, Decoder(vae).frames(video, k, START, needed))
        assert mine.shape == (count, 32, 48, 3)


def test_a_seam_of_another_video_is_never_used() -> None:
    """One decoder serves videos in turn: what it kept warm of one cannot leak into the next."""
    video, one = spec("i2v", 3, 1), latents(3, 1)
    other = {k: made * 0.5 for k, made in one.items()}
    vae = load_case_model(MODEL).vae
    decoder = Decoder(vae)
    decoder.frames(video, 1, START, one)
    assert torch.equal(decoder.frames(video, 2, START, other), Decoder(vae).frames(video, 2, START, other))


def test_decode_modes_differ_and_are_kept_apart() -> None:
    """Tiled decoding is another mode: asking for it does not change what framewise gives afterwards."""
    vae = load_case_model(MODEL).vae
    decoder, made = Decoder(vae), latents(1, 1)
    before = decoder.frames(spec("i2v", 1, 1), 0, START, made)
    tiled = decoder.frames(spec("i2v", 1, 1, decode="tiled"), 0, START, made)
    assert tiled.shape == before.shape
    assert torch.equal(decoder.frames(spec("i2v", 1, 1), 0, START, made), before)


MODES = [("framewise", None), ("tiled", 64), ("tiled", 96), ("tiled", None), ("whole", None)]


def drawn(height: int, width: int, window: int) -> tuple[torch.Tensor, dict[int, torch.Tensor]]:
    """A start latent and three sections' latents of pictures of that size, px."""
    draw = torch.Generator().manual_seed(3)
    size = (height // 8, width // 8)
    return torch.randn((1, 16, 1, *size), generator=draw), {
        k: torch.randn((1, 16, window, *size), generator=draw) for k in range(3)
    }


@pytest.mark.parametrize(("mode", "tile"), MODES)
def test_every_mode_gives_the_same_bits_warm_and_cold(mode: str, tile: int | None) -> None:
    """A video keeps its mode and its tiles; then any worker decodes any section of it to the same frames."""
    start, made = drawn(64, 128, 3)
    video = spec("i2v", 3, 3, height=64, width=128, decode=mode, decode_tile_px=tile)
    vae = load_case_model(MODEL).vae
    warm = Decoder(vae)
    for k in range(3):
        assert torch.equal(warm.frames(video, k, start, made), Decoder(vae).frames(video, k, start, made))


def test_modes_and_tile_sizes_are_different_pictures() -> None:
    """That is why they are values: no two of them give the same bits, and none leaves a trace in the next."""
    start, made = drawn(64, 320, 4)
    decoder = Decoder(load_case_model(MODEL).vae)
    seen = []
    for _ in range(2):
        for mode, tile in MODES:
            video = spec("i2v", 1, 4, height=64, width=320, decode=mode, decode_tile_px=tile)
            seen.append(decoder.frames(video, 0, start, {0: made[0]}).numpy().tobytes())
    assert len(set(seen)) == len(MODES)
    assert seen[: len(MODES)] == seen[len(MODES) :]


def test_tiles_are_chosen_from_the_memory_that_is_free() -> None:
    """More memory, larger tiles; the choice is one of a few sizes, and never takes more than half of what is free."""
    sizes = [choose_tile_px(gib << 30, channels=256, itemsize=4) for gib in (0, 1, 4, 16, 64)]
    assert sizes == sorted(sizes)
    assert (sizes[0], sizes[-1]) == (128, 512)
    assert tile_bytes(sizes[3], channels=256, itemsize=4) <= 8 << 30
    assert Decoder(load_case_model(MODEL).vae).tile_px() in TILE_SIZES_PX


@pytest.mark.parametrize(("mode", "tile"), [("framewise", 256), ("whole", 256), ("tiled", 32), ("tiled", 250)])
def test_a_tile_that_cannot_be_is_refused_by_name(mode: str, tile: int) -> None:
    """Tiles belong to `tiled`, and their overlap must be whole latent pixels."""
    with pytest.raises(InvalidSpec) as caught:
        spec("i2v", 1, 1, decode=mode, decode_tile_px=tile)
    assert caught.value.facts["field"] == "decode_tile_px"


@pytest.mark.parametrize(
    ("mode", "height", "width"), [("framewise", 720, 1280), ("framewise", 928, 928), ("whole", 608, 640)]
)
def test_pictures_that_a_gpu_would_decode_wrongly_are_refused(mode: str, height: int, width: int) -> None:
    """Where torch's masked attention misreads its mask on CUDA, another mode is advised; tiles take any size."""
    with pytest.raises(InvalidSpec, match="set decode=tiled") as caught:
        spec("i2v", 1, 9, height=height, width=width, decode=mode)
    assert caught.value.facts["field"] == "decode"
    assert spec("i2v", 1, 9, height=height, width=width, decode="tiled").decode == "tiled"
    assert spec("i2v", 1, 9, height=608, width=640, decode="framewise").decode == "framewise"


def test_missing_latents_are_named() -> None:
    """A decode without the section before last says which one it lacks."""
    made = latents(3, 1)
    del made[0]
    with pytest.raises(ArtifactMismatch, match=r"\[0\]"):
        Decoder(load_case_model(MODEL).vae).frames(spec("i2v", 3, 1), 2, START, made)
    with pytest.raises(ArtifactMismatch, match="of a video with 3"):
        Decoder(load_case_model(MODEL).vae).frames(spec("i2v", 3, 1), 3, START, made)


def test_a_broken_decode_is_no_video() -> None:
    """NaN and all-black frames are errors with a name, not an mp4."""
    vae = load_case_model(MODEL).vae
    video, made = spec("i2v", 1, 1), latents(1, 1)
    with pytest.raises(NotFinite):
        Decoder(vae).frames(video, 0, START, {0: made[0] * float("nan")})
    with torch.no_grad():
        vae.decoder.conv_out.conv.weight.zero_()
        vae.decoder.conv_out.conv.bias.fill_(-2.0)
    with pytest.raises(BlackFrames):
        Decoder(vae).frames(video, 0, START, made)
