"""The options of `bench gpu`, and the section that they ask for. Loads no torch."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from framepack_engine.errors import EngineError
from framepack_engine.memory.ladder import GIB
from framepack_engine.models.host import host_bytes
from framepack_engine.planning.spec import RenderSpec
from lab.options import option, taken

ABOUT = """Render a section by each way to hold the model: seconds, FLOP utilisation, memory and bytes copied.

No file is needed: the weights are random, and so is the picture. Each row is a line of OUT/rows.jsonl when it ends; a
row that fails or hangs costs only itself. On the CPU (--model tiny --device cpu) times are noise, the rest is real.
"""
_SIZES = {"framepack-i2v-random": "640x608", "tiny": "64x64"}


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuOptions:
    """The command's flags."""

    model: Literal["framepack-i2v-random", "tiny"] = option(
        "the 13B architecture with weights made on the device; tiny is for the CPU", default="framepack-i2v-random"
    )
    device: str = option("cuda, cuda:1 …, or cpu", default="cuda")
    rows: tuple[str, ...] = option("only this row, in the order given; may be repeated (default: all)", default=())
    cap_gb: tuple[float, ...] = option(
        "a device of so many GiB, by a limit to torch's allocator; may be repeated (default: 24, 12, 8, 6)",
        default=(),
        least=0.5,
    )
    host_gb: float | None = option("plan with so many GiB of host memory (default: what the machine has)", least=0.1)
    steps: int = option("steps of the section; the first is not timed", default=6, least=3)
    size: str | None = option("WIDTHxHEIGHT (default: 640x608; tiny: 64x64)")
    window: int = option("latent frames of the section, at most 33", default=9, least=1)
    compiled: bool = option("include the rows that use torch.compile", default=True, flag="--compile")
    attention: str = option("attention of the rows that are not named for one, as in a request", default="sdpa")
    out: Path = option("folder for rows.jsonl, profile.txt and stderr.txt", default=Path("bench-gpu"))
    resume: bool = option("keep the rows in OUT and measure those that are missing or failed", default=False)
    row_seconds: float = option("end a row after this time; compile and train rows get twice as much", default=150.0)
    minutes: float | None = option("end the whole bench after this time", least=0)

    def spec(self) -> RenderSpec:
        """Return the section to render. Raises: EngineError if the size or the attention is wrong."""
        size = self.size or _SIZES[self.model]
        width, _, height = size.partition("x")
        try:
            return RenderSpec(
                kind="i2v",
                sections=1,
                height=int(height),
                width=int(width),
                seed=1,
                prompt="",
                latent_window_size=self.window,
                num_inference_steps=self.steps,
                attention=self.attention,
            )
        except ValueError as err:
            raise EngineError(f"--size {size}: need WIDTHxHEIGHT, two whole numbers") from err

    @property
    def host_bytes(self) -> int:
        """Host memory that plans count with."""
        return host_bytes() if self.host_gb is None else int(self.host_gb * GIB)

    def to_json(self) -> str:
        """Write the options for another process."""
        return json.dumps(asdict(self) | {"out": str(self.out)})

    @classmethod
    def from_json(cls, text: str) -> GpuOptions:
        """Read what `to_json` wrote."""
        given = json.loads(text)
        return taken(cls, given | {"out": Path(given["out"])})


Say = Callable[[str], None]
