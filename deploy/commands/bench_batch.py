"""bench batch: a batch on a new farm, with the waits of its workers and its requests to the farm."""

from __future__ import annotations

import contextlib
import csv
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from deploy.commands.connect import Json, client_at, read_settings
from deploy.terminal.screen import put_json, put_table, say

_NOTING = """
import logging, sys
logging.basicConfig(filename=sys.argv.pop(1), format="%(created)f %(message)s")
logging.getLogger("httpx").setLevel("INFO")
from deploy.cli import main
sys.exit(main())
"""
_COLUMNS = ("image", "prompt", "model", "seconds", "num_inference_steps", "size", "seed")


def batch(
    *,
    videos: Annotated[int, typer.Option(min=1, help="rows of the batch's table")] = 100,
    workers: Annotated[int, typer.Option(min=1, help="of the farm, on this processor")] = 4,
    steps: Annotated[int, typer.Option(min=1, help="of each section")] = 20,
    size: Annotated[str, typer.Option(help="of the videos, in pixels")] = "256x256",
    as_json: Json = False,
) -> None:
    """Let `framefarm batch` make videos of the model tiny on a new farm. Exit 1 where a goal or a video is missed.

    From the ledger: how long workers idled while a video waited, and how many orders others began meanwhile. The goal
    is 2 requests a second at most once all are sent.
    """
    from deploy.node.child import start_background
    from deploy.settings import Settings
    from farm.contract import JobId
    from farm.jobs import Jobs
    from farm.store import open_store
    from lab.bench.batch_idle import idleness, pace

    with tempfile.TemporaryDirectory(prefix="framefarm-bench-") as folder:
        settings = Settings.from_env(storage=f"{folder}/farm", workers=str(workers), model="tiny", max_open_videos=None)
        table = _table(Path(folder), videos, steps=steps, size=size)
        say(f"a farm with {workers} workers …")
        with start_background(settings) as address:
            _wait_for_workers(address, workers)
            say(f"a batch of {videos} videos …")
            begun = time.time()
            rows = _run(table, Path(folder) / "out", address, log=Path(folder) / "requests.log")
            ended, load = time.time(), os.getloadavg()[0]
            jobs = Jobs(open_store(settings))
            entries = [list(jobs.ledger.following(JobId(row["id"]), -1)) for row in rows if row["id"]]
        requests = list(requests_in(Path(folder) / "requests.log"))
        sent = max((at for at, line in requests if line == f"POST {address}/v1/videos"), default=begun)
        made = sum(row["status"] == "completed" for row in rows)
    row = {"videos": videos, "made": made, "took_s": round(ended - begun, 1), "load": round(load, 1)}
    row |= {"sent_s": round(sent - begun, 1)} | idleness(entries)
    row |= pace([at for at, _ in requests], sent, ended)
    if as_json:
        put_json(row)
    else:
        put_table(("what", "value"), [{"what": name, "value": value} for name, value in row.items()])
    raise typer.Exit(int(made < videos or row["steady_requests_per_s"] > 2.0))


def _wait_for_workers(address: str, wanted: int) -> None:
    """Wait until all workers have asked for an order: a worker that loads its libraries is no idle one."""
    with client_at(address, read_settings()) as client:
        while len(client.workers()["data"]) < wanted:
            time.sleep(0.5)


def _table(folder: Path, videos: int, *, steps: int, size: str) -> Path:
    """Write a photo and a table whose rows all begin with it."""
    from lab.bench.farm_load import photo

    (folder / "photo.jpg").write_bytes(photo())
    path = folder / "shots.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(_COLUMNS)
        for seed in range(videos):
            writer.writerow(("photo.jpg", "The cat looks up.", "tiny", 1.2, steps, size, seed))
    return path


def noting_requests(log: Path) -> list[str]:
    """Return `framefarm` as a command that notes in `log` when each of its requests was answered."""
    return [sys.executable, "-c", _NOTING, str(log)]


def requests_in(log: Path) -> Iterator[tuple[float, str]]:
    """Yield what `noting_requests` noted: unix seconds, and the method and address."""
    for line in log.read_text(encoding="utf-8").splitlines():
        at, _, request = line.partition(" HTTP Request: ")
        if request:
            yield float(at), request.partition(' "')[0]


def _run(table: Path, out: Path, url: str, *, log: Path) -> list[dict[str, Any]]:
    """Run the real command; return the rows of its report. log: gets its requests."""
    command = [*noting_requests(log), "batch", str(table), "-o", str(out), "--url", url]
    subprocess.run(command, check=False, stdout=subprocess.DEVNULL)
    with contextlib.suppress(FileNotFoundError):
        found: list[dict[str, Any]] = json.loads((out / "report.json").read_text(encoding="utf-8"))
        return found
    return []
