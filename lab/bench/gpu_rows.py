"""The rows of `framefarm bench gpu`: each a way to hold and to compute the model, and what was measured of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from framepack_engine.errors import DeviceTooSmall
from framepack_engine.memory.ladder import GIB, RESERVE_BYTES, MemoryPlan, Workload, ladder, size_of
from framepack_engine.memory.plan_book import PlanBook
from framepack_engine.memory.tenancy import workload_of
from framepack_engine.models.model_size import ModelSize
from framepack_engine.planning.spec import RenderSpec
from lab.bench.random_model import RandomParts

CAPS_GIB = (24.0, 12.0, 8.0, 6.0)
EXACT = ("cudnn", "flash", "flash-3")  #: attentions
_FOUR_BITS_GIB = 12  #: on devices up to this 4 bits have a row, too


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One row before it is measured.

    way: "stock" is diffusers' own forward with all weights on the device; "plan" the engine's best plan from `rung` on;
    "sync" copies module by module, as the reference does. cap_bytes: of the device; None: all it has. precision: see
    `precision`. attention: None: the bench's own.
    """

    name: str
    way: Literal["stock", "plan", "sync"] = "plan"
    rung: int = 0
    cap_bytes: int | None = None
    precision: str = "bf16"
    compiled: bool = False
    cache: str = "none"
    attention: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One row, measured. What was not measured, or does not apply, is None.

    s_per_forward: median of the forwards whose blocks ran, on the device's own clock. s_per_step: mean of all steps,
    with the sampler. s_per_frame: of a section of 25 such steps, without its decode. tflops: a second, of what a
    forward has to compute. mfu: of the device's data sheet; of_matmul: of a large matrix product, measured in the same
    run. peak_gib, predicted_gib: of the section. copied_gb (10^9 bytes): weights a step. copy_gb_s: a second of the
    copies' own time. hidden: share of that time in which computing went on. off: distance of the latents from the stock
    forward's, RMS over RMS; 0: equal bits.
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
    predicted_gib: float | None = None
    copied_gb: float | None = None
    copy_gb_s: float | None = None
    hidden: float | None = None
    off: float | None = None
    error: str = ""

    def cells(self) -> dict[str, Any]:
        """As a line of a table, to four digits."""
        return {
            name: float(f"{value:.4g}") if isinstance(value, float) else value for name, value in asdict(self).items()
        }


def usual_cases(caps_bytes: Sequence[int], *, attentions: Sequence[str] = ()) -> list[Case]:
    """All rows: one way after the other on the whole device, then on smaller ones, each with its baseline.

    attentions: that can compute here, beside sdpa; the exact ones have a row each.
    """
    cases = [
        Case(name="stock", way="stock"),
        Case(name="resident"),
        Case(name="hoisted", rung=1),
        *(Case(name=name, rung=1, attention=name) for name in attentions if name in EXACT),
        Case(name="cache", rung=1, cache="teacache"),
        *(Case(name=precision, rung=1, precision=precision) for precision in ("fp8", "int8", "int4")),
        Case(name="compiled", rung=1, compiled=True),
        *(
            Case(name=f"compiled-{precision}", rung=1, compiled=True, precision=precision)
            for precision in ("int8", "fp8-dynamic")
        ),
        Case(name="compiled-int8-cache", rung=1, compiled=True, precision="int8", cache="teacache"),
    ]
    for cap in caps_bytes:
        name = f"{cap / GIB:g}gib" if cap % (GIB // 4) == 0 else f"{cap / 2**20:.2f}mib"
        packed = ("fp8", "int4") if cap <= _FOUR_BITS_GIB * GIB else ("fp8",)
        cases += [
            Case(name=name, cap_bytes=cap),
            *(Case(name=f"{name}-{precision}", cap_bytes=cap, precision=precision) for precision in packed),
            Case(name=f"{name}-sync", way="sync", cap_bytes=cap),
        ]
    return cases


def small_caps(parts: RandomParts, spec: RenderSpec) -> list[int]:
    """Device sizes that make a small model go down the ladder: one stage at a time, then all blocks streamed."""
    plans = ladder(parts.size(), workload_of(spec))
    alone = next(number for number, plan in enumerate(plans) if plan.keeps == "nothing")
    return [max(plan.section_bytes, plan.encode_bytes) + RESERVE_BYTES for plan in (plans[alone], plans[-1])]


REFERENCE_TFLOP = 494.1  #: of 640x608, window 9, a prompt of 32 tokens


def forward_flops(size: ModelSize, work: Workload, *, text_tokens: int) -> float:
    """Floating point operations of one forward; a multiply and an add are two.

    text_tokens: of the prompt, without its padding.
    """
    tokens = work.tokens(size, text_tokens=text_tokens)
    # a double block has its matrices twice, for pictures and for text: a token passes through one of the two
    passed = sum(weights / 2 if weights > 1.5 * min(size.blocks) else weights for weights in size.blocks)
    attention = 4.0 * tokens * tokens * size.dim * len(size.blocks)
    return 2.0 * passed * tokens + attention


_PACKED_HELPS_GIB = 24  #: a device with more holds bf16's step loop whole
_HEAD = (
    "| GPU | precision | decode | plan | section | encode | decode needs | copied a forward |",
    "|---|---|---|---|---|---|---|---|",
)


def plan_table(gibs: tuple[int, ...] = (6, 8, 10, 12, 16, 24, 48, 80, 141), *, host_gib: int = 64) -> str:
    """The plans of devices of so many GiB at 640x608; tiled decodes in tiles of the size that is chosen there.

    host_gib: of the machine's memory.
    """
    rows = (f"| {' | '.join(cells)} |" for gib in gibs for cells in _rows(gib, host_gib=host_gib))
    return "\n".join((*_HEAD, *rows)) + "\n"


def _rows(gib: int, *, host_gib: int) -> Iterator[tuple[str, ...]]:
    packed = ("fp8", "int8", "int4") if gib <= _PACKED_HELPS_GIB else ()
    for precision, decode in [("bf16", "framewise"), ("bf16", "tiled"), *((each, "tiled") for each in packed)]:
        book = PlanBook(size=size_of("framepack", precision), device_bytes=gib * GIB, host_bytes=host_gib * GIB)
        work = Workload(decode=decode)
        try:
            if decode == "tiled":
                work = replace(work, tile_px=book.tile_px(work))
            cells = _cells(book.plan(work))
        except DeviceTooSmall as err:
            cells = f"none: {str(err).partition(':')[0]}", "", "", "", ""
        named = decode if work.tile_px is None else f"{decode} {work.tile_px}"
        yield f"{gib} GiB", precision, named, *cells


def _cells(plan: MemoryPlan) -> tuple[str, ...]:
    """What a plan says of itself, without its precision."""
    held = plan.words.rpartition(",")[0].removeprefix(f"{plan.precision}, ")
    sizes = [f"{taken / GIB:.1f}" for taken in (plan.section_bytes, plan.encode_bytes, plan.decode_bytes)]
    fits = "" if plan.decodes else ": does not fit"
    copied = f"{plan.streamed_bytes / 1e9:.2f} GB" if plan.streamed else "0"
    return held, sizes[0], sizes[1], f"{sizes[2]}{fits}", copied
