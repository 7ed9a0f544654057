"""Videos as people read them: how far, how long it still takes, how long the video becomes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from deploy.terminal.durations import duration, length
from deploy.terminal.screen import table_of

if TYPE_CHECKING:
    from rich.table import Table

RENDERING = "rendering"  #: the word for in_progress that people read
_COLUMNS = ("id", "status", "done", "left", "worker", "length", "size", "model", "name", "prompt")
_DISPENSABLE = ("model", "size", "length", "name", "worker", "left")
_STAGES = {
    "encode": "reading photo and prompt",
    "section": "rendering",
    "decode": "decoding",
    "finish": "writing the file",
}


def status_of(video: Mapping[str, Any]) -> str:
    """Return the status in the word that people read."""
    return RENDERING if video["status"] == "in_progress" else str(video["status"])


def length_of(video: Mapping[str, Any]) -> str:
    """Return how long the finished video is: whole sections, so seldom exactly what was asked for."""
    return length(video["frames"] / video["fps"])


def left_of(video: Mapping[str, Any]) -> str:
    """Return how long a video still takes, as `17 s left`, or "" if nobody knows."""
    eta_s = video["eta_s"]
    return "" if eta_s is None else f"{duration(max(eta_s, 1))} left"


def stage_of(progress: Mapping[str, Any]) -> str:
    """Return what is done for a video now: its stage, the section, the step."""
    stage = progress["stage"]
    if stage is None:
        return f"waits for {progress['waiting_for']}" if progress["waiting_for"] else "waits"
    words = _STAGES[stage]
    if progress.get("section") is None:
        return words
    of = f"section {progress['section'] + 1} of {progress['sections_total']}"
    return words + f" {of}" + (f", step {progress['step']} of {progress['steps']}" if progress["steps"] else "")


def table_of_videos(videos: Sequence[Mapping[str, Any]], *, width: int) -> Table:
    """Return a line for each video, with the columns that any of them needs and that the width has room for."""
    rows = [_row(video) for video in videos]
    columns = [
        name for name in _COLUMNS if name in {"id", "status", "done", "prompt"} or any(row[name] for row in rows)
    ]
    return table_of(columns, rows, width=width, dispensable=_DISPENSABLE)


def _row(video: Mapping[str, Any]) -> dict[str, Any]:
    return {
        **{name: video[name] for name in ("id", "size", "model", "name", "prompt")},
        "status": status_of(video),
        "done": f"{video['progress']} %",
        "left": left_of(video),
        "worker": slot(video["worker"]),
        "length": length_of(video),
    }


def slot(worker: str | None) -> str:
    """Return a worker's place in the farm, which stays when its process is replaced: worker-0 for worker-0.f4c414."""
    return (worker or "").partition(".")[0]


def details(video: Mapping[str, Any], *, verbose: bool = False) -> list[dict[str, Any]]:
    """Return a row {field, value} for each fact about a video; verbose: also the facts that only the farm needs."""
    found: dict[str, Any] = {
        "id": video["id"],
        "name": video["name"],
        "status": status_of(video),
        "progress": f"{video['progress']} %",
        "left": left_of(video),
        "waits for": video["waiting_for"],
        "place in the queue": video["queue_position"],
        "sections": f"{video['sections_done']} of {video['sections_total']}",
        "worker": slot(video["worker"]),
        "prompt": video["prompt"],
        "model": video["model"],
        "size": video["size"],
        "length": f"{length_of(video)} ({video['frames']} frames)",
        "seed": video["seed"],
        "labels": video["labels"],
        "error": video["error"] and f"{video['error']['code']}: {video['error']['message']}",
    }
    if verbose:
        inner = ("stage", "step", "attempt", "worker", "gpu_seconds", "forwards", "numeric_class", "batch", "webhook")
        found |= {name: video[name] for name in inner}
    return [{"field": name, "value": value} for name, value in found.items() if value not in (None, "", [])]
