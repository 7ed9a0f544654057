"""The engine as a program uses it: from_pretrained, generate, stream; pictures and LoRAs of any form."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import framepack_engine
from framepack_engine import Renderer, RenderProgress, RenderSpec, load_models, read_provenance
from framepack_engine.errors import BadImage, InvalidSpec, LoraUnusable
from framepack_engine.frames.video import frame_count
from framepack_engine.planning.sections import Kind, final_frames, first_frames
from tests.imports import all_modules_after
from tests.lora_file import write_lora

pytestmark = pytest.mark.usefixtures("one_thread")

SMALL: dict[str, Any] = {"size": (96, 64), "num_inference_steps": 2, "latent_window_size": 2, "seed": 3}


@pytest.fixture(scope="module")
def renderer(tiny_cache: Path) -> Renderer:
    """The i2v model `tiny`, on the CPU."""
    return Renderer.from_pretrained("tiny", device="cpu", cache_dir=tiny_cache)


def test_a_photo_becomes_frames_and_a_file(renderer: Renderer, photo: Path, tmp_path: Path) -> None:
    """Path, text, PIL picture and array give the same bits; the mp4 says how it was made."""
    told: list[RenderProgress] = []
    video = renderer.generate(str(photo), "It gets darker.", seconds=0.8, on_progress=told.append, **SMALL)
    assert video.frames.shape == (25, 64, 96, 3)
    assert (video.frames.dtype, video.frames.device.type) == (torch.uint8, "cpu")
    assert (video.seconds, video.spec.seed) == (25 / 30, 3)
    assert [told[0].stage, told[-1].stage] == ["encode", "decode"]
    with Image.open(photo) as image:
        for same in (photo, image, np.asarray(image)):
            again = renderer.generate(same, "It gets darker.", seconds=0.8, **SMALL)
            assert torch.equal(again.frames, video.frames)
    assert video.save(tmp_path / "new/x.mp4") == tmp_path / "new/x.mp4"
    assert frame_count(tmp_path / "new/x.mp4") == 25
    assert read_provenance(tmp_path / "new/x.mp4")["spec"]["prompt"] == "It gets darker."
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["x.mp4"]


def test_clips_say_where_they_belong(renderer: Renderer, photo: Path) -> None:
    """An i2v model makes the end first; in the order of their first frames, the clips are the whole video."""
    whole = renderer.generate(photo, "a cat", seconds=1.0, **SMALL).frames
    clips = list(renderer.stream(photo, "a cat", seconds=1.0, **SMALL))
    assert [(clip.first_frame, len(clip.frames)) for clip in clips] == [(25, 8), (17, 8), (0, 17)]
    for clip in clips:
        assert torch.equal(whole[clip.first_frame : clip.first_frame + len(clip.frames)], clip.frames)


@pytest.mark.parametrize(("kind", "begins"), [("i2v", (145, 109, 73, 0)), ("f1", (0, 4, 40, 76))])
def test_first_frames_follow_the_kind(kind: Kind, begins: tuple[int, ...]) -> None:
    """i2v from the end, F1 from the beginning; together they are all frames."""
    assert first_frames(kind, final_frames(kind, 4, 9)) == begins


def test_a_size_and_a_seed_are_chosen(renderer: Renderer, photo: Path) -> None:
    """Without a size, the model's nearest to the photo; without a seed, another each time."""
    few: dict[str, Any] = {"seconds": 0.1, "num_inference_steps": 2, "latent_window_size": 1}
    one, two = (renderer.generate(photo, "a cat", **few) for _ in range(2))
    assert (one.spec.width, one.spec.height) == (160, 96)
    assert one.spec.seed != two.spec.seed


