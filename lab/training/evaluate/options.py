"""The options of `bench pocket`. Loads no torch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from lab.options import option

PARTS = ("vae", "motion", "end", "drift")


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialOptions:
    """The command's flags."""

    model: str = option("name of an i2v model, or a folder with both transformers (default: pocket)", default="pocket")
    resolution: int | None = option("of the size buckets, px (default: the model's own)")
    photos: Path = option(
        "folder of .jpg files that were not in training (default: examples)", default=Path("examples")
    )
    out: Path = option("folder for clips, sheet.png and report.json", default=Path("bench-pocket"))
    steps: int = option("steps of each section (default: 25)", default=25, least=1)
    window: int = option("latent frames of a section", default=9, least=1, flag="--latent-window-size")
    true_cfg_scale: float = option("true CFG of each video; above 1 a step costs two forwards", default=1.0, least=1)
    only: tuple[str, ...] = option(f"{', '.join(PARTS)}; may be repeated (default: all)", default=())
