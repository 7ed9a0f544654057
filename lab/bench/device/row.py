"""A section row, measured."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from framepack_engine.memory.ladder import Workload
from framepack_engine.models.model_size import ModelSize

REFERENCE_TFLOP = 494.1  #: of 640x608, window 9, a prompt of 32 tokens


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One section row, measured. A field that was not measured, or does not apply, is None.

    s_per_forward: median of the forwards whose blocks ran, on the device's own clock. s_per_step: mean of all steps,
    with the sampler. s_per_frame: of a section of 25 such steps, without its decode. tflops: a second, of what a
    forward has to compute. mfu: share of the data sheet's rate; of_matmul: of a large matrix product, measured in the
    same run. peak_gib: tensors at most. reserved_gib: the most that torch's allocator held; a cap acts on this, so
    compare it with predicted_gib. copied_gb (10^9 bytes): weights a step. copy_gb_s: a second of the copies' own time.
    hidden: share of that time in which computing went on. off: distance of the latents from the stock forward's, RMS
    over RMS; 0 means equal bits.
    """

    row: str
    plan: str | None = None
    steps: int = 0
    forwards: int = 0
    s_per_forward: float | None = None
    s_per_step: float | None = None
    s_per_frame: float | None = None
    tflops: float | None = None
    mfu: float | None = None
    of_matmul: float | None = None
    peak_gib: float | None = None
    reserved_gib: float | None = None
    predicted_gib: float | None = None
    copied_gb: float | None = None
    copy_gb_s: float | None = None
    hidden: float | None = None
    off: float | None = None
    error: str = ""

    def cells(self) -> dict[str, Any]:
        """Return a line of a table, to four digits."""
        return {name: four_digits(value) for name, value in asdict(self).items()}


def four_digits(value: Any) -> Any:
    """Round a float to four digits; leave everything else."""
    return float(f"{value:.4g}") if isinstance(value, float) else value


def forward_flops(size: ModelSize, work: Workload, *, text_tokens: int) -> float:
    """Count the floating point operations of one forward; a multiply and an add are two.

    text_tokens: of the prompt, without its padding.
    """
    tokens = work.tokens(size, text_tokens=text_tokens)
    # a double block has its matrices twice, for pictures and for text: a token passes through one of the two
    passed = sum(weights / 2 if weights > 1.5 * min(size.blocks) else weights for weights in size.blocks)
    attention = 4.0 * tokens * tokens * size.dim * len(size.blocks)
    return 2.0 * passed * tokens + attention
