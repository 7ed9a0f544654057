"""The freely licensed photographs inside scikit-image and scikit-learn, without those that are held out.

The four of examples/ are held out. They come from scikit-image too, and a model that has seen them proves nothing.
"""

from __future__ import annotations

from functools import cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from framepack_engine.errors import EngineError

#: scikit-image's names of the photos of examples/: in evaluation and demo only, never in training
HELD_OUT = ("astronaut.png", "chelsea.png", "coffee.png", "rocket.jpg")

#: package -> folder in it, photos taken. Rights, by scikit-image's docstrings and scikit-learn's README: CC0, public
#: domain or "no known copyright restrictions"; china and flower CC BY 2.0. Others are left out.
PHOTOS = {
    "skimage": (
        "data",
        (
            "brick.png",
            "camera.png",
            "cell.png",
            "clock_motion.png",
            "coins.png",
            "grass.png",
            "gravel.png",
            "hubble_deep_field.jpg",
            "ihc.png",
            "retina.jpg",
        ),
    ),
    "sklearn": ("datasets/images", ("china.jpg", "flower.jpg")),
}


def photo_paths() -> list[Path]:
    """Return the files of all training photos, in a fixed order.

    Raises: EngineError that says what to install.
    """
    paths = []
    for package, (folder, names) in PHOTOS.items():
        found = find_spec(package)
        if found is None or found.origin is None:
            raise EngineError(f"training photos: {package} is missing; pip install 'framepack-farm[train]'")
        paths += [Path(found.origin).parent / folder / name for name in names]
    missing = [str(path) for path in paths if not path.is_file()]
    if missing:
        raise EngineError(f"training photos: this version of the package has no {', '.join(missing)}")
    return paths


@cache
def photos() -> tuple[Tensor, ...]:
    """Return all training photos, each (3, height, width) uint8 on the CPU; grey ones have three equal channels."""
    loaded = []
    for path in photo_paths():
        with Image.open(path) as image:
            loaded.append(torch.from_numpy(np.asarray(image.convert("RGB")).copy()).permute(2, 0, 1))
    return tuple(loaded)
