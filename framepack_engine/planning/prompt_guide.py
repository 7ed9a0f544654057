"""How to write prompts for the models, and prompts to begin with. Loads no torch."""

from __future__ import annotations

from framepack_engine.planning.presets import PRESETS

GUIDE = (
    "Say what moves. The picture already shows how everything looks.",
    "Name the subject first, then its motion, then the rest.",
    "Keep it short: one or two sentences.",
    "Large motions, such as dancing, jumping or running, work better than standing or sitting still.",
)
POCKET_GUIDE = (
    "Name one motion of the camera or the light: pocket has learnt a pan, and a scene that gets brighter or darker.",
    "Add how fast: slowly, quickly.",
)
POCKET_SAMPLES = (
    "The camera pans slowly to the left.",
    "The camera pans to the right.",
    "The scene gets slowly brighter.",
    "Night comes.",
)


def samples() -> tuple[str, ...]:
    """Return the prompts of the presets, each once."""
    return tuple(dict.fromkeys(preset.prompt for preset in PRESETS.values() if preset.prompt))
