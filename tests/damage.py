"""Damage objects of a folder store, and look at what the ledgers name."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from itertools import cycle
from pathlib import Path

from farm.jobs import Jobs
from farm.ledger.states import made


def cut(path: Path) -> None:
    """Keep the first half."""
    data = path.read_bytes()
    path.unlink()
    path.write_bytes(data[: len(data) // 2])


def flip(path: Path) -> None:
    """Change one byte, in the middle."""
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.unlink()
    path.write_bytes(data)


DAMAGES: tuple[Callable[[Path], object], ...] = (Path.unlink, cut, flip)


def damage_all(store: Path, keys: Iterable[str]) -> None:
    """Damage each object, every third one in the same way."""
    for key, damage in zip(keys, cycle(DAMAGES), strict=False):
        damage(store / key)


def named(jobs: Jobs, video: str) -> dict[str, tuple[str, str]]:
    """All that the video's newest state names: order and name -> key and sha256 of the object as it lies there."""
    record = jobs.get(video, owner=None)
    found = {}
    for order, seq in made(record.head.state).items():
        for name, artifact in jobs.ledger.entry(record.job.id, seq).event.artifacts.items():
            path = jobs.store.root / artifact.key  # type: ignore[attr-defined]
            digest = hashlib.sha256(path.read_bytes()).hexdigest() if path.exists() else "missing"
            found[f"{order} {name}"] = artifact.key, digest
    return found


def digests(jobs: Jobs, video: str) -> dict[str, str]:
    """Order and name -> sha256."""
    return {name: digest for name, (_, digest) in named(jobs, video).items()}
