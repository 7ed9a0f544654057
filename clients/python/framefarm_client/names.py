"""The forms of names: a video's id, an object's key, and the files that a video is saved to."""

from __future__ import annotations

import re
from collections.abc import Collection
from pathlib import Path

_ID = re.compile(r"video_[0-9a-f]{32}")
_KEY = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]*(/[A-Za-z0-9_-][A-Za-z0-9._-]*)*")
_NAME_BYTES = 120  #: of a file's name; a partial file's has 60 more, and file systems take 255
#: variant of a video's content -> how the file ends; all others are PNG
_SUFFIXES = {
    "video": "mp4",
    "partial": "mp4",
    "latents": "safetensors",
    "frames": "zip",
    "poster": "webp",
    "live": "webp",
}


def is_id(text: str) -> bool:
    """Whether `text` has the form of a video's id."""
    return _ID.fullmatch(text) is not None


def is_key(text: str) -> bool:
    """Tell whether `text` could be a key of the farm; a bucket may hold other objects too."""
    return _KEY.fullmatch(text) is not None


def suffix_of(variant: str) -> str:
    """Return how a file of that variant ends."""
    return _SUFFIXES.get(variant, "png")


def file_name(name: str) -> str:
    """Return a video's name as the name of a file, without its suffix, or "" if no letter of it can be one."""
    plain = re.sub(r"[^\w.,()+ -]+", "-", name).strip(" .-")
    return plain.encode()[:_NAME_BYTES].decode(errors="ignore").strip(" .-")


def free_neighbour(path: Path, *, besides: Collection[Path] = ()) -> Path:
    """Return `path` itself, or cat-2.mp4, cat-3.mp4 …: the first that is neither there nor in `besides`."""
    number, free = 1, path
    while free.exists() or free.is_symlink() or free in besides:
        number += 1
        free = path.with_stem(f"{path.stem}-{number}")
    return free
