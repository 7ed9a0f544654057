"""The options of `bench peers`. Loads no torch."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from lab.options import option, taken

ABOUT = """Compare the engine with diffusers' HunyuanVideoFramepackPipeline: seconds and peak memory, from photo to mp4.

Both have the same weights, photo, sections, steps and threads, and each video a process of its own. Where PyAV is not
installed, both end with the frames.
"""
RANDOM_MODEL = "framepack-i2v-random"
Contender = Literal["engine", "diffusers"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PeersOptions:
    """The command's flags."""

    model: str = option(
        "a model with files here, as pocket; or framepack-i2v-random, the 13B architecture, for a GPU", default="pocket"
    )
    device: str = option("cpu, or cuda, cuda:1 …", default="cpu")
    sections: tuple[int, ...] = option("length of a video; may be repeated (default: 2, 8, 20)", default=(2, 8, 20))
    steps: int = option("steps of each section", default=25, least=1)
    resolution: int | None = option("of the size buckets, px (default: the model's own)", least=64)
    window: int = option("latent frames of a section", default=9, least=1)
    threads: int | None = option("CPU threads (default: all cores)", least=1)
    photo: Path | None = option("a picture to begin with (default: one that is drawn)")
    prompt: str = option("what the video shows", default="The camera moves slowly to the left.")
    out: Path = option("folder for the videos and stderr.txt", default=Path("bench-peers"))

    def to_json(self) -> str:
        """Write the options for another process."""
        paths = {"out": str(self.out), "photo": None if self.photo is None else str(self.photo)}
        return json.dumps(asdict(self) | paths)

    @classmethod
    def from_json(cls, text: str) -> PeersOptions:
        """Read what `to_json` wrote."""
        given = json.loads(text)
        photo = None if given["photo"] is None else Path(given["photo"])
        return taken(cls, given | {"out": Path(given["out"]), "photo": photo})
