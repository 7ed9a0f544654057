"""The pocket model's parts, in the classes of the large model, and the folder that holds them.

The folder has the layout of the official repositories, so that `load_models` and FARM_MODELS take it as it is.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import torch

from framepack_engine.errors import EngineError
from framepack_engine.models.catalog import FRAMEPACK_F1, FRAMEPACK_I2V, HUNYUAN, REDUX
from framepack_engine.models.shelf import Models
from framepack_engine.models.tiny import (
    IMAGE_DIM,
    clip_tokenizer,
    llama_tokenizer,
    small_clip,
    small_llama,
    small_processor,
    small_siglip,
)
from framepack_engine.models.weights import load_part, quiet
from lab.training.data.prompts import every_word
from lab.training.nearby import look_nearby
from lab.training.recipe import Recipe

TEXT_DIM = 96  #: of both text encoders
FOLDERS = {
    "text_encoder": f"{HUNYUAN}/text_encoder",
    "text_encoder_2": f"{HUNYUAN}/text_encoder_2",
    "tokenizer": f"{HUNYUAN}/tokenizer",
    "tokenizer_2": f"{HUNYUAN}/tokenizer_2",
    "vae": f"{HUNYUAN}/vae",
    "image_encoder": f"{REDUX}/image_encoder",
    "feature_extractor": f"{REDUX}/feature_extractor",
}
WEIGHTED = ("text_encoder", "text_encoder_2", "vae", "image_encoder", "transformer")
TRANSFORMERS = (FRAMEPACK_I2V, FRAMEPACK_F1)  #: one set of weights serves both kinds, and lies in both folders


def make_text_parts() -> dict[str, Any]:
    """Make both text encoders with random weights, and tokenizers with a token for each word of the prompts."""
    words = every_word()
    forms = [form for word in words for form in (f" {word}", word, word.capitalize(), f" {word.capitalize()}")]
    llama, clip = llama_tokenizer(forms), clip_tokenizer(words)
    return {
        "tokenizer": llama,
        "tokenizer_2": clip,
        "text_encoder": small_llama(llama, width=TEXT_DIM, layers=4),  # hidden_states[-3]: two layers of attention
        "text_encoder_2": small_clip(clip, width=TEXT_DIM),
    }


def make_image_parts() -> dict[str, Any]:
    """Make the image encoder, with random weights: the start latent tells the transformer more than it could."""
    return {"image_encoder": small_siglip(), "feature_extractor": small_processor()}


def make_transformer(recipe: Recipe) -> Any:
    """Make the transformer with random weights, float32. Output and modulation begin at zero, but for some gates.

    The embeddings of noise level and pooled prompt stay random: trained, their mean hid what tells one prompt from
    another (docs/decisions/0063). `guidance_scale` has no effect on it, `true_cfg_scale` has.
    """
    from diffusers import HunyuanVideoFramepackTransformer3DModel

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed + 1)
        model = HunyuanVideoFramepackTransformer3DModel(
            num_attention_heads=recipe.heads,
            attention_head_dim=recipe.head_dim,
            num_layers=recipe.double_blocks,
            num_single_layers=recipe.single_blocks,
            num_refiner_layers=1,
            mlp_ratio=recipe.mlp_ratio,
            guidance_embeds=False,
            text_embed_dim=TEXT_DIM,
            pooled_projection_dim=TEXT_DIM,
            rope_axes_dim=recipe.rope_axes,
            has_image_proj=True,
            image_proj_dim=IMAGE_DIM,
            has_clean_x_embedder=True,
        )
    for name, parameter in model.named_parameters():
        if "time_text_embed." in name:
            parameter.requires_grad_(requires_grad=False)
        if (".norm" in name and ".linear." in name) or name.startswith(("proj_out.", "norm_out.linear.")):
            torch.nn.init.zeros_(parameter)
    _alike(model)
    look_nearby(model)
    return model


@torch.no_grad()
def _alike(model: Any) -> None:
    """Embed a clean frame like a noisy one, and a coarse frame like the mean of its parts.

    Source: arXiv:2504.12626, which gets its coarser patchifying kernels from the trained one too.
    """
    one, clean = model.x_embedder.proj, model.clean_x_embedder
    for coarse, times in ((clean.proj, 1), (clean.proj_2x, 2), (clean.proj_4x, 4)):
        coarse.weight.copy_(one.weight.repeat(1, 1, times, times, times) / times**3)
        coarse.bias.copy_(one.bias)


def save_parts(root: Path, parts: dict[str, Any]) -> None:
    """Write parts under `root` in the official layout. Their weights become float16, in place.

    Each part replaces an earlier one as a whole.
    """
    with quiet():
        for name, part in parts.items():
            folders = TRANSFORMERS if name == "transformer" else (FOLDERS[name],)
            for folder in folders:
                final, aside = root / folder, root / f"{folder}.being-written"
                shutil.rmtree(aside, ignore_errors=True)
                aside.parent.mkdir(parents=True, exist_ok=True)
                if name in WEIGHTED:
                    part.half()
                part.save_pretrained(aside)
                shutil.rmtree(final, ignore_errors=True)
                aside.rename(final)


def load_trained(root: Path, *, device: str, transformer: Any = None) -> Models:
    """Load the parts that the transformer's stage needs, float32 on the device.

    transformer: stands in for the trained one. Raises: EngineError naming the stage that is missing.
    """
    parts = {}
    with quiet():
        for name, folder in FOLDERS.items():
            if not (root / folder).is_dir():
                stage = "vae" if name == "vae" else "text"
                raise EngineError(f"{root / folder} is missing: train stage {stage} first (--stage {stage})")
            parts[name] = load_part(name, root / folder, device=device, dtype=torch.float32)
    return Models(name="pocket", kind="i2v", transformer=transformer, **parts)
