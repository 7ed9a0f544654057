"""The stage `encode`: prompt and pictures become numbers, once a video; later stages need nothing else."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import torch
from PIL import Image
from torch import Tensor

from framepack_engine.artifacts import Conditioning
from framepack_engine.errors import InvalidSpec, NotFinite
from framepack_engine.images import fit, pixels
from framepack_engine.models import Models
from framepack_engine.prompts import CLIP_TOKENS, CROPPED_TOKENS, PROMPT_TOKENS, TEMPLATE
from framepack_engine.spec import RenderSpec

KEYFRAME = "keyframe_"


@torch.inference_mode()
def encode(models: Models, spec: RenderSpec, images: Mapping[str, Image.Image]) -> Conditioning:
    """Embed `spec.prompt` and the pictures. The same arguments give the same bytes on the same device.

    images: "start" is required; "end" and "keyframe_<section>" (in generation order: 0 is the video's end) are for
        i2v models. All are cut to the size of `spec`.
    Returns: tensors on the CPU; without true CFG the negative prompt is never evaluated and its embeddings are None.
    Raises: InvalidSpec naming the part that is missing or does not belong; BadImage; NotFinite.
    """
    for part in images:
        _check_part(part, spec)
    if "start" not in images:
        raise InvalidSpec("images['start'] is missing: this model begins with a picture", field="start")
    cut = {part: fit(image, height=spec.height, width=spec.width) for part, image in images.items()}
    latents = {part: _embed_pixels(models, image, seed=spec.seed, part=part) for part, image in cut.items()}
    prompt_embeds, pooled = embed_prompt(models, spec.prompt)
    negative, negative_pooled = embed_prompt(models, spec.negative_prompt) if spec.true_cfg_scale != 1 else (None, None)
    conditioning = Conditioning(
        prompt_embeds=prompt_embeds,
        pooled_prompt_embeds=pooled,
        negative_prompt_embeds=negative,
        negative_pooled_prompt_embeds=negative_pooled,
        image_embeds=embed_picture(models, cut["start"]),
        start_latent=latents["start"],
        end_latent=latents.get("end"),
        keyframes={
            int(part.removeprefix(KEYFRAME)): latent for part, latent in latents.items() if part.startswith(KEYFRAME)
        },
    )
    for name in ("prompt_embeds", "pooled_prompt_embeds", "image_embeds", "start_latent"):
        if not bool(getattr(conditioning, name).isfinite().all()):
            raise NotFinite(f"{name} is not finite: the model's weights or its precision are at fault", part=name)
    return conditioning


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
    hidden = llama(
        input_ids=tokens.input_ids.to(llama.device),
        attention_mask=tokens.attention_mask.to(llama.device),
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
    pooled = clip(input_ids=clip_tokens.input_ids.to(clip.device)).pooler_output  # not projected
    return hidden[:, CROPPED_TOKENS:length].cpu().contiguous(), pooled.cpu()


@torch.inference_mode()
def embed_picture(models: Models, image: Image.Image) -> Tensor:
    """SigLIP's view of `image` (RGB, cut to size). Returns: (1, m, E) last hidden states on the CPU."""
    encoder = models.image_encoder
    prepared = models.feature_extractor(images=[image], return_tensors="pt").pixel_values
    states: Tensor = encoder(pixel_values=prepared.to(encoder.device, encoder.dtype)).last_hidden_state
    return states.cpu()


def _embed_pixels(models: Models, image: Image.Image, *, seed: int, part: str) -> Tensor:
    """One frame through the VAE: (1, 16, 1, h, w) float32 on the CPU, drawn from the posterior and scaled.

    The reference draws from the global generator, so its start latent cannot be made again; here each part has its own
    seed, derived from the video's: another keyframe changes no other latent, and no noise is used twice.
    """
    vae = models.vae
    posterior = vae.encode(pixels(image).to(vae.device, vae.dtype)).latent_dist
    mean, std = posterior.mean.float().cpu(), posterior.std.float().cpu()
    own = int.from_bytes(hashlib.sha256(f"{seed}/{part}".encode()).digest()[:8], "big") >> 1
    noise = torch.randn(mean.shape, generator=torch.Generator("cpu").manual_seed(own))
    drawn: Tensor = (mean + std * noise) * vae.config.scaling_factor
    return drawn


def _check_part(part: str, spec: RenderSpec) -> None:
    """Raises: InvalidSpec for a picture that this model has no use for."""
    section = part.removeprefix(KEYFRAME)
    if part not in {"start", "end"} and not (part.startswith(KEYFRAME) and section.isdecimal()):
        raise InvalidSpec(f"images[{part!r}]: known are start, end and keyframe_<section>", field=part)
    if part != "start" and spec.kind == "f1":
        raise InvalidSpec(f"images[{part!r}]: an F1 model goes forward from the start and aims at nothing", field=part)
    if part.startswith(KEYFRAME) and int(section) >= spec.sections:
        raise InvalidSpec(f"images[{part!r}]: the video has sections 0 to {spec.sections - 1}", field=part)
