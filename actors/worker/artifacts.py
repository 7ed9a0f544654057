"""The artifacts that orders read and write: checked by their sha256, the newest ones kept in memory."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from farm.contract import Artifact, Order
from farm.ledger.damage import check_file, verified
from farm.ledger.layout import artifact_key
from farm.store import Store

_WARM_OBJECTS = 4  #: a section and a decode need at most this many earlier artifacts


class Artifacts:
    """Reads and writes for one order after the other. May be called from several threads."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._warm: dict[str, bytes] = {}  # sha256 -> bytes, newest last
        self._lock = threading.Lock()

    def need(self, order: Order, name: str) -> bytes:
        """Return an earlier stage's artifact, from memory if it was made or read just now. Raises: Damaged."""
        artifact = order.needs[name]
        with self._lock:
            data = self._warm.get(artifact.sha256)
        return self._keep(artifact.sha256, verified(self._store, artifact) if data is None else data)

    def put(self, order: Order, name: str, data: bytes | Path) -> Artifact:
        """Write an artifact under the attempt's own key."""
        key = artifact_key(order.job.id, name, attempt=order.attempt)
        sha256, size = _digest(data)
        artifact = Artifact(key=key, sha256=sha256, bytes=size)
        if not self._store.put_if_absent(key, data):  # this worker's own put, whose answer was lost
            verified(self._store, artifact)
        if isinstance(data, bytes) and name.endswith(".safetensors"):
            self._keep(sha256, data)
        return artifact

    def put_all(self, order: Order, made: Mapping[str, tuple[str, bytes | Path]]) -> dict[str, Artifact]:
        """Write several artifacts at the same time; made: as what -> its name and data."""
        with ThreadPoolExecutor(len(made), "put") as threads:
            under_way = {as_: threads.submit(self.put, order, *each) for as_, each in made.items()}
        return {as_: each.result() for as_, each in under_way.items()}

    def read(self, artifact: Artifact) -> bytes:
        """Return an artifact's bytes. Raises: Damaged."""
        return verified(self._store, artifact)

    def download(self, artifact: Artifact, path: Path) -> Path:
        """Write an artifact into a file; return its path. Raises: Damaged."""
        self._store.download(artifact.key, path)
        check_file(path, artifact)
        return path

    def let_go(self) -> None:
        """Keep nothing in memory."""
        with self._lock:
            self._warm.clear()

    def _keep(self, sha256: str, data: bytes) -> bytes:
        with self._lock:
            self._warm.pop(sha256, None)
            self._warm[sha256] = data
            while len(self._warm) > _WARM_OBJECTS:
                del self._warm[next(iter(self._warm))]
        return data


def _digest(data: bytes | Path) -> tuple[str, int]:
    if isinstance(data, bytes):
        return hashlib.sha256(data).hexdigest(), len(data)
    with data.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest(), data.stat().st_size
