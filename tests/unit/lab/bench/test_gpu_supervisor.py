"""`bench gpu` keeps each row safe from the others: what hangs, crashes or is killed costs one row and says so."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from deploy import cli
from framepack_engine.errors import EngineError
from lab.bench.gpu.options import GpuOptions
from lab.bench.gpu.rows_file import RowsFile
from lab.bench.gpu.supervisor import run_bench
from tests.imports import ROOT
from tests.patience import wait_for

ROWS = ("stock", "resident", "hoisted", "cache", "fp8", "int8")
#: A child that measures nothing: what a row does is in the environment, by its name.
CHILD = """
import os, signal, sys, time
from lab.bench.gpu.child import main

class Rows:
    def __init__(self, options):
        self.bad = False
    def lines(self, row):
        print("a library says something")
        yield {"row": row, "part": "first", "pid": os.getpid()}
        what = os.environ.get(row)
        if what == "hang":
            time.sleep(3600)
        if what == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if what == "crash":
            os.abort()
        self.bad = what == "poison"
        yield {"row": row, "pid": os.getpid()} | ({"error": "CUDA error"} if what in {"poison", "fail"} else {})
    def lost(self):
        return self.bad

sys.exit(main(sys.argv[1:], Rows))
"""


def options(out: Path, *, rows: tuple[str, ...] = ROWS, **more: Any) -> GpuOptions:
    """Options that need no GPU."""
    return GpuOptions(model="tiny", device="cpu", rows=rows, cap_gb=(6.0,), out=out, **more)


def run(chosen: GpuOptions, *, hang_s: float = 600.0) -> list[dict[str, Any]]:
    """Run the bench with children that measure nothing; return its rows. hang_s: limit of the row that hangs."""

    def limit(row: str) -> float:
        return hang_s if os.environ.get(row) == "hang" else 600.0

    command = (sys.executable, "-c", CHILD)
    found: list[dict[str, Any]] = run_bench(chosen, say=lambda _: None, child=command, limit=limit)["rows"]
    return found


def test_a_bad_row_costs_itself_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Hung, killed, crashed: a line says which, its parts are kept, and a new process measures the next row."""
    for row, what in (("resident", "hang"), ("hoisted", "kill"), ("cache", "crash")):
        monkeypatch.setenv(row, what)
    rows = {row["row"]: row for row in run(options(tmp_path), hang_s=1.0)}
    assert list(rows) == list(ROWS)
    assert "it took longer than 1 s" in rows["resident"]["error"]
    assert "SIGKILL" in rows["hoisted"]["error"]
    assert "SIGABRT" in rows["cache"]["error"]
    assert [rows[row]["error"] for row in ("stock", "fp8", "int8")] == ["", "", ""]
    assert rows["fp8"]["pid"] == rows["int8"]["pid"] != rows["stock"]["pid"]
    file = RowsFile(tmp_path / "rows.jsonl")
    assert all(len(file.parts(row)) == 1 for row in ROWS)
    assert "a library says something" in (tmp_path / "stderr.txt").read_text()


def test_a_device_that_is_lost_gets_a_new_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The row that lost it is the only one with an error; one that merely failed keeps its process."""
    monkeypatch.setenv("stock", "poison")
    monkeypatch.setenv("hoisted", "fail")
    rows = {row["row"]: row for row in run(options(tmp_path))}
    assert {name for name, row in rows.items() if row["error"]} == {"stock", "hoisted"}
    assert rows["resident"]["pid"] != rows["stock"]["pid"]
    assert rows["hoisted"]["pid"] == rows["resident"]["pid"] == rows["cache"]["pid"]


def test_a_resumed_folder_measures_what_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows that failed, are new, or were cut off in their line; other options, or no --resume, are refused."""
    monkeypatch.setenv("resident", "kill")
    before = {row["row"]: row for row in run(options(tmp_path, rows=("stock", "resident", "hoisted", "cache")))}
    assert "SIGKILL" in before["resident"]["error"]
    monkeypatch.delenv("resident")
    path = tmp_path / "rows.jsonl"
    path.write_text(path.read_text()[:-5])  # the power went while the last line was written
    with pytest.raises(EngineError, match="--resume"):
        run(options(tmp_path))
    with pytest.raises(EngineError, match="steps 6, not 7"):
        run(options(tmp_path, resume=True, steps=7))
    after = {row["row"]: row for row in run(options(tmp_path, resume=True))}
    assert list(after) == list(ROWS)
    assert not any(row["error"] for row in after.values())
    assert {name for name, row in after.items() if row["pid"] == before["stock"]["pid"]} == {"stock"}
    assert after["hoisted"] == before["hoisted"]
    assert after["cache"]["pid"] == after["resident"]["pid"] == after["int8"]["pid"]
    assert all(json.loads(line) for line in path.read_text().splitlines() if line.endswith("}"))


def test_time_that_is_up_is_no_row_s_error(tmp_path: Path) -> None:
    """Rows that were not measured have no line, so that --resume measures them."""
    assert run(options(tmp_path, minutes=0)) == []
    assert [row["row"] for row in run(options(tmp_path, rows=("stock",), resume=True))] == ["stock"]


def test_a_killed_bench_leaves_no_process(tmp_path: Path) -> None:
    """SIGKILL of the parent: the child, though it hangs, ends with it."""
    code = f"""
from lab.bench.gpu.supervisor import run_bench
from lab.bench.gpu.options import GpuOptions
from pathlib import Path
chosen = GpuOptions.from_json({options(tmp_path).to_json()!r})
run_bench(chosen, say=lambda _: None, child={(sys.executable, "-c", CHILD)!r})
"""
    parent = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, env=os.environ | {"stock": "hang"})
    try:
        file = RowsFile(tmp_path / "rows.jsonl")
        pid = wait_for(lambda: file.parts("stock") or None, seconds=30, what="the row that hangs")[0]["pid"]
        assert Path(f"/proc/{pid}").exists()
    finally:
        parent.send_signal(signal.SIGKILL)
        parent.wait()
    wait_for(lambda: None if Path(f"/proc/{pid}").exists() else pid, seconds=10, what="the end of the child")


def test_wrong_options_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """By name, with exit 2, and before anything is measured."""
    flags = ["bench", "gpu", "--model", "tiny", "--device", "cpu", "--out", str(tmp_path)]
    assert cli.main([*flags, "--rows", "fast"]) == 2
    assert "there are facts, stock, resident" in capsys.readouterr().err
    assert cli.main([*flags, "--size", "65x64"]) == 2
    assert "multiple of 16" in capsys.readouterr().err
    assert cli.main(["bench", "gpu", "--device", "cpu", "--out", str(tmp_path)]) == 2
    assert "--model tiny" in capsys.readouterr().err
    assert not (tmp_path / "rows.jsonl").exists()