def test_a_lora_is_given_by_its_path(renderer: Renderer, photo: Path, tmp_path: Path) -> None:
    """It acts, and the next video without it has the base's bits; the file's folder stays out of the mp4."""
    write_lora(tmp_path, "style", renderer.models.transformer, seed=1)
    path = tmp_path / "style.safetensors"
    few: dict[str, Any] = {"seconds": 0.1, **SMALL}
    base = renderer.generate(photo, "a cat", **few).frames
    for loras in ({path: 0.9}, {str(path): 0.9}):
        styled = renderer.generate(photo, "a cat", loras=loras, **few)
        assert not torch.equal(styled.frames, base)
        assert [(lora.name, lora.weight) for lora in styled.spec.loras] == [("style", 0.9)]
    assert torch.equal(renderer.generate(photo, "a cat", **few).frames, base)
    with pytest.raises(LoraUnusable, match="nowhere"):
        renderer.generate(photo, "a cat", loras=str(tmp_path / "nowhere.safetensors"), **few)
    with pytest.raises(LoraUnusable, match="no LoRA 'style'"):  # a name is no file that an earlier video had
        renderer.generate(photo, "a cat", loras=["style"], **few)


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"size": (100, 64)}, "size"),
        ({"size": "320x192"}, "size"),
        ({"seconds": 0}, "seconds"),
        ({"steps": 3}, "steps"),
        ({"num_inference_steps": 0}, "num_inference_steps"),
        ({"latent_window_size": 0}, "latent_window_size"),
        ({"latent_window_size": "x"}, "latent_window_size"),
        ({"seconds": "3"}, "seconds"),
        ({"seed": 1.5}, "seed"),
        ({"negative_prompt": None}, "negative_prompt"),
        ({"prompts": 5}, "prompts"),
        ({"prompts": ["a cat"]}, "prompts"),
        ({"loras": {"style": "much"}}, "loras"),
    ],
)
def test_what_cannot_be_made_is_named(renderer: Renderer, photo: Path, wrong: dict[str, Any], field: str) -> None:
    """Before a step is made, stream included."""
    for ask in (renderer.generate, renderer.stream):
        with pytest.raises(InvalidSpec) as caught:
            ask(photo, "a cat", **{**SMALL, **wrong})
        assert caught.value.facts["field"] == field


def test_what_is_no_picture_is_named(renderer: Renderer, tmp_path: Path) -> None:
    """The file, or the array's form; and a name that is no mp4."""
    (tmp_path / "words.jpg").write_text("no picture")
    for picture, words in (
        (tmp_path / "none.jpg", "there is no file"),
        (tmp_path / "words.jpg", r"words\.jpg' cannot be read"),
        (np.zeros((8, 8)), r"float64 \(8, 8\): need uint8"),
        (7, "int is no picture: need a path"),
    ):
        with pytest.raises(BadImage, match=words):
            renderer.generate(picture, "a cat")  # type: ignore[arg-type]
    video = renderer.generate(Image.new("RGB", (96, 64), "teal"), "a cat", seconds=0.1, **SMALL)
    with pytest.raises(InvalidSpec, match=r"ends in \.mp4"):
        video.save(tmp_path / "x.avi")


def test_device_and_dtype_are_checked(tiny_cache: Path) -> None:
    """Names are torch's; what is not here is refused before anything is loaded."""
    models = load_models("tiny", dtype="bfloat16", cache_dir=tiny_cache)
    assert models.transformer.dtype == models.vae.dtype == torch.bfloat16
    every: list[dict[str, Any]] = [{"dtype": "int8"}, {"dtype": torch.int8}, {"device": "gpu"}, {"device": "cuda:99"}]
    for wrong in every:
        with pytest.raises(InvalidSpec, match=next(iter(wrong))):
            load_models("tiny", cache_dir=tiny_cache, **wrong)
    if not torch.cuda.is_available():
        with pytest.raises(InvalidSpec, match="torch can use no GPU here"):
            load_models("tiny", device="cuda", cache_dir=tiny_cache)
        with pytest.raises(InvalidSpec, match="torch can use no GPU here"):
            Renderer.from_pretrained("tiny", device="cuda", cache_dir=tiny_cache)


def test_what_is_public_is_listed() -> None:
    """Each name of __all__ is there, and only some need torch."""
    assert all(getattr(framepack_engine, name) for name in framepack_engine.__all__)
    assert {"Renderer", "GeneratedVideo", "Clip", "load_models", "RenderSpec"} <= set(framepack_engine.__all__)
    assert "torch" not in all_modules_after("from framepack_engine import sections_for, nearest_bucket, RenderSpec")
    assert RenderSpec.__doc__
