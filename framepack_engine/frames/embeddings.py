"""Embeddings of prompts and pictures, stored by content: computed once for all videos that need the same.

A key is a digest of everything that decides an embedding's bits: the text or the pixels, the encoders' weights and
vocabularies, and the numeric class that they run in.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from importlib.metadata import version
from typing import Any, Protocol
from weakref import WeakKeyDictionary

import safetensors
import safetensors.torch
import torch
from PIL import Image
from torch import Tensor

from framepack_engine.models.shelf import Models
from framepack_engine.planning.prompt_template import CLIP_TOKENS, CROPPED_TOKENS, PROMPT_TOKENS, TEMPLATE
from framepack_engine.sampling.numeric import numeric_class

_RECIPE = 1  #: raise it when embeddings are computed in another way
_SAMPLE = 64  #: numbers of each weight in a model's digest; all of them would take minutes
_digests: WeakKeyDictionary[Any, str] = WeakKeyDictionary()


class Embeddings(Protocol):
    """A store of embeddings: bytes by key. A lost embedding is computed again."""

    def get(self, key: str) -> bytes | None:
        """Return all bytes stored under `key`, or None."""

    def put(self, key: str, data: bytes) -> None:
        """Store `data` under `key`, a sha256 in hex."""


@torch.inference_mode()
def embed_prompt(models: Models, prompt: str) -> tuple[Tensor, Tensor]:
    """Embed one prompt with both text encoders.

    Llama reads HunyuanVideo's template with the prompt, padded on the right to 95 + 256 tokens and truncated there. Its
    third-last hidden states are used, without the first 95 and without the padding. CLIP reads the prompt alone.

    Returns: (1, n, D), n from 1 to 256, and the pooled (1, P), on the CPU in the encoders' own precision.
    Source: lllyasviel/FramePack diffusers_helper/hunyuan.py (encode_prompt_conds).
    """
    llama, clip = models.text_encoder, models.text_encoder_2
    tokens = models.tokenizer(
        TEMPLATE.replace("{}", prompt),
        max_length=CROPPED_TOKENS + PROMPT_TOKENS,
        padding="max_length",
        padding_side="right",
        truncation=True,
        return_tensors="pt",
    )
    length = int(tokens.attention_mask.sum())
    with models.visiting("text_encoder") as device:
        hidden = llama(
            input_ids=tokens.input_ids.to(device),
            attention_mask=tokens.attention_mask.to(device),
            output_hidden_states=True,
            use_cache=False,
        ).hidden_states[-3]
    clip_tokens = models.tokenizer_2(
        prompt,
        max_length=CLIP_TOKENS,
        padding="max_length",
        truncation=True,
        return_tensors="pt",
    )
    with models.visiting("text_encoder_2") as device:
        pooled = clip(input_ids=clip_tokens.input_ids.to(device)).pooler_output  # not projected
    return hidden[:, CROPPED_TOKENS:length].cpu().contiguous(), pooled.cpu()


@torch.inference_mode()
def embed_picture(models: Models, image: Image.Image) -> Tensor:
    """Embed `image` (RGB, cut to size) with SigLIP. Returns: (1, m, E), its last hidden states, on the CPU."""
    encoder = models.image_encoder
    prepared = models.feature_extractor(images=[image], return_tensors="pt").pixel_values
    with models.visiting("image_encoder") as device:
        states: Tensor = encoder(pixel_values=prepared.to(device, encoder.dtype)).last_hidden_state
    return states.cpu()


def prompt_embeds(models: Models, prompt: str, *, kept: Embeddings | None = None) -> tuple[Tensor, Tensor]:
    """Return the result of `embed_prompt`, from the store if it is there."""
    if kept is None:
        return embed_prompt(models, prompt)
    vocabularies = [_vocabulary(tokenizer) for tokenizer in (models.tokenizer, models.tokenizer_2)]
    encoders = [weights_digest(models, "text_encoder"), weights_digest(models, "text_encoder_2")]
    key = _key(["prompt", prompt, encoders, vocabularies, *_versions()])

    def make() -> dict[str, Tensor]:
        embeds, pooled = embed_prompt(models, prompt)
        return {"embeds": embeds, "pooled": pooled}

    found = _kept_or_made(kept, key, make)
    return found["embeds"], found["pooled"]


def picture_embeds(models: Models, image: Image.Image, *, kept: Embeddings | None = None) -> Tensor:
    """Return the result of `embed_picture`, from the store if it is there. image: RGB, cut to size."""
    if kept is None:
        return embed_picture(models, image)
    pixels = hashlib.sha256(image.tobytes()).hexdigest()
    processor = models.feature_extractor.to_json_string()
    key = _key(["picture", image.size, pixels, weights_digest(models, "image_encoder"), processor, *_versions()])
    return _kept_or_made(kept, key, lambda: {"embeds": embed_picture(models, image)})["embeds"]


def _kept_or_made(kept: Embeddings, key: str, make: Callable[[], dict[str, Tensor]]) -> dict[str, Tensor]:
    data = kept.get(key)
    if data is not None:
        try:
            return dict(safetensors.torch.load(data))
        except (ValueError, safetensors.SafetensorError):  # damaged: compute it again
            pass
    made = make()
    if all(bool(tensor.isfinite().all()) for tensor in made.values()):
        kept.put(key, bytes(safetensors.torch.save({name: tensor.contiguous() for name, tensor in made.items()})))
    return made


def _key(facts: list[object]) -> str:
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()


def _versions() -> list[object]:
    """Return the other facts that decide the bits: our recipe, and the libraries that compute it."""
    recipe = [_RECIPE, TEMPLATE, CROPPED_TOKENS, PROMPT_TOKENS, CLIP_TOKENS]
    return [*recipe, torch.__version__, version("transformers"), version("pillow")]


def weights_digest(models: Models, part: str) -> str:
    """Return a digest of an encoder's settings, shapes and a sample of each weight, with its numeric class."""
    model = getattr(models, part)
    if model not in _digests:
        # the config of transformers' models writes itself; of diffusers' models the model does
        settings = model.config if hasattr(model.config, "to_json_string") else model
        digest = hashlib.sha256(settings.to_json_string().encode())
        for name, weight in model.state_dict().items():
            sample = weight.flatten()[:_SAMPLE].float().cpu().contiguous()
            digest.update(f"{name} {tuple(weight.shape)} {weight.dtype}".encode() + sample.numpy().tobytes())
        _digests[model] = digest.hexdigest()
    return f"{_digests[model]} {numeric_class(models.device_of(part), model.dtype)}"


def _vocabulary(tokenizer: Any) -> str:
    """Return a digest of a tokenizer's recipe without the settings of a single call."""
    if tokenizer not in _digests:
        recipe = json.loads(tokenizer.backend_tokenizer.to_str()) | {"truncation": None, "padding": None}
        _digests[tokenizer] = hashlib.sha256(json.dumps(recipe).encode()).hexdigest()
    return _digests[tokenizer]
