"""The parent of the bench: a process for each group of rows, a time limit for each row, every line on disk at once.

A row that hangs, crashes or is killed is a line with an error, and a new process goes on behind it.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from framepack_engine.errors import EngineError
from lab.bench.child import Child
from lab.bench.gpu.options import GpuOptions, Say
from lab.bench.gpu.rows import LOOKS, MACHINE, cases_of, groups_of, limit_s, rows_of
from lab.bench.gpu.rows_file import RowsFile

_CHILD = (sys.executable, "-m", "lab.bench.gpu.child")
_START_S = 600.0  #: to import torch and diffusers, also from a cold disk
_OPTIONS = "options"  #: the first line: what the rows were measured with
_MAY_DIFFER = ("out", "resume", "rows", "row_seconds", "minutes", "compiled")  #: between a bench and its resumption


class NoGpu(EngineError):
    """The bench asks for a GPU, and torch can use none."""


def run_bench(
    options: GpuOptions,
    *,
    say: Say,
    on_line: Callable[[dict[str, Any]], None] = lambda _: None,
    child: Sequence[str] = _CHILD,
    limit: Callable[[str], float] | None = None,
) -> dict[str, Any]:
    """Measure the rows that are asked for, and return the machine, the section rows and the parts of the others.

    on_line: hears of each line when it is on disk. child: the command of a group's process. limit: seconds of a row.
    Raises: EngineError for wrong options or a folder in use; NoGpu.
    """
    _check_device(options)
    options.spec()
    cases = cases_of(options)
    wanted = rows_of(options, cases)
    options.out.mkdir(parents=True, exist_ok=True)
    file = RowsFile(options.out / "rows.jsonl")
    _begin(file, options)
    left = [row for row in (MACHINE, *wanted) if row not in file.finished()]
    groups = groups_of([row for row in left if row != MACHINE], cases)
    if MACHINE in left:
        groups = [[MACHINE, *groups[0]], *groups[1:]] if groups else [[MACHINE]]
    ends_s = None if options.minutes is None else time.monotonic() + 60 * options.minutes
    run = _Run(
        options=options,
        file=file,
        say=say,
        on_line=on_line,
        command=child,
        limit=limit or (lambda row: limit_s(row, cases, options)),
        ends_s=ends_s,
    )
    for group in groups:
        run.measure(group)
    if missing := [row for row in wanted if row not in file.ended()]:
        say(f"time is up; not measured: {', '.join(missing)}")
    return report(file, options)


def report(file: RowsFile, options: GpuOptions) -> dict[str, Any]:
    """Return what was measured: the machine, the section rows in order, and the parts of the other rows."""
    ended = file.ended()
    order = [row for row in rows_of(options, cases_of(options)) if row in ended]
    return {
        "machine": ended.get(MACHINE, {}),
        "rows": [{"error": ""} | ended[row] for row in order],
        **{row: file.parts(row) for row in order if row in LOOKS},
    }


def _check_device(options: GpuOptions) -> None:
    if options.device == "cpu":
        if options.model != "tiny":
            raise EngineError("a forward of the 13B model takes hours on a CPU: --model tiny --device cpu")
        return
    import torch

    if not torch.cuda.is_available():
        raise NoGpu("no GPU that torch can use; the same on the CPU: framefarm bench gpu --model tiny --device cpu")


def _begin(file: RowsFile, options: GpuOptions) -> None:
    """Write the options into a new file; see that a file in use goes on with the same ones."""
    chosen = json.loads(options.to_json())
    lines = file.lines()
    if not lines:
        file.append({"row": _OPTIONS} | chosen)
        return
    if not options.resume:
        raise EngineError(f"{options.out} has rows: --resume measures those that are missing, or remove the folder")
    for name in asdict(options):
        if name not in _MAY_DIFFER and lines[0].get(name) != chosen[name]:
            raise EngineError(f"{options.out} was measured with {name} {lines[0].get(name)}, not {chosen[name]}")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Run:
    """One run of the bench. ends_s: by the monotonic clock; None is no end."""

    options: GpuOptions
    file: RowsFile
    say: Say
    on_line: Callable[[dict[str, Any]], None]
    command: Sequence[str]
    limit: Callable[[str], float]
    ends_s: float | None

    def measure(self, group: list[str]) -> None:
        """Measure the rows of a group, in one process as long as it lives."""
        rows = list(group)
        while rows and self._left_s() > 0:
            command = [*self.command, self.options.to_json(), *rows]
            with Child(command, self.options.out / "stderr.txt") as child:
                if child.line(min(_START_S, self._left_s())) is None:
                    self._fail(rows, child, _START_S)
                    continue
                while rows and self._measure_first(child, rows):
                    pass

    def _measure_first(self, child: Child, rows: list[str]) -> bool:
        """Take the lines of the first row, drop it from `rows` once it has ended, and tell if the process goes on."""
        limit_s = self.limit(rows[0])
        ends_s = time.monotonic() + limit_s
        self.say(f"{rows[0]} …")
        while True:
            line = child.line(min(ends_s - time.monotonic(), self._left_s()))
            if line is None:
                self._fail(rows, child, limit_s)
                return False
            if "lost" in line:
                return False
            self._keep(line)
            if "part" not in line:
                rows.pop(0)
                return True

    def _fail(self, rows: list[str], child: Child, limit_s: float) -> None:
        """Write why the first row has no line of its own; nothing, if the time of the whole bench is up."""
        if self._left_s() > 0:
            self._keep({"row": rows.pop(0), "error": f"{child.blame(limit_s)}; see stderr.txt"})

    def _keep(self, line: dict[str, Any]) -> None:
        self.file.append(line)
        self.on_line(line)

    def _left_s(self) -> float:
        return float("inf") if self.ends_s is None else self.ends_s - time.monotonic()
