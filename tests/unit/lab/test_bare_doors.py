"""The doors that a bare GPU machine uses: they run where the farm's packages are not installed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.imports import ROOT

#: packages that such a machine does not have, and our own modules that need them
MISSING = (
    *("ray", "fastapi", "starlette", "uvicorn", "pydantic", "boto3", "botocore", "av", "typer", "httpx"),
    *("farm.settings", "farm.request", "deploy"),
)


def run_bare(module: str, *flags: str, cache: Path) -> subprocess.CompletedProcess[str]:
    """Run `python -m module` in a fresh interpreter that cannot import what is missing."""
    code = f"""
import runpy, sys
sys.modules.update(dict.fromkeys({MISSING!r}))
sys.argv = [{module!r}, *{flags!r}]
runpy.run_module({module!r}, run_name="__main__", alter_sys=True)
"""
    environment = os.environ | {"FARM_CACHE": str(cache), "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    command = [sys.executable, "-c", code]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)


def test_training_runs(tiny_cache: Path, tmp_path: Path) -> None:
    """A step of a stage; the folder's path alone is on stdout; a stage that does not exist is refused by name."""
    done = run_bare(
        "lab.training", "pocket", "--stage", "text", "--steps", "1", "--out", str(tmp_path), cache=tiny_cache
    )
    assert (done.returncode, done.stdout) == (0, f"{tmp_path}/model\n"), done.stderr
    assert (tmp_path / "model/hunyuanvideo-community/HunyuanVideo/text_encoder").is_dir()
    done = run_bare("lab.training", "pocket", "--stage", "unet", "--out", str(tmp_path), cache=tiny_cache)
    assert (done.returncode, done.stdout) == (2, "")
    assert "text, vae, dit" in done.stderr
