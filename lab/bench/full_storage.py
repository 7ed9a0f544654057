"""Fills a storage with videos, for tests and measurements."""

from __future__ import annotations

import tempfile
from pathlib import Path
from uuid import uuid4

from farm.contract import JobPlan
from farm.jobs import Jobs, Record, Submission
from farm.ledger.layout import index_key, marker_key, request_key, video_folder
from farm.request import VideoRequest
from farm.store import FolderStore

_APART_MS = 1000  #: between two videos


def fill_storage(root: Path, *, videos: int, open_videos: int, owner: str = "local", now_ms: int) -> list[str]:
    """Write `videos` into the folder `root`, the newest `open_videos` of them paused; return their ids, oldest first.

    It accepts two real videos, cancels one, and copies their files under other ids, without a sync.
    """
    with tempfile.TemporaryDirectory(prefix="framefarm-fill-") as folder:
        store = FolderStore(Path(folder))
        jobs = Jobs(store)
        paused, ended = (accept_one(jobs, owner) for _ in range(2))
        jobs.wish(paused.job.id, "pause", owner=owner)
        jobs.wish(ended.job.id, "cancel", owner=owner)
        files = {
            record.job.id: {key: store.get(key) for key in store.list(video_folder(record.job.id))}
            for record in (paused, ended)
        }
        names = [f"video_{uuid4().hex}" for _ in range(videos)]
        for number, name in enumerate(names):
            is_open = number >= videos - open_videos
            made = paused if is_open else ended
            job = made.job.model_copy(update={"id": name, "created_ms": now_ms - (videos - number) * _APART_MS})
            for key, data in files[made.job.id].items():
                _write(root / key.replace(made.job.id, name), data)
            _write(root / request_key(job.id), job.model_dump_json().encode())
            _write(root / index_key(job), b"{}")
            if is_open:
                _write(root / marker_key(job.id), store.get(marker_key(made.job.id)))
    return names


def accept_one(jobs: Jobs, owner: str, *, image: bytes | None = None) -> Record:
    """Accept a small video, with or without a start image; the image is stored as it is."""
    request = VideoRequest.model_validate(
        {"prompt": "a cat", "model": "tiny", "seed": 1, "seconds": 2.4, "num_inference_steps": 2, "size": "64x64"}
    )
    plan = JobPlan(
        kind="i2v",
        sections=2,
        latent_window_size=9,
        height=64,
        width=64,
        frames=73,
        final_frames=(0, 73),
        fps=30,
    )
    return jobs.accept(
        Submission(request, plan, {} if image is None else {"start": image}, owner, fingerprint=uuid4().hex)
    )


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
