"""A folder of a person's own clips, each with its prompt, encoded once and kept as latents by bucket.

`walk.mp4` needs `walk.txt`. A long video is cut into stretches of whole sections; what is left over is not used.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import safetensors.torch
import torch
from PIL import Image
from torch import Tensor

from framepack_engine.errors import EngineError, VideoMismatch
from framepack_engine.frames.embeddings import weights_digest
from framepack_engine.frames.images import fit, pixels
from framepack_engine.frames.source import look_at, video_frames
from framepack_engine.models.shelf import Models
from framepack_engine.planning.buckets import nearest_bucket
from framepack_engine.planning.sections import frames_for
from lab.training.stages.diffusion import ClipEncoder
from lab.training.stages.samples import ClipLatents

ENDINGS = (".mp4", ".mov", ".webm", ".mkv")
_FORMAT = 1  #: of the kept files; a change takes the next number


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptClip:
    """One stretch of a video, encoded, in a file. Those of equal size and sections may lie in one batch."""

    path: Path
    source: Path
    height: int
    width: int
    sections: int

    @property
    def bucket(self) -> tuple[int, int, int]:
        """The size and length that clips of one batch have in common."""
        return self.height, self.width, self.sections


def keep_clips(
    folder: Path,
    kept: Path,
    models: Models,
    *,
    resolution: int,
    window: int,
    max_sections: int,
    on_video: Callable[[int, int], None] | None = None,
) -> list[KeptClip]:
    """Encode every video of `folder` into `kept`, but for what lies there already; in order of name.

    resolution: of the size buckets, px. on_video: hears how many of how many videos are done.
    Raises: EngineError naming the file that has no words, is shorter than a section or no video.
    """
    videos = sorted(path for path in folder.glob("*") if path.suffix.lower() in ENDINGS)
    if not videos:
        raise EngineError(f"{folder} has no video ({', '.join(ENDINGS)})")
    kept.mkdir(parents=True, exist_ok=True)
    encoder, clips = ClipEncoder(models, seed=_FORMAT), list[KeptClip]()
    encoders = [weights_digest(models, part) for part in ("vae", "text_encoder", "text_encoder_2")]
    for number, video in enumerate(videos):
        clips += _stretches(
            video, kept, encoder, facts=encoders, resolution=resolution, window=window, max_sections=max_sections
        )
        if on_video is not None:
            on_video(number + 1, len(videos))
    return clips


def _stretches(
    video: Path,
    kept: Path,
    encoder: ClipEncoder,
    *,
    facts: list[str],
    resolution: int,
    window: int,
    max_sections: int,
) -> Iterator[KeptClip]:
    words = video.with_suffix(".txt")
    if not words.is_file():
        raise EngineError(f"{words} is missing: say in it what {video.name} shows and how it moves")
    prompt = " ".join(words.read_text(encoding="utf-8").split())
    try:
        shown = look_at(video)
    except VideoMismatch as err:
        raise EngineError(f"{video}: {err}") from err
    whole = (shown.frames - 1) // (4 * window)
    if whole < 1:
        least = frames_for(1, window)
        raise EngineError(f"{video} has {shown.frames} frames at 30 a second: need {least} for a section")
    height, width = nearest_bucket(shown.height, shown.width, resolution)
    digest = hashlib.sha256(video.read_bytes()).hexdigest()
    frames = video_frames(video)
    for begin in range(0, whole, max_sections):
        sections = min(max_sections, whole - begin)
        count = frames_for(sections, window)
        key = hashlib.sha256(
            json.dumps([_FORMAT, digest, prompt, begin, sections, window, height, width, facts]).encode()
        ).hexdigest()
        path = kept / f"{key}.safetensors"
        pictures = islice(frames, count)
        if not path.is_file():
            _write(path, encoder, pictures, prompt, count=count, height=height, width=width, key=key)
        for _ in pictures:  # those that a kept file spares us
            pass
        yield KeptClip(path=path, source=video, height=height, width=width, sections=sections)


def _write(
    path: Path,
    encoder: ClipEncoder,
    pictures: Iterator[Image.Image],
    prompt: str,
    *,
    count: int,
    height: int,
    width: int,
    key: str,
) -> None:
    stack = [pixels(fit(picture, height=height, width=width)) for picture in pictures]
    stack += [stack[-1]] * (count - len(stack))  # a file may tell more frames than it has
    encoded = encoder.encoded(torch.cat(stack, dim=2), [prompt], number=int(key[:12], 16))
    embeds, pooled = encoded.text[0]
    tensors = {
        "latents": encoded.latents,
        "start": encoded.start,
        "end": encoded.end,
        "embeds": embeds,
        "pooled": pooled,
        "image_embeds": encoded.image_embeds,
    }
    aside = path.with_suffix(".being-written")
    safetensors.torch.save_file({name: tensor.cpu().contiguous() for name, tensor in tensors.items()}, aside)
    aside.replace(path)


def load_clips(clips: list[KeptClip], *, device: str | torch.device) -> ClipLatents:
    """Load kept clips of one bucket as a batch on the device."""
    parts = [safetensors.torch.load_file(clip.path, device=str(device)) for clip in clips]

    def joined(name: str) -> Tensor:
        return torch.cat([part[name] for part in parts])

    return ClipLatents(
        latents=joined("latents").float(),
        start=joined("start").float(),
        end=joined("end").float(),
        text=[(part["embeds"], part["pooled"]) for part in parts],
        image_embeds=joined("image_embeds"),
    )
