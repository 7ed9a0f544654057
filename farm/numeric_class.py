"""A numeric class as the farm reads it: what a worker says of its device, and what each order adds to it."""

from __future__ import annotations

import re

AUTO = "auto"  #: in a request: by the worker that begins the video
#: as `framepack_engine.spec` names them; a test compares
ATTENTIONS = ("sdpa", "cudnn", "flash", "flash-3", "sage", "xformers")
_THREADS = re.compile(r"-t\d+$")


def family(numeric_class: str) -> str:
    """Without its thread count, which a CPU worker sets for each order."""
    return _THREADS.sub("", numeric_class)


def attention_of(numeric_class: str) -> str | None:
    """The attention in a video's class; None: there is none, as in what a worker says of itself."""
    whole = family(numeric_class)
    return next((name for name in ATTENTIONS if whole.endswith(f"-{name}")), None)


def attention_for(asked: str, pinned: str | None) -> str | None:
    """What computes a video's attention. asked: its request's. pinned: its class, None: none yet, or it may be mixed.

    None: whatever the worker takes that gets it.
    """
    if asked != AUTO:
        return asked
    return None if pinned is None else attention_of(pinned)
