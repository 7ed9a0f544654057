"""The engine's modes: several prompts, no image, and going on where a video ends. All in the one loop."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from framepack_engine import Conditioning, Models, Renderer, RenderSpec, SectionState, StepState, load_models
from framepack_engine.errors import ArtifactMismatch, InvalidSpec, VideoMismatch
from framepack_engine.frames.embeddings import picture_embeds, prompt_embeds
from framepack_engine.frames.encode import encode, start_picture
from framepack_engine.frames.source import SourceFacts, last_frames, look_at
from framepack_engine.frames.video import encode_clip, frame_count
from framepack_engine.planning.prompts import Share, TimedPrompt
from framepack_engine.planning.sections import final_frames, tail_frames
from framepack_engine.sampling.text import with_text

F1 = RenderSpec(
    kind="f1", sections=3, height=64, width=96, seed=7, prompt="a cat", latent_window_size=2, num_inference_steps=2
)
TIMED = replace(F1, prompts=(TimedPrompt(0.27, "a dog"), TimedPrompt(0.53, "a long tale of a bird")))


@pytest.fixture(scope="module")
def f1_models(tiny_cache: Path) -> Models:
    """The model `tiny-f1`."""
    return load_models("tiny-f1", cache_dir=tiny_cache)


@pytest.fixture(scope="module")
def renderer(f1_models: Models) -> Renderer:
    """Renders with `tiny-f1`."""
    return Renderer(f1_models)


def frames(count: int, *, height: int = 64, width: int = 96, seed: int = 0) -> NDArray[np.uint8]:
    """Frames whose brightness tells their number."""
    pictures = np.zeros((count, height, width, 3), np.uint8)
    pictures += (np.arange(count) * 2 + seed).astype(np.uint8)[:, None, None, None]
    return pictures


def decoded(path: Path) -> list[NDArray[np.uint8]]:
    """All frames of a video."""
    with av.open(str(path)) as container:
        return [np.asarray(frame.to_ndarray(format="rgb24"), np.uint8) for frame in container.decode(video=0)]


# ---- several prompts


def test_each_section_is_told_its_prompt(renderer: Renderer, f1_models: Models) -> None:
    """A section of a video with timed prompts is bit for bit that of a video with that prompt alone."""
    timed = encode(f1_models, TIMED, {})
    previous = None
    for index, text in enumerate(("a cat", "a dog", "a long tale of a bird")):
        alone = replace(F1, prompt=text)
        made = renderer.section(TIMED, index, timed, previous)
        assert torch.equal(made.latents, renderer.section(alone, index, encode(f1_models, alone, {}), previous).latents)
        previous = made


def test_i2v_gets_the_last_prompt_first(tiny_models: Models, photo: Path) -> None:
    """Section 0 of an i2v video is its end."""
    spec, images = replace(TIMED, kind="i2v"), {"start": Image.open(photo)}
    renderer, last = Renderer(tiny_models), replace(spec, prompts=(), prompt="a long tale of a bird")
    made = renderer.section(spec, 0, encode(tiny_models, spec, images), None)
    assert torch.equal(made.latents, renderer.section(last, 0, encode(tiny_models, last, images), None).latents)


def test_a_fade_mixes_embeddings_by_weight(f1_models: Models) -> None:
    """The shorter prompt is padded with zeros; one prompt alone keeps its bits."""
    conditioning = encode(f1_models, TIMED, {})
    (dog, dog_pooled), (bird, bird_pooled) = conditioning.timed
    mixed = with_text(conditioning, (Share(1, 0.25), Share(2, 0.75)))
    padded = torch.nn.functional.pad(dog, (0, 0, 0, bird.shape[1] - dog.shape[1]))
    torch.testing.assert_close(mixed.prompt_embeds, 0.25 * padded + 0.75 * bird)
    torch.testing.assert_close(mixed.pooled_prompt_embeds, 0.25 * dog_pooled + 0.75 * bird_pooled)
    assert with_text(conditioning, (Share(2, 1.0),)).prompt_embeds is bird


def test_resuming_inside_a_fade_gives_the_same_bits(renderer: Renderer, f1_models: Models) -> None:
    """From the state after a step, with the conditioning read back from bytes."""
    spec = replace(TIMED, prompts=TIMED.prompts[:1], prompt_fade_sections=1)
    conditioning = encode(f1_models, spec, {})
    first = renderer.section(spec, 0, conditioning, None)
    steps: list[StepState] = []
    whole = renderer.section(spec, 1, conditioning, first, on_step=steps.append)
    again = Conditioning.from_bytes(conditioning.to_bytes())
    resume = StepState.from_bytes(steps[0].to_bytes())
    assert renderer.section(spec, 1, again, first, resume=resume).to_bytes() == whole.to_bytes()
    plain = renderer.section(F1, 1, conditioning, first)
    assert not torch.equal(plain.latents, whole.latents)


def test_a_conditioning_without_the_prompt_is_refused(renderer: Renderer, f1_models: Models) -> None:
    """It belongs to another video."""
    first = renderer.section(F1, 0, encode(f1_models, F1, {}), None)
    with pytest.raises(ArtifactMismatch, match="prompts"):
        renderer.section(TIMED, 1, encode(f1_models, F1, {}), first)


# ---- no image


@pytest.mark.parametrize("start", ["grey", "noise"])
def test_text_alone_makes_an_f1_video(renderer: Renderer, tmp_path: Path, start: str) -> None:
    """Without an image the video starts with a plain one, or with seeded noise, as if that had been sent."""
    spec = replace(F1, start=start)
    out = renderer.render(spec, {}, tmp_path / "a.mp4")
    assert frame_count(out) == spec.frames
    sent = renderer.render(spec, {"start": start_picture(spec)}, tmp_path / "b.mp4")
    assert out.read_bytes() == sent.read_bytes()


def test_the_noise_follows_the_seed() -> None:
    """Equal seeds draw equal pictures, others other ones; grey is grey."""
    noise = replace(F1, start="noise")
    assert start_picture(noise).tobytes() == start_picture(noise).tobytes()
    assert start_picture(noise).tobytes() != start_picture(replace(noise, seed=8)).tobytes()
    assert start_picture(F1).getcolors() == [(64 * 96, (128, 128, 128))]


# ---- going on where a video ends


def test_the_last_frames_become_the_history(f1_models: Models) -> None:
    """The start image is the last frame, and the history holds as many whole latent frames as there are."""
    spec = replace(F1, continues=True)
    for count, latents in ((200, 19), (73, 19), (10, 3), (1, 1)):
        conditioning = encode(f1_models, spec, {}, tail=frames(count))
        assert conditioning.history is not None
        assert conditioning.history.shape == (1, 16, latents, 8, 12)
    last = encode(f1_models, F1, {"start": Image.fromarray(frames(10)[-1])})
    assert torch.equal(encode(f1_models, spec, {}, tail=frames(10)).start_latent, last.start_latent)


def test_a_history_of_another_size_is_refused(renderer: Renderer, f1_models: Models) -> None:
    """As every artifact of another video is."""
    conditioning = encode(f1_models, replace(F1, continues=True), {}, tail=frames(9))
    wrong = replace(conditioning, history=torch.zeros(1, 16, 2, 4, 4))
    with pytest.raises(ArtifactMismatch, match="history"):
        renderer.section(replace(F1, continues=True), 0, wrong, None)


def test_the_history_is_seen_and_kept(renderer: Renderer, f1_models: Models) -> None:
    """Another past gives another section; the next context is the past and what was made; bytes resume it."""
    spec = replace(F1, continues=True)
    one = encode(f1_models, spec, {}, tail=frames(30))
    assert one.history is not None
    made = renderer.section(spec, 0, one, None)
    other = replace(one, history=encode(f1_models, spec, {}, tail=frames(30, seed=90)).history)
    assert not torch.equal(made.latents, renderer.section(spec, 0, other, None).latents)
    assert torch.equal(made.history[:, :, -10:], torch.cat([one.history, made.latents], dim=2))
    again = renderer.section(spec, 0, Conditioning.from_bytes(one.to_bytes()), None)
    assert again.to_bytes() == SectionState.from_bytes(made.to_bytes()).to_bytes()


@pytest.mark.parametrize("sections", [1, 2, 4])
def test_a_video_is_extended_by_whole_sections(renderer: Renderer, tmp_path: Path, sections: int) -> None:
    """Joined: the old frames, bit for bit since its packets are copied, then 4w new ones a section."""
    source, spec = tmp_path / "old.mp4", replace(F1, sections=sections, continues=True)
    encode_clip(frames(30), source, crf=spec.crf)
    out = renderer.render(spec, {}, tmp_path / "new.mp4", source=source)
    assert sum(final_frames("f1", sections, 2, continues=True)) == spec.frames == 8 * sections
    assert frame_count(out) == 30 + 8 * sections
    assert all(np.array_equal(new, old) for new, old in zip(decoded(out), decoded(source), strict=False))


def test_a_foreign_video_is_brought_to_size_and_time(renderer: Renderer, tmp_path: Path) -> None:
    """Another size, codec and rate: half the frames a second are shown twice as long, and the join still works."""
    source = tmp_path / "old.mkv"
    with av.open(str(source), "w") as container:
        stream = container.add_stream("mpeg4", rate=15)
        stream.width, stream.height, stream.pix_fmt = 160, 48, "yuv420p"
        for picture in frames(150, height=48, width=160):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))
    facts = look_at(source)
    assert (facts.frames, facts.height, facts.width) == (300, 48, 160)
    out = renderer.render(replace(F1, sections=1, continues=True), {}, tmp_path / "new.mp4", source=source)
    assert look_at(out) == SourceFacts(frames=308, height=64, width=96)


def test_the_tail_of_a_video(tmp_path: Path) -> None:
    """The last frames, in order, or all of a short video."""
    encode_clip(frames(40), tmp_path / "a.mp4", crf=0)
    tail = last_frames(tmp_path / "a.mp4", tail_frames())
    assert tail.shape == (40, 64, 96, 3)
    assert np.abs(last_frames(tmp_path / "a.mp4", 5)[:, 0, 0, 0] - np.arange(70, 80, 2)).max() <= 2


@pytest.mark.parametrize("data", [b"", b"no video", b"#EXTM3U\n/etc/passwd", bytes(4) + b"ftypisom" + bytes(99)])
def test_what_is_no_video_is_refused(tmp_path: Path, data: bytes) -> None:
    """Nothing, text, a playlist, half a header."""
    (tmp_path / "a.mp4").write_bytes(data)
    with pytest.raises(VideoMismatch):
        look_at(tmp_path / "a.mp4")


def test_only_f1_goes_on(f1_models: Models) -> None:
    """i2v works from the end; and a continued video needs the video, and takes no start image."""
    with pytest.raises(InvalidSpec, match="f1"):
        replace(F1, kind="i2v", continues=True)
    with pytest.raises(InvalidSpec, match="continues"):
        encode(f1_models, replace(F1, continues=True), {})
    with pytest.raises(InvalidSpec, match="start"):
        encode(f1_models, replace(F1, continues=True), {"start": Image.new("RGB", (64, 64))}, tail=frames(5))


# ---- embeddings kept by content


class Kept(dict[str, bytes]):
    """Embeddings in memory, with what was asked of them."""

    def __init__(self) -> None:
        super().__init__()
        self.hits = 0

    def get(self, key: str) -> bytes | None:  # type: ignore[override]
        """Return the value, and count the hit."""
        self.hits += key in self
        return super().get(key)

    def put(self, key: str, data: bytes) -> None:
        """Keep it."""
        self[key] = data


def test_kept_embeddings_change_no_bit(f1_models: Models) -> None:
    """With an empty, a full and no cache the conditioning is the same, byte for byte; the second time all is found."""
    kept = Kept()
    plain = encode(f1_models, TIMED, {}).to_bytes()
    assert encode(f1_models, TIMED, {}, embeddings=kept).to_bytes() == plain
    assert (len(kept), kept.hits) == (4, 0)  # three prompts and a picture
    assert encode(f1_models, replace(TIMED), {}, embeddings=kept).to_bytes() == plain
    assert (len(kept), kept.hits) == (4, 4)


def test_what_decides_the_bits_is_in_the_key(f1_models: Models, tiny_models: Models) -> None:
    """Another prompt, picture, size, thread count or weight is another key; the other model with equal encoders not."""
    kept, picture = Kept(), Image.new("RGB", (64, 64), "teal")
    prompt_embeds(f1_models, "a", kept=kept)
    prompt_embeds(tiny_models, "a", kept=kept)
    assert (len(kept), kept.hits) == (1, 1)
    prompt_embeds(f1_models, "b", kept=kept)
    picture_embeds(f1_models, picture, kept=kept)
    picture_embeds(f1_models, picture.resize((64, 32)), kept=kept)
    assert len(kept) == 4
    threads = torch.get_num_threads()
    torch.set_num_threads(threads + 1)
    prompt_embeds(f1_models, "a", kept=kept)
    torch.set_num_threads(threads)
    assert len(kept) == 5


def test_damaged_embeddings_are_made_again(f1_models: Models) -> None:
    """A cache can only cost time."""
    kept = Kept()
    wanted, _ = prompt_embeds(f1_models, "a", kept=kept)
    kept.update(dict.fromkeys(kept, io.BytesIO(b"junk").getvalue()))
    found, _ = prompt_embeds(f1_models, "a", kept=kept)
    assert torch.equal(found, wanted)
