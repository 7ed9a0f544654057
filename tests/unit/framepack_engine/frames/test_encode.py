"""The stage `encode`, against direct calls of the encoders; reproducible, and nothing evaluated in vain."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from framepack_engine.errors import BadImage, InvalidSpec, NotFinite
from framepack_engine.frames.embeddings import embed_picture, embed_prompt
from framepack_engine.frames.encode import encode
from framepack_engine.frames.images import fit
from framepack_engine.models.shelf import Models
from framepack_engine.planning.prompt_template import TEMPLATE
from framepack_engine.planning.spec import RenderSpec
from framepack_engine.sampling.artifacts import Conditioning

SPEC = RenderSpec(kind="i2v", sections=3, height=64, width=96, seed=7, prompt="The cat walks  home.")


@pytest.fixture
def pictures(photo: Path) -> Mapping[str, Image.Image]:
    """The photo as start image."""
    return {"start": Image.open(photo)}


@torch.no_grad()
def test_llama_sees_the_template_and_the_prefix_is_cropped(tiny_models: Models) -> None:
    """The embeddings are Llama's third-last hidden states behind the first 95 tokens, as if nothing had been padded."""
    embeds, _ = embed_prompt(tiny_models, SPEC.prompt)
    tokens = tiny_models.tokenizer(TEMPLATE.replace("{}", SPEC.prompt), return_tensors="pt")
    hidden: Tensor = tiny_models.text_encoder(**tokens, output_hidden_states=True).hidden_states[-3]
    torch.testing.assert_close(embeds, hidden[:, 95:], atol=1e-5, rtol=1e-5)
    prompt_and_mark = tiny_models.tokenizer(SPEC.prompt + "<|eot_id|>", add_special_tokens=False).input_ids
    assert embeds.shape == (1, len(prompt_and_mark), 32)


