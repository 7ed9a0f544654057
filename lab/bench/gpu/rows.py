"""The rows of the bench by name, in order, and the groups that share a process."""

from __future__ import annotations

from itertools import groupby

import torch

from framepack_engine.errors import EngineError
from framepack_engine.memory.ladder import GIB
from lab.bench.device.cases import CAPS_GIB, Case, small_caps, usual_cases
from lab.bench.device.models import maker
from lab.bench.gpu.options import GpuOptions

MACHINE = "machine"  #: always measured first: other rows are compared with its rates
LOOKS = ("facts", "profile", "decode", "train")  #: rows that are no section; each writes several lines
_LONG = ("profile", "train")


def cases_of(options: GpuOptions) -> dict[str, Case]:
    """Return the section rows by name."""
    caps = [int(gib * GIB) for gib in options.cap_gb or CAPS_GIB]
    if options.model == "tiny" and not options.cap_gb:
        make = maker(options.model, torch.device(options.device))
        caps = small_caps(make(torch.device("cpu")), options.spec())
    return {case.name: case for case in usual_cases(caps) if options.compiled or case.kernels != "compiled"}


def rows_of(options: GpuOptions, cases: dict[str, Case]) -> list[str]:
    """Return the rows to measure, in order, without `machine`. Raises: EngineError naming a row that does not exist."""
    known = ["facts", *cases, *LOOKS[1:]]
    if unknown := [row for row in options.rows if row not in known]:
        raise EngineError(f"--rows {', '.join(unknown)}: there are {', '.join(known)}")
    return list(dict.fromkeys(options.rows)) or known


def groups_of(rows: list[str], cases: dict[str, Case]) -> list[list[str]]:
    """Split rows that follow each other into groups that share a process: what one leaves behind is not another's."""

    def kind(row: str) -> str:
        if row not in cases:
            return "train" if row == "train" else "looks"
        case = cases[row]
        return "compiled" if case.kernels == "compiled" else "whole" if case.cap_bytes is None else "capped"

    return [list(group) for _, group in groupby(rows, kind)]


def limit_s(row: str, cases: dict[str, Case], options: GpuOptions) -> float:
    """Return the seconds that a row may take."""
    long = row in _LONG or (row in cases and cases[row].kernels == "compiled")
    return options.row_seconds * (2 if long else 1)
