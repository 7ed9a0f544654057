"""The section rows before they are measured: each a way to hold and to compute the model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from framepack_engine.memory.ladder import GIB, RESERVE_BYTES, ladder
from framepack_engine.memory.tenancy import workload_of
from framepack_engine.planning.spec import RenderSpec
from lab.bench.random_model import RandomParts

CAPS_GIB = (24.0, 12.0, 8.0, 6.0)
EXACT = ("cudnn", "flash", "flash-3")  #: attentions whose forward gives the same bits each time, beside sdpa
_FOUR_BITS_GIB = 12  #: devices up to this size have a row for 4 bits


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One row before it is measured.

    way: "stock" is diffusers' own forward with all weights on the device; "plan" is the engine's best plan from `rung`
    on; "sync" copies module by module, as the reference does. cap_bytes: size of the device; None is all of it.
    kernels: as `framepack_engine.planning.choices` names them. attention: None is the bench's own.
    """

    name: str
    way: Literal["stock", "plan", "sync"] = "plan"
    rung: int = 0
    cap_bytes: int | None = None
    precision: str = "bf16"
    kernels: str = "eager"
    cache: str = "none"
    attention: str | None = None


def usual_cases(caps_bytes: Sequence[int]) -> list[Case]:
    """Return all section rows: each way on the whole device, then on smaller ones, each with its baseline."""
    cases = [
        Case(name="stock", way="stock"),
        Case(name="resident"),
        Case(name="exact", kernels="exact"),
        Case(name="hoisted", rung=1),
        *(Case(name=name, rung=1, attention=name) for name in EXACT),
        Case(name="cache", rung=1, cache="teacache"),
        *(Case(name=precision, rung=1, precision=precision) for precision in ("fp8", "int8", "int4")),
        Case(name="compiled", rung=1, kernels="compiled"),
        *(
            Case(name=f"compiled-{precision}", rung=1, kernels="compiled", precision=precision)
            for precision in ("int8", "fp8-dynamic", "fp8-fast")
        ),
        Case(name="compiled-int8-cache", rung=1, kernels="compiled", precision="int8", cache="teacache"),
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
    """Return device sizes that make a small model go down the ladder: one stage at a time, then all blocks streamed."""
    plans = ladder(parts.size(), workload_of(spec))
    alone = next(number for number, plan in enumerate(plans) if plan.keeps == "nothing")
    return [max(plan.section_bytes, plan.encode_bytes) + RESERVE_BYTES for plan in (plans[alone], plans[-1])]
