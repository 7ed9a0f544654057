"""The doors that a bare GPU machine uses: they run where the farm's packages are not installed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.imports import ROOT

Run = Callable[..., subprocess.CompletedProcess[str]]
#: packages that such a machine does not have, and our own modules that need them
MISSING = (
    *("ray", "fastapi", "starlette", "uvicorn", "pydantic", "boto3", "botocore", "av", "typer", "httpx"),
    *("scipy", "sklearn", "skimage"),
    *("framefarm_client", "farm.settings", "farm.request", "deploy"),
)


@pytest.fixture(scope="module")
def run_bare(tiny_cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Run `python -m …` where no process, nor any that it starts, can import what is missing."""
    blocked = tmp_path_factory.mktemp("blocked")
    (blocked / "sitecustomize.py").write_text(f"import sys\nsys.modules.update(dict.fromkeys({MISSING!r}))\n")
    environment = os.environ | {
        "PYTHONPATH": f"{blocked}:{ROOT}",
        "FARM_CACHE": str(tiny_cache),
        "OMP_NUM_THREADS": "1",
        "CUDA_VISIBLE_DEVICES": "",
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
    }

    def run(module: str, *flags: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", module, *flags]
        return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)

    assert run("farm.settings").returncode != 0
    return run


def test_training_runs(run_bare: Run, tmp_path: Path) -> None:
    """A step of a stage; the folder's path alone is on stdout."""
    done = run_bare("lab.training", "pocket", "--stage", "text", "--steps", "1", "--out", str(tmp_path))
    assert (done.returncode, done.stdout) == (0, f"{tmp_path}/model\n"), done.stderr
    assert (tmp_path / "model/hunyuanvideo-community/HunyuanVideo/text_encoder").is_dir()


def test_the_bench_runs(run_bare: Run, tmp_path: Path) -> None:
    """A row in a process of its own, a line of JSON on stdout as it ends."""
    flags = ["--device", "cpu", "--window", "1", "--steps", "3", "--out", str(tmp_path / "out")]
    done = run_bare("lab.bench.gpu", "--model", "tiny", *flags, "--rows", "stock")
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    ended = {line["row"]: line for line in lines if "part" not in line}
    assert list(ended) == ["machine", "stock"]
    assert not any(line.get("error") for line in lines)
    assert ended["stock"]["forwards"] == 3


def test_a_card_s_plans_are_told(run_bare: Run) -> None:
    """`doctor --device-gb` tells the plans of cards of any size, in a machine of any size."""
    done = run_bare("lab.bench.plan_table", "--device-gb", "6", "--device-gb", "7.5", "--host-gb", "32")
    assert done.returncode == 0, done.stderr
    assert "| 7.5 GiB | bf16 | tiled" in done.stdout
    assert "blocks streamed" in done.stdout


def test_the_gpu_s_tests_run(run_bare: Run) -> None:
    """`make gpu` needs pytest and the engine's packages alone: its tests are collected, and one runs on the CPU."""
    flags = ["-c", "tests/gpu/bare.ini", "-p", "no:cacheprovider", "-q", "tests/gpu"]
    done = run_bare("pytest", *flags, "-k", "three_tokens and cpu")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 passed" in done.stdout
