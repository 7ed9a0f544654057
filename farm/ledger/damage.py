"""Objects are read with the sha256 that the ledger gave them: what was damaged is never rendered, nor sent whole.

Only a range of an object is sent unchecked: the sha256 is that of all its bytes.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from farm.contract import Artifact, JobId
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


def checked(pieces: Iterator[bytes], artifact: Artifact) -> Iterator[bytes]:
    """The bytes of a whole object, the last one only once all are known to be right. Raises, before it: Damaged.

    One byte is enough to tell whoever reads that it is not whole, and little enough for our client, which asks for the
    rest: it then has all of it, sees that it is damaged, and gives up.
    """
    digest, held = hashlib.sha256(), b""
    for piece in filter(None, pieces):
        digest.update(piece)
        yield held + piece[:-1]
        held = piece[-1:]
    if digest.hexdigest() != artifact.sha256:
        raise _damaged(artifact)
    yield held


def _damaged(artifact: Artifact) -> Damaged:
    return Damaged(f"{artifact.key} is damaged: its sha256 is not the one in the ledger", key=artifact.key)


log = logging.getLogger(__name__)
_READERS = 16  #: threads


def look_at_each(look: Callable[[JobId], object], job_ids: Collection[JobId]) -> None:
    """Several at a time: a store answers slowly, but many at once. Raises: what `look` raises, but for Damaged."""

    def skipping(job_id: JobId) -> None:
        with skipping_damaged(job_id):
            look(job_id)

    if job_ids:
        with ThreadPoolExecutor(min(_READERS, len(job_ids)), thread_name_prefix="look") as readers:
            list(readers.map(skipping, job_ids))


@contextlib.contextmanager
def skipping_damaged(job_id: JobId) -> Iterator[None]:
    """One video that cannot be read must not stop the others."""
    try:
        yield
    except Damaged as err:
        log.error("skip_damaged: %s", err, extra={"job_id": job_id})  # noqa: TRY400
