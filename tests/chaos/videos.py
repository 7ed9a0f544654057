"""The videos that are asked for, and what is compared of them."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path
from typing import NamedTuple

import av
from PIL import Image
from safetensors.numpy import load_file

#: name -> fields: different lengths, kinds of model and windows; all small. Window 3: a section is 0.4 s.
REQUESTS = {
    "long": {"model": "tiny", "seconds": 4.8, "seed": 1, "latent_window_size": 3, "num_inference_steps": 24},
    "middle": {"model": "tiny", "seconds": 2.4, "seed": 2, "latent_window_size": 3, "num_inference_steps": 40},
    "short": {"model": "tiny", "seconds": 0.4, "seed": 3, "latent_window_size": 3, "num_inference_steps": 4},
    "wide": {"model": "tiny", "seconds": 2.4, "seed": 4, "latent_window_size": 9, "num_inference_steps": 25},
    "text": {"model": "tiny-f1", "seconds": 2.0, "seed": 5, "latent_window_size": 3, "num_inference_steps": 30},
    "many steps": {"model": "tiny", "seconds": 0.8, "seed": 6, "latent_window_size": 3, "num_inference_steps": 100},
}


class Made(NamedTuple):
    """A video, as far as it must not depend on faults."""

    latents: str  #: sha256
    frames: str  #: sha256 of the decoded frames
    number: int  #: of frames


def made_of(latents: Path, mp4: Path) -> Made:
    """Read both files of a finished video."""
    tensors = load_file(latents)
    digest = hashlib.sha256(b"".join(tensors[name].tobytes() for name in sorted(tensors)))
    with av.open(str(mp4), mode="r") as video:
        frames = [frame.to_ndarray().tobytes() for frame in video.decode(video=0)]
    return Made(digest.hexdigest(), hashlib.sha256(b"".join(frames)).hexdigest(), len(frames))


def photo(path: Path) -> Path:
    """A picture with some structure."""
    data = io.BytesIO()
    Image.radial_gradient("L").convert("RGB").resize((80, 60)).save(data, "PNG")
    path.write_bytes(data.getvalue())
    return path
