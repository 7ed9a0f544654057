"""The forms of a video's id and of an object's key."""

from __future__ import annotations

import re

_ID = re.compile(r"video_[0-9a-f]{32}")
_KEY = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]*(/[A-Za-z0-9_-][A-Za-z0-9._-]*)*")


def is_id(text: str) -> bool:
    """Whether `text` has the form of a video's id."""
    return _ID.fullmatch(text) is not None


def is_key(text: str) -> bool:
    """Tell whether `text` could be a key of the farm; a bucket may hold other objects too."""
    return _KEY.fullmatch(text) is not None
