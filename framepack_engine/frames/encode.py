"""The stage `encode`: turn prompts and pictures into the numbers that all later stages start from."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from framepack_engine.errors import InvalidSpec, NotFinite
from framepack_engine.frames.embeddings import Embeddings, picture_embeds, prompt_embeds
from framepack_engine.frames.images import fit, pixels
from framepack_engine.models.shelf import Models
from framepack_engine.planning.sections import tail_frames
from framepack_engine.planning.spec import RenderSpec
from framepack_engine.sampling.artifacts import Conditioning

KEYFRAME = "keyframe_"
GREY = (128, 128, 128)
_NOISE_CELL_PX = 16  #: one token; finer noise would be lost in the VAE


@torch.inference_mode()
def encode(
    models: Models,
    spec: RenderSpec,
    images: Mapping[str, Image.Image],
    *,
    tail: NDArray[np.uint8] | None = None,
    embeddings: Embeddings | None = None,
) -> Conditioning:
    """Embed the prompts and the pictures of `spec`. The same arguments give the same bytes on the same device.

    images: "start" is required by i2v models; without it an f1 model begins with `start_picture`. "end" and
        "keyframe_<section>" (in generation order: 0 is the video's end) are for i2v models. Each is cut to the size of
        `spec`.
    tail: the last frames, in time order, of the video that is continued (`spec.continues`): (T, H, W, 3) uint8 of any
        size. The last one is the start image, the last 73 are the history.
    embeddings: a store of embeddings that were made before; the bytes are the same without it.
    Returns: tensors on the CPU. Without true CFG the negative embeddings are None, and the prompt is not evaluated.
    Raises: InvalidSpec naming the picture that is missing or not allowed; BadImage; NotFinite.
    """
    for part in images:
        _check_part(part, spec)
    frames = _tail_pictures(tail, spec)
    images = {**images, "start": _start(spec, images, frames)}
    cut = {part: fit(image, height=spec.height, width=spec.width) for part, image in images.items()}
    latents = {part: _embed_pixels(models, pixels(image), seed=spec.seed, part=part) for part, image in cut.items()}
    text, pooled = prompt_embeds(models, spec.prompt, kept=embeddings)
    negative, negative_pooled = None, None
    if spec.true_cfg_scale != 1:
        negative, negative_pooled = prompt_embeds(models, spec.negative_prompt, kept=embeddings)
    history = None
    if frames:
        stack = torch.cat([pixels(fit(frame, height=spec.height, width=spec.width)) for frame in frames], dim=2)
        history = _embed_pixels(models, stack, seed=spec.seed, part="history")
    conditioning = Conditioning(
        prompt_embeds=text,
        pooled_prompt_embeds=pooled,
        negative_prompt_embeds=negative,
        negative_pooled_prompt_embeds=negative_pooled,
        image_embeds=picture_embeds(models, cut["start"], kept=embeddings),
        start_latent=latents["start"],
        end_latent=latents.get("end"),
        keyframes={
            int(part.removeprefix(KEYFRAME)): latent for part, latent in latents.items() if part.startswith(KEYFRAME)
        },
        timed=tuple(prompt_embeds(models, prompt.text, kept=embeddings) for prompt in spec.prompts),
        history=history,
    )
    for name in ("prompt_embeds", "pooled_prompt_embeds", "image_embeds", "start_latent"):
        if not bool(getattr(conditioning, name).isfinite().all()):
            raise NotFinite(f"{name} has NaN or infinity: the model's weights or its precision are at fault", part=name)
    return conditioning


def start_picture(spec: RenderSpec) -> Image.Image:
    """Make the start image of an f1 video that has none: mid-grey, or coloured squares drawn from the seed."""
    if spec.start == "grey":
        return Image.new("RGB", (spec.width, spec.height), GREY)
    rows, columns = -(-spec.height // _NOISE_CELL_PX), -(-spec.width // _NOISE_CELL_PX)
    generator = _generator(spec.seed, "noise")
    cells = torch.randint(0, 256, (rows, columns, 3), generator=generator, dtype=torch.uint8)
    small = Image.fromarray(cells.numpy())
    return small.resize((columns * _NOISE_CELL_PX, rows * _NOISE_CELL_PX), Image.Resampling.NEAREST)


def _embed_pixels(models: Models, frames: Tensor, *, seed: int, part: str) -> Tensor:
    """Encode (1, 3, 1 + 4n, H, W) frames in [-1, 1]; draw from the VAE's posterior and scale.

    The reference draws from the global generator, so its start latent cannot be repeated. Here each picture has a seed
    of its own, derived from the video's: another keyframe changes no other latent, and no noise is used twice.

    Returns: (1, 16, 1 + n, h, w) float32 on the CPU.
    """
    vae = models.vae
    vae.use_framewise_encoding, vae.use_tiling, vae.use_slicing = True, False, False  # a decode may have changed them
    with models.visiting("vae") as device:
        posterior = vae.encode(frames.to(device, vae.dtype)).latent_dist
    mean, std = posterior.mean.float().cpu(), posterior.std.float().cpu()
    noise = torch.randn(mean.shape, generator=_generator(seed, part))
    drawn: Tensor = (mean + std * noise) * vae.config.scaling_factor
    return drawn


def _generator(seed: int, part: str) -> torch.Generator:
    own = int.from_bytes(hashlib.sha256(f"{seed}/{part}".encode()).digest()[:8], "big") >> 1
    return torch.Generator("cpu").manual_seed(own)


def _start(spec: RenderSpec, images: Mapping[str, Image.Image], frames: list[Image.Image]) -> Image.Image:
    """The start image: the one given, the last frame of the video before, or `start_picture`."""
    if frames:
        if "start" in images:
            raise InvalidSpec("images['start']: a continuation starts with the other video's last frame", field="start")
        return frames[-1]
    if "start" in images:
        return images["start"]
    if spec.kind != "f1":
        raise InvalidSpec("images['start'] is missing: this model needs a start image", field="start")
    return start_picture(spec)


def _tail_pictures(tail: NDArray[np.uint8] | None, spec: RenderSpec) -> list[Image.Image]:
    """The frames that become history: the last ones, as many as make whole latent frames."""
    if (tail is not None) != spec.continues:
        raise InvalidSpec("continues needs the tail of a video, and the tail needs continues", field="continues")
    if tail is None:
        return []
    count = tail_frames(len(tail))
    return [Image.fromarray(frame) for frame in tail[-count:]]


def _check_part(part: str, spec: RenderSpec) -> None:
    """Raise InvalidSpec for a picture that this model cannot use."""
    section = part.removeprefix(KEYFRAME)
    if part not in {"start", "end"} and not (part.startswith(KEYFRAME) and section.isdecimal()):
        raise InvalidSpec(f"images[{part!r}]: known are start, end and keyframe_<section>", field=part)
    if part != "start" and spec.kind == "f1":
        raise InvalidSpec(f"images[{part!r}]: an F1 model takes a start image only", field=part)
    if part.startswith(KEYFRAME) and int(section) >= spec.sections:
        raise InvalidSpec(f"images[{part!r}]: the video's sections are 0 to {spec.sections - 1}", field=part)