@torch.no_grad()
def test_clip_pools_77_tokens_without_a_projection(tiny_models: Models) -> None:
    """The pooled embedding is CLIP's state at the end token of the prompt alone."""
    _, pooled = embed_prompt(tiny_models, SPEC.prompt)
    ids = tiny_models.tokenizer_2(SPEC.prompt, return_tensors="pt").input_ids
    states: Tensor = tiny_models.text_encoder_2(ids).last_hidden_state
    torch.testing.assert_close(pooled, states[:, -1], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(("prompt", "tokens"), [("", 1), ("é" * 4000, 256), ("{} {0} 🐈", None)])
def test_prompts_of_any_length_and_script(tiny_models: Models, prompt: str, tokens: int | None) -> None:
    """An empty prompt has the template's last token, a long one is cut at 256, and braces are text."""
    embeds, pooled = embed_prompt(tiny_models, prompt)
    assert 1 <= embeds.shape[1] <= 256
    assert tokens in {None, embeds.shape[1]}
    assert bool(embeds.isfinite().all())
    assert bool(pooled.isfinite().all())


@torch.no_grad()
def test_siglip_sees_the_start_image_at_the_videos_size(
    tiny_models: Models, pictures: Mapping[str, Image.Image]
) -> None:
    """The picture's embeddings are SigLIP's last hidden state of the cut start image, scaled and normalized by 0.5."""
    conditioning = encode(tiny_models, SPEC, pictures)
    cut = fit(pictures["start"], height=SPEC.height, width=SPEC.width)
    small = np.asarray(cut.resize((64, 64), Image.Resampling.BICUBIC), dtype=np.float32)
    values = torch.from_numpy(small / 255 * 2 - 1).permute(2, 0, 1)[None]
    expected: Tensor = tiny_models.image_encoder(pixel_values=values).last_hidden_state
    torch.testing.assert_close(conditioning.image_embeds, expected, atol=1e-4, rtol=1e-4)
    assert torch.equal(embed_picture(tiny_models, cut), conditioning.image_embeds)


def test_latents_have_the_videos_size(tiny_models: Models, pictures: Mapping[str, Image.Image]) -> None:
    """Every picture of every shape becomes one latent frame of the video's size."""
    images = {"start": pictures["start"], "end": Image.new("RGB", (50, 300)), "keyframe_1": Image.new("L", (99, 40))}
    conditioning = encode(tiny_models, SPEC, images)
    assert conditioning.end_latent is not None
    assert list(conditioning.keyframes) == [1]
    for latent in (conditioning.start_latent, conditioning.end_latent, conditioning.keyframes[1]):
        assert latent.shape == (1, 16, 1, 8, 12)
        assert latent.dtype == torch.float32


def test_the_same_request_gives_the_same_bytes(tiny_models: Models, pictures: Mapping[str, Image.Image]) -> None:
    """Encoding twice gives equal bytes, independent of the global generator, and leaves that generator alone."""
    before = torch.random.get_rng_state()
    first = encode(tiny_models, SPEC, pictures).to_bytes()
    assert torch.equal(torch.random.get_rng_state(), before)
    torch.manual_seed(99)
    assert encode(tiny_models, SPEC, pictures).to_bytes() == first
    assert Conditioning.from_bytes(first).to_bytes() == first


def test_the_start_latent_is_a_draw_around_the_mode(tiny_models: Models, pictures: Mapping[str, Image.Image]) -> None:
    """Another seed draws another start latent from the same posterior; the text does not change with it."""
    one = encode(tiny_models, SPEC, pictures)
    other = encode(tiny_models, dataclasses.replace(SPEC, seed=8), pictures)
    assert not torch.equal(one.start_latent, other.start_latent)
    assert torch.equal(one.prompt_embeds, other.prompt_embeds)


def test_an_added_keyframe_changes_no_other_latent(tiny_models: Models, pictures: Mapping[str, Image.Image]) -> None:
    """Each picture has its own noise: parts do not depend on each other, and equal pictures give unequal draws."""
    start = pictures["start"]
    alone = encode(tiny_models, SPEC, pictures)
    more = encode(tiny_models, SPEC, {"keyframe_0": start, "start": start})
    assert torch.equal(alone.start_latent, more.start_latent)
    assert not torch.equal(more.keyframes[0], more.start_latent)


def test_the_negative_prompt_is_evaluated_only_for_true_cfg(
    tiny_models: Models, pictures: Mapping[str, Image.Image]
) -> None:
    """Without true CFG Llama runs once and there are no negative embeddings; with it, twice."""
    calls: list[int] = []

    def count(*_: Any) -> None:
        calls.append(1)

    hook = tiny_models.text_encoder.register_forward_pre_hook(count)
    try:
        off = encode(tiny_models, dataclasses.replace(SPEC, negative_prompt="blurry"), pictures)
        assert (len(calls), off.negative_prompt_embeds, off.negative_pooled_prompt_embeds) == (1, None, None)
        on = encode(tiny_models, dataclasses.replace(SPEC, negative_prompt="blurry", true_cfg_scale=2.0), pictures)
        assert len(calls) == 3
    finally:
        hook.remove()
    expected, pooled = embed_prompt(tiny_models, "blurry")
    assert on.negative_prompt_embeds is not None
    assert on.negative_pooled_prompt_embeds is not None
    assert torch.equal(on.negative_prompt_embeds, expected)
    assert torch.equal(on.negative_pooled_prompt_embeds, pooled)


@pytest.mark.parametrize(
    ("kind", "parts", "named"),
    [
        ("i2v", [], "start"),
        ("f1", ["start", "end"], "end"),
        ("f1", ["start", "keyframe_0"], "keyframe_0"),
        ("i2v", ["start", "keyframe_3"], "keyframe_3"),
        ("i2v", ["start", "keyframe_x"], "keyframe_x"),
        ("i2v", ["start", "middle"], "middle"),
    ],
)
def test_pictures_that_do_not_belong_are_named(tiny_models: Models, kind: Any, parts: list[str], named: str) -> None:
    """A missing start, an end or keyframe for F1, a keyframe behind the last section, an unknown part: each by name."""
    images = {part: Image.new("RGB", (64, 64)) for part in parts}
    with pytest.raises(InvalidSpec) as caught:
        encode(tiny_models, dataclasses.replace(SPEC, kind=kind), images)
    assert caught.value.facts["field"] == named


def test_a_picture_without_defined_colours_is_refused(tiny_models: Models) -> None:
    """A floating-point picture is an error of the image, not a crash in the middle."""
    with pytest.raises(BadImage):
        encode(tiny_models, SPEC, {"start": Image.new("F", (64, 64))})


def test_broken_weights_are_noticed_here(tiny_models: Models, pictures: Mapping[str, Image.Image]) -> None:
    """If an encoder gives NaN, the stage ends with an error that names the part."""

    def poison(_module: Any, _inputs: Any, output: Any) -> Any:
        output.pooler_output = output.pooler_output * float("nan")
        return output

    hook = tiny_models.text_encoder_2.register_forward_hook(poison)
    try:
        with pytest.raises(NotFinite, match="pooled_prompt_embeds"):
            encode(tiny_models, SPEC, pictures)
    finally:
        hook.remove()
