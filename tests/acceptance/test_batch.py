"""A batch on a whole farm, judged by the times in its ledgers: no worker idles while a video waits."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from farm.contract import JobId
from farm.jobs import Jobs
from farm.store import FolderStore
from lab.bench.batch_idle import idleness
from tests.clean_env import clean_env
from tests.farm_process import FarmProcess, running_farm
from tests.imports import ROOT
from tests.patience import patient, wait_for

pytestmark = [pytest.mark.acceptance]
VIDEOS = 8
WORKERS = 2
ORDERS = 4  #: of each video: encode, a section, decode, finish


@pytest.fixture
def farm(tmp_path: Path, tiny_cache: Path) -> Iterator[FarmProcess]:
    """A farm all of whose workers have come."""
    with running_farm(tmp_path / "storage", cache=tiny_cache, workers=WORKERS) as farm:
        wait_for(lambda: len(workers(farm)) == WORKERS or None, seconds=90, what="all workers")
        yield farm


def workers(farm: FarmProcess) -> list[object]:
    """Return the workers that have come; none while the dispatcher is not there yet."""
    found: list[object] = farm.http.get("/v1/workers").json().get("data", [])
    return found


def test_no_worker_idles_while_a_video_waits(farm: FarmProcess, tmp_path: Path) -> None:
    """`framefarm batch` on two workers: both are busy for nearly all of the time in which a video waits.

    Other work on the machine makes orders longer, so the test compares shares and orders, not seconds.
    """
    shutil.copy(ROOT / "examples" / "cat.jpg", tmp_path)
    columns = "image,prompt,model,seconds,num_inference_steps,size,seed"
    rows = [f"cat.jpg,The cat looks up.,tiny,1.2,10,128x128,{seed}" for seed in range(VIDEOS)]
    (tmp_path / "shots.csv").write_text("\n".join([columns, *rows]))
    url = str(farm.http.base_url).rstrip("/")
    command = [sys.executable, "-m", "deploy.cli", "batch", str(tmp_path / "shots.csv"), "-o", str(tmp_path / "out")]
    command += ["--url", url, "--json"]
    done = subprocess.run(
        command, env=clean_env(), cwd=ROOT, capture_output=True, text=True, check=False, timeout=patient(300)
    )
    assert done.returncode == 0, done.stderr[-3000:]
    made = json.loads(done.stdout)
    assert [row["status"] for row in made] == ["completed"] * VIDEOS

    ledger = Jobs(FolderStore(farm.storage)).ledger
    found = idleness([list(ledger.following(JobId(row["id"]), -1)) for row in made])
    assert found["workers"] == WORKERS
    assert found["busy_share"] > 0.75, found
    assert found["orders"] >= VIDEOS * ORDERS
