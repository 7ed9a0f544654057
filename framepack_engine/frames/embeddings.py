"""Embeddings of prompts and pictures, kept by content: made once, used by every video that needs the same.

A key is a digest of all that decides an embedding's bits: the text or the pixels, the encoders' own weights and
vocabularies, and the numeric class that they run in.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, Protocol
from weakref import WeakKeyDictionary

import safetensors
import safetensors.torch
import torch
from PIL import Image
from torch import Tensor

from framepack_engine.models.shelf import Models
from framepack_engine.planning.prompt_template import CLIP_TOKENS, CROPPED_TOKENS, PROMPT_TOKENS, TEMPLATE
from framepack_engine.sampling.numeric import numeric_class


@torch.inference_mode()
def embed_prompt(models: Models, prompt: str) -> tuple[Tensor, Tensor]:
    """Embed one prompt with both text encoders.

    Llama sees HunyuanVideo's instructions and the prompt, padded on the right to 95 + 256 tokens and truncated there;
    its third-last hidden states are taken, without the 95 and without the padding. CLIP sees the prompt alone.

    Returns: (1, n, D), n from 1 to 256, and the pooled (1, P), on the CPU in the encoders' own precision.
    Source: framepack.md, "Sampling", Text; arXiv:2412.03603 §4.
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
    """SigLIP's view of `image` (RGB, cut to size). Returns: (1, m, E) last hidden states on the CPU."""
    encoder = models.image_encoder
    prepared = models.feature_extractor(images=[image], return_tensors="pt").pixel_values
    with models.visiting("image_encoder") as device:
        states: Tensor = encoder(pixel_values=prepared.to(device, encoder.dtype)).last_hidden_state
    return states.cpu()


if TYPE_CHECKING:
    from PIL import Image

    from framepack_engine.models.shelf import Models

_RECIPE = 1  #: an embedding computed in another way (another layer, say) takes the next number
_SAMPLE = 64  #: numbers of each weight that go into a model's digest: all of them would take minutes
_digests: WeakKeyDictionary[Any, str] = WeakKeyDictionary()


class Embeddings(Protocol):
    """Where embeddings are kept: a store of bytes by key. Losing one costs time, never a result."""

    def get(self, key: str) -> bytes | None:
        """The bytes kept under `key`, whole; None where there are none."""

    def put(self, key: str, data: bytes) -> None:
        """Keep `data` under `key`, a sha256 in hex."""


def prompt_embeds(models: Models, prompt: str, *, kept: Embeddings | None = None) -> tuple[Tensor, Tensor]:
    """`embed_prompt`, or what it gave before."""
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
    """`embed_picture`, or what it gave before. image: RGB, cut to size."""
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
        except (ValueError, safetensors.SafetensorError):  # damaged: made again, which is all it was for
            pass
    made = make()
    if all(bool(tensor.isfinite().all()) for tensor in made.values()):
        kept.put(key, bytes(safetensors.torch.save({name: tensor.contiguous() for name, tensor in made.items()})))
    return made


def _key(facts: list[object]) -> str:
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()


def _versions() -> list[object]:
    """What else decides the bits: our recipe, and the libraries that carry it out."""
    recipe = [_RECIPE, TEMPLATE, CROPPED_TOKENS, PROMPT_TOKENS, CLIP_TOKENS]
    return [*recipe, torch.__version__, version("transformers"), version("pillow")]


def weights_digest(models: Models, part: str) -> str:
    """Digest of an encoder's settings, shapes and a sample of each weight, with where it computes; taken once."""
    model = getattr(models, part)
    if model not in _digests:
        settings = model.config if hasattr(model.config, "to_json_string") else model  # transformers', diffusers'
        digest = hashlib.sha256(settings.to_json_string().encode())
        for name, weight in model.state_dict().items():
            sample = weight.flatten()[:_SAMPLE].float().cpu().contiguous()
            digest.update(f"{name} {tuple(weight.shape)} {weight.dtype}".encode() + sample.numpy().tobytes())
        _digests[model] = digest.hexdigest()
    return f"{_digests[model]} {numeric_class(models.device_of(part), model.dtype)}"  # the threads may change meanwhile


def _vocabulary(tokenizer: Any) -> str:
    """Digest of a tokenizer's whole recipe, but for what each call sets."""
    if tokenizer not in _digests:
        recipe = json.loads(tokenizer.backend_tokenizer.to_str()) | {"truncation": None, "padding": None}
        _digests[tokenizer] = hashlib.sha256(json.dumps(recipe).encode()).hexdigest()
    return _digests[tokenizer]
