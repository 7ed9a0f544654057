"""The pocket model's stages: what is learned from is what the engine samples with, and what comes out renders."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torch import Tensor

from framepack_engine.errors import EngineError
from framepack_engine.models.shelf import load_models
from framepack_engine.pipeline import Renderer
from framepack_engine.planning.sections import HISTORY, Kind, section_layout
from framepack_engine.planning.spec import RenderSpec
from framepack_engine.sampling import context
from framepack_engine.sampling.artifacts import Conditioning
from framepack_engine.sampling.transformer import Question, Transformer
from lab.training.data.pictures import Dice
from lab.training.loop import Run
from lab.training.parts import WEIGHTED, load_trained, make_image_parts, make_text_parts, make_transformer
from lab.training.pocket import train_pocket
from lab.training.recipe import RECIPES, Recipe
from lab.training.ship import LARGEST_BYTES
from lab.training.stages.autoencoder import make_vae
from lab.training.stages.diffusion import DiffusionStage, levels
from lab.training.stages.samples import (
    ClipLatents,
    dissolved,
    roughened,
    section_of,
    transformer_inputs,
    without_history,
)
from tests.small_recipe import SMALLEST

WINDOW = SMALLEST.window


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run's folder after two steps of each stage."""
    folder = tmp_path_factory.mktemp("pocket")
    for stage in ("text", "vae", "dit"):
        train_pocket(SMALLEST, stage, Run(folder=folder))
    return folder


def test_a_trained_model_renders(trained: Path) -> None:
    """The folder that training leaves is a model to `load_models`, of both kinds, and its video has the right shape."""
    for kind in ("i2v", "f1"):
        models = load_models(str(trained / "model"), kind=kind)
        spec = RenderSpec(
            kind=kind, sections=1, height=64, width=64, seed=1, prompt="Pan left.", latent_window_size=WINDOW,
            num_inference_steps=2,
        )  # fmt: skip
        renderer = Renderer(models)
        conditioning = renderer.encode(spec, {"start": Image.new("RGB", (80, 64), (200, 90, 30))})
        frames = torch.cat([clip for _, clip in renderer.clips(spec, conditioning)])
        assert frames.shape == (4 * WINDOW + 1, 64, 64, 3)


def test_a_trained_model_is_small_and_has_its_scaling(trained: Path) -> None:
    """Weights are float16, the autoencoder's scaling factor was measured, and the text stage moved its weights."""
    for path in (trained / "model").rglob("*.safetensors"):
        assert {tensor.dtype for tensor in safetensors.torch.load_file(path).values()} == {torch.float16}
    models = load_trained(trained / "model", device="cpu")
    assert models.vae.config.scaling_factor != 0.476986
    assert 0.01 < models.vae.config.scaling_factor < 100


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES)
def test_a_recipe_s_model_has_room_in_the_package(recipe: Recipe) -> None:
    """All weights in float16, and half a megabyte for the rest; the CPU's transformer is of 5 M at most."""
    transformer = make_transformer(recipe)
    parts = [transformer, make_vae(recipe), *make_text_parts().values(), *make_image_parts().values()]
    models = [part for part in parts if isinstance(part, torch.nn.Module)]
    assert len(models) == len(WEIGHTED)
    assert 2 * sum(weight.numel() for model in models for weight in model.parameters()) < LARGEST_BYTES - 500_000
    if recipe.resolution == 128:
        assert sum(weight.numel() for weight in transformer.parameters()) <= 5_000_000


