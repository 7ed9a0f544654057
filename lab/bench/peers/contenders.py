"""The two contenders: the engine's renderer, and diffusers' pipeline as its documentation uses it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from PIL import Image

from framepack_engine.models.locate import locate
from framepack_engine.models.shelf import load_models
from framepack_engine.models.weights import load_part, quiet
from framepack_engine.pipeline import Renderer, Sampler
from framepack_engine.planning.buckets import nearest_bucket
from framepack_engine.planning.sections import time_order
from framepack_engine.planning.spec import RenderSpec
from framepack_engine.sampling.artifacts import Conditioning
from lab.bench.peers.options import RANDOM_MODEL, PeersOptions
from lab.bench.peers.stopwatch import Stopwatch
from lab.bench.random_model import RandomParts, random_conditioning, random_framepack

_CRF = 16  #: of both mp4s
_RESOLUTION = 640  #: of the random model
_SHIFT = 7.0  #: of the scheduler in hunyuanvideo-community/HunyuanVideo


@dataclass(frozen=True, slots=True, kw_only=True)
class Contestant:
    """A loaded contender. render: writes the mp4, and returns its number of frames."""

    transformer: Any
    vae: Any
    render: Callable[[Path, Stopwatch], int]


def engine(options: PeersOptions, sections: int, photo: Image.Image) -> Contestant:
    """Load the engine's renderer."""
    spec = _spec(options, sections, photo)
    device = torch.device(options.device)
    conditioning: Callable[[], Conditioning]
    renderer: Sampler
    if options.model == RANDOM_MODEL:
        parts = random_framepack(device=device, home=device)
        transformer, vae = parts.transformer, parts.vae
        renderer = Sampler(transformer, vae, device=str(device))
        conditioning = partial(random_conditioning, parts, height=spec.height, width=spec.width)
    else:
        models = load_models(options.model, device=str(device))
        transformer, vae = models.transformer, models.vae
        renderer = Renderer(models, device=str(device))
        conditioning = partial(renderer.encode, spec, {"start": photo})

    def render(out: Path, watch: Stopwatch) -> int:
        shared = conditioning()
        count = 0
        with TemporaryDirectory(dir=out.parent) as folder:
            for index, frames in renderer.clips(spec, shared):
                count += len(frames)
                with watch.timed("mp4_s"):
                    _write(frames, Path(folder, f"{index}.mp4"))
            with watch.timed("mp4_s"):
                _join([Path(folder, f"{index}.mp4") for index in time_order(spec.kind, sections)], out)
        return count

    return Contestant(transformer=transformer, vae=vae, render=render)


def diffusers_pipeline(options: PeersOptions, sections: int, photo: Image.Image) -> Contestant:
    """Load diffusers' pipeline with the same files, by its own loader."""
    from diffusers import FlowMatchEulerDiscreteScheduler, HunyuanVideoFramepackPipeline

    spec = _spec(options, sections, photo)
    random = options.model == RANDOM_MODEL
    parts = _random_parts(options) if random else _own_parts(options)
    words: dict[str, Any] = _random_words(parts["transformer"]) if random else {"prompt": options.prompt}
    pipeline = HunyuanVideoFramepackPipeline(scheduler=FlowMatchEulerDiscreteScheduler(shift=_SHIFT), **parts)
    pipeline.set_progress_bar_config(disable=True)
    if random:
        image_embeds = words.pop("image_embeds")
        pipeline.encode_image = lambda *_, **__: image_embeds

    def render(out: Path, watch: Stopwatch) -> int:
        frames = pipeline(
            image=photo,
            height=spec.height,
            width=spec.width,
            num_frames=sections * (4 * spec.latent_window_size - 3),
            latent_window_size=spec.latent_window_size,
            num_inference_steps=spec.num_inference_steps,
            guidance_scale=spec.guidance_scale,
            generator=torch.Generator().manual_seed(spec.seed),
            output_type="np",
            **words,
        ).frames[0]
        with watch.timed("mp4_s"):
            _write((frames * 255).round().astype("uint8"), out)
        return len(frames)

    return Contestant(transformer=pipeline.transformer, vae=pipeline.vae, render=render)


def _own_parts(options: PeersOptions) -> dict[str, Any]:
    """Load a model's files. The engine's loader also tunes the VAE's convolutions, so transformer and VAE skip it."""
    from diffusers import AutoencoderKLHunyuanVideo, HunyuanVideoFramepackTransformer3DModel

    own = {"transformer": HunyuanVideoFramepackTransformer3DModel, "vae": AutoencoderKLHunyuanVideo}
    _, folders = locate(options.model)
    dtype = torch.float32 if options.device == "cpu" else None
    with quiet():
        return {
            part: own[part].from_pretrained(folder, torch_dtype=dtype or torch.bfloat16).to(options.device)
            if part in own
            else load_part(part, folder, device=options.device, dtype=dtype)
            for part, folder in folders.items()
        }


def _random_parts(options: PeersOptions) -> dict[str, Any]:
    """Make the random model, which has no encoders."""
    device = torch.device(options.device)
    models = random_framepack(device=device, home=device)
    encoders = ("text_encoder", "tokenizer", "text_encoder_2", "tokenizer_2", "image_encoder", "feature_extractor")
    return dict.fromkeys(encoders) | {"transformer": models.transformer, "vae": models.vae}


def _random_words(transformer: Any) -> dict[str, Any]:
    """Draw what the missing encoders would give."""
    made = random_conditioning(RandomParts(transformer, None), height=64, width=64)
    like = next(transformer.parameters())
    mask = torch.ones(made.prompt_embeds.shape[:2])
    found = {
        "prompt_embeds": made.prompt_embeds,
        "pooled_prompt_embeds": made.pooled_prompt_embeds,
        "prompt_attention_mask": mask,
        "image_embeds": made.image_embeds,
    }
    return {name: tensor.to(like) for name, tensor in found.items()}


def _spec(options: PeersOptions, sections: int, photo: Image.Image) -> RenderSpec:
    resolution = options.resolution or (
        _RESOLUTION if options.model == RANDOM_MODEL else locate(options.model)[0].resolution
    )
    height, width = nearest_bucket(photo.height, photo.width, resolution)
    return RenderSpec(
        kind="i2v",
        sections=sections,
        height=height,
        width=width,
        seed=1,
        prompt=options.prompt,
        latent_window_size=options.window,
        num_inference_steps=options.steps,
        attention="sdpa",
    )


def _write(frames: Any, path: Path) -> None:
    try:
        from framepack_engine.frames.video import encode_clip
    except ImportError:  # a bare GPU machine: both contenders end with the frames
        return
    encode_clip(frames, path, crf=_CRF)


def _join(clips: list[Path], out: Path) -> None:
    whole = [clip for clip in clips if clip.exists()]
    if not whole:
        return
    from framepack_engine.frames.video import join_clips

    join_clips(whole, out)
