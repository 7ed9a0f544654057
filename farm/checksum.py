"""Objects are read with the sha256 that the ledger gave them: what was damaged is never rendered or served."""

from __future__ import annotations

import hashlib
from pathlib import Path

from farm.contract import Artifact
from farm.errors import Damaged
from farm.store import Store


def verified(store: Store, artifact: Artifact) -> bytes:
    """The artifact's bytes. Raises: Damaged where they are not those that the ledger named."""
    data = store.get(artifact.key)
    if hashlib.sha256(data).hexdigest() != artifact.sha256:
        raise _damaged(artifact)
    return data


def check_file(path: Path, artifact: Artifact) -> None:
    """Raises: Damaged where the file is not the object that the ledger named."""
    with path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    if sha256 != artifact.sha256:
        raise _damaged(artifact)


def _damaged(artifact: Artifact) -> Damaged:
    return Damaged(f"{artifact.key} is damaged: its sha256 is not the one in the ledger", key=artifact.key)