@pytest.mark.parametrize(
    ("stage", "part"),
    [
        ("text", "hunyuanvideo-community/HunyuanVideo/text_encoder_2/model.safetensors"),
        pytest.param(
            "vae",
            "hunyuanvideo-community/HunyuanVideo/vae/diffusion_pytorch_model.safetensors",
            marks=pytest.mark.long,
        ),
        ("dit", "lllyasviel/FramePackI2V_HY/diffusion_pytorch_model.safetensors"),
    ],
)
def test_a_stage_resumes_to_the_same_bits(stage: str, part: str, trained: Path, tmp_path: Path) -> None:
    """Two steps at once, or one, a new process' worth of objects, and one more: the same weights on disk."""
    run = Run(folder=tmp_path, steps=1)
    (tmp_path / "model").symlink_to(trained / "model", target_is_directory=True)
    file = trained / "model" / part
    whole = file.read_bytes()
    train_pocket(SMALLEST, stage, run)
    assert file.read_bytes() != whole
    train_pocket(SMALLEST, stage, replace(run, steps=2, resume=True))
    assert file.read_bytes() == whole


def test_a_stage_names_the_one_that_is_missing(tmp_path: Path) -> None:
    """The transformer cannot be trained before what encodes its clips; nor is there any other stage."""
    with pytest.raises(EngineError, match="--stage text"):
        train_pocket(SMALLEST, "dit", Run(folder=tmp_path))
    with pytest.raises(EngineError, match="text, vae, dit"):
        train_pocket(SMALLEST, "unet", Run(folder=tmp_path))


def clip_latents(sections: int, *, batch: int = 1) -> ClipLatents:
    """Latents whose values tell their frame: frame i of the video (0 is the start) is i + 1 everywhere."""
    shape = (batch, 16, 1, 8, 8)
    frames = torch.arange(2, 2 + sections * WINDOW).float().view(1, 1, -1, 1, 1).expand(batch, 16, -1, 8, 8)
    text = [(torch.full((1, 3 + row, 96), 0.1), torch.full((1, 96), 0.2)) for row in range(batch)]
    return ClipLatents(
        latents=frames,
        start=torch.ones(shape),
        end=torch.full(shape, 99.0),
        text=text,
        image_embeds=torch.zeros(batch, 16, 32),
    )


@pytest.mark.parametrize("kind", ["i2v", "f1"])
@pytest.mark.parametrize("with_end", [False, True])
@pytest.mark.parametrize("sections", [1, 2, 5])
def test_training_packs_what_sampling_packs(kind: Kind, with_end: bool, sections: int) -> None:
    """Were the sampler's sections the clip's own, `Renderer.section` would give the model these very histories."""
    clips = clip_latents(sections)
    conditioning = Conditioning(
        prompt_embeds=clips.text[0][0],
        pooled_prompt_embeds=clips.text[0][1],
        image_embeds=clips.image_embeds,
        start_latent=clips.start,
        end_latent=clips.end if with_end and kind == "i2v" else None,
    )
    history = context.first_history(kind, conditioning)
    made = []
    for index in range(sections):
        section = section_of(clips, kind=kind, index=index, window=WINDOW, with_end=with_end)
        assert torch.equal(section.history, history)
        assert section.layout == section_layout(kind, sections=sections, index=index, window=WINDOW)
        history = context.next_history(kind, history, section.target)
        made.append(section.target)
    in_time = made[::-1] if kind == "i2v" else made
    assert torch.equal(torch.cat(in_time, dim=2), clips.latents)


