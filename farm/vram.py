"""Classes of GPU memory, as they stand in Ray's labels: `v24` is a card that is sold as one of 24 GB."""

from __future__ import annotations

VRAM_CLASSES = ("v6", "v8", "v12", "v16", "v24", "v48", "v80", "v141")
_SHARE = 0.9  #: what a card reports is up to this much less than it is sold with: an L4 of 24 GB says 22.5 GiB


def vram_class(gib: float) -> str | None:
    """The largest class that a device of `gib` GiB fills; None: it is smaller than all."""
    fitting = [name for name in VRAM_CLASSES if gib >= _SHARE * int(name[1:])]
    return fitting[-1] if fitting else None