@pytest.mark.parametrize("kind", ["i2v", "f1"])
def test_a_section_costs_the_same_in_a_video_of_any_length(kind: Kind) -> None:
    """The transformer's inputs in training do not grow with the clip: batches are as large as a section allows.

    The paper's claim (arXiv:2504.12626): training with batch sizes like those of image diffusion.
    """
    shapes = set()
    for sections in (1, 2, 4, 30):
        clips = clip_latents(sections)
        for index in {0, sections // 2, sections - 1}:
            section = section_of(clips, kind=kind, index=index, window=WINDOW)
            inputs = transformer_inputs(
                section, text=clips.text, image_embeds=clips.image_embeds, x=section.target, sigma=torch.tensor([0.5])
            )
            shapes.add(tuple((name, value.shape) for name, value in inputs.items() if isinstance(value, Tensor)))
    assert len(shapes) == 1


def test_i2v_learns_the_end_first() -> None:
    """Section 0 of an inverted video is the clip's last stretch, and its context holds the end image alone."""
    clips = clip_latents(3)
    section = section_of(clips, kind="i2v", index=0, window=WINDOW, with_end=True)
    assert torch.equal(section.target, clips.latents[:, :, -WINDOW:])
    assert torch.equal(section.history[:, :, :1], clips.end)
    assert not section.history[:, :, 1:].any()
    assert not without_history(section.history, "i2v").any()
    assert torch.equal(without_history(section.history, "f1")[:, :, -1:], section.history[:, :, -1:])


def test_a_dissolved_clip_ends_where_another_does() -> None:
    """From its own start, evenly, to the last latents of the next clip of the batch, with that one's end image."""
    clips = clip_latents(2, batch=2)
    shifted = clips.latents + torch.tensor([0.0, 100.0]).view(2, 1, 1, 1, 1)
    clips = replace(clips, latents=shifted, end=shifted[:, :, -1:])
    made = dissolved(clips)
    assert torch.equal(made.start, clips.start)
    assert torch.equal(made.end, clips.end.flip(0))
    assert torch.equal(made.latents[:, :, -1:], made.end)
    half = shifted.shape[2] // 2 - 1
    between = shifted.mean(0, keepdim=True).expand_as(shifted)
    torch.testing.assert_close(made.latents[:, :, half], between[:, :, half])


def test_rough_history_leaves_missing_frames_at_zero() -> None:
    """Noise comes on what is there; what is not made yet stays exactly zero, as the sampler gives it."""
    history = torch.zeros(1, 16, HISTORY, 8, 8)
    history[:, :, -2:] = 3
    rough = roughened(history, Dice(0), strength=0.1)
    assert not rough[:, :, :-2].any()
    assert bool((rough[:, :, -2:] != 3).all())


@pytest.mark.parametrize("kind", ["i2v", "f1"])
def test_the_model_is_asked_as_the_engine_asks_it(kind: Kind) -> None:
    """For one section the velocity in training equals what the engine's `Question` gets at the same x and sigma."""
    model = make_transformer(SMALLEST)
    generator = torch.Generator().manual_seed(3)
    for parameter in model.parameters():
        parameter.data = torch.randn(parameter.shape, generator=generator) * 0.1
    clips = clip_latents(2)
    section = section_of(clips, kind=kind, index=1, window=WINDOW)
    x, sigma = torch.randn(1, 16, WINDOW, 8, 8, generator=generator), 0.7
    inputs = transformer_inputs(
        section, text=clips.text, image_embeds=clips.image_embeds, x=x, sigma=torch.tensor([sigma])
    )
    spec = RenderSpec(kind=kind, sections=2, height=64, width=64, seed=0, prompt="", latent_window_size=WINDOW)
    with torch.no_grad():
        learned: Tensor = model(**inputs)[0]
        asked = Question(
            Transformer(model),
            spec,
            Conditioning(
                prompt_embeds=clips.text[0][0],
                pooled_prompt_embeds=clips.text[0][1],
                image_embeds=clips.image_embeds,
                start_latent=clips.start,
            ),
            context=context.pack(kind, section.history, section.start),
            layout=section.layout,
            sigmas=(sigma,),
        ).ask(x, sigma, caches=(), step=0)
    assert float(learned.abs().max()) > 0.01
    torch.testing.assert_close(learned, asked.velocity)


def test_a_batch_is_as_its_rows(trained: Path) -> None:
    """Prompts of different lengths in one batch, masked, give each row what it gets alone."""
    model: Any = make_transformer(SMALLEST)
    generator = torch.Generator().manual_seed(3)
    for parameter in model.parameters():
        parameter.data = torch.randn(parameter.shape, generator=generator) * 0.1
    both = clip_latents(2, batch=2)
    section = section_of(both, kind="i2v", index=1, window=WINDOW)
    x, sigma = torch.randn(2, 16, WINDOW, 8, 8, generator=generator), torch.tensor([0.3, 0.8])
    with torch.no_grad():
        inputs = transformer_inputs(section, text=both.text, image_embeds=both.image_embeds, x=x, sigma=sigma)
        together = model(**inputs)[0]
        for row in (0, 1):
            one = replace(
                both,
                latents=both.latents[row : row + 1],
                start=both.start[row : row + 1],
                end=both.end[row : row + 1],
                text=[both.text[row]],
                image_embeds=both.image_embeds[row : row + 1],
            )
            alone = transformer_inputs(
                section_of(one, kind="i2v", index=1, window=WINDOW),
                text=one.text, image_embeds=one.image_embeds, x=x[row : row + 1], sigma=sigma[row : row + 1],
            )  # fmt: skip
            torch.testing.assert_close(model(**alone)[0], together[row : row + 1], atol=1e-5, rtol=1e-4)


def test_a_step_of_the_transformer_is_a_function_of_its_number(trained: Path) -> None:
    """The loss of step 1 is the same whether step 0 was asked for before: nothing but the number decides."""
    models = load_trained(trained / "model", device="cpu")
    one, other = (DiffusionStage(SMALLEST, models, device="cpu", reuse=1) for _ in range(2))
    first = one.loss(one.model, 0, 0, 1)["loss"]
    second = other.loss(other.model, 1, 0, 1)["loss"]
    assert torch.equal(one.loss(one.model, 1, 0, 1)["loss"], second)
    assert not torch.equal(first, second)


@given(st.integers(1, 8), st.integers(0, 1000))
@settings(max_examples=40)
def test_a_batch_has_noise_of_all_levels(count: int, seed: int) -> None:
    """One level in each of as many stretches as there are rows, all of them levels that the sampler may ask of."""
    drawn = levels(torch.zeros(count, 16, WINDOW, 8, 8), Dice(seed))
    assert torch.equal(drawn, drawn.sort().values)
    assert float(drawn[0]) > 0
    assert float(drawn[-1]) <= 1
    assert float(drawn[-1] - drawn[0]) >= (count - 2) / count / 4


def test_clips_are_made_once_where_the_recipe_keeps_them(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A later run finds them on disk, to the same bits; those of another seed or encoder are never taken for them."""
    models = load_trained(trained / "model", device="cpu")
    recipe = replace(SMALLEST, kept_groups=2)
    stage = DiffusionStage(recipe, models, device="cpu", reuse=1, kept=tmp_path)
    losses = [stage.loss(stage.model, step, 0, 1)["loss"].item() for step in range(2)]
    files = list(tmp_path.rglob("*.safetensors"))
    assert len(files) == 2

    def nothing_is_made(*_: object, **__: object) -> None:
        raise AssertionError("a clip was made again")

    with monkeypatch.context() as patch:
        patch.setattr("lab.training.data.clips.ClipMaker.clip", nothing_is_made)
        again = DiffusionStage(recipe, models, device="cpu", reuse=1, kept=tmp_path)
        assert [again.loss(again.model, step, 0, 1)["loss"].item() for step in range(2)] == losses
    with torch.no_grad():
        models.vae.encoder.conv_in.conv.weight.mul_(1.5)
    other = DiffusionStage(recipe, models, device="cpu", reuse=1, kept=tmp_path)
    other.loss(other.model, 0, 0, 1)
    assert len(list(tmp_path.rglob("*.safetensors"))) == 3
    seeded = DiffusionStage(replace(recipe, seed=1), models, device="cpu", reuse=1, kept=tmp_path)
    seeded.loss(seeded.model, 0, 0, 1)
    assert len(list(tmp_path.rglob("*.safetensors"))) == 4
