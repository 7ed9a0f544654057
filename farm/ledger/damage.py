"""Read objects and check the sha256 that the ledger names: the farm neither renders nor sends a damaged object.

Only a range of an object is sent unchecked, because the sha256 covers all of its bytes.
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
    """Return the artifact's bytes. Raises: Damaged if their sha256 is not the one in the ledger."""
    data = store.get(artifact.key)
    if hashlib.sha256(data).hexdigest() != artifact.sha256:
        raise _damaged(artifact)
    return data


def check_file(path: Path, artifact: Artifact) -> None:
    """Check a downloaded artifact. Raises: Damaged if its sha256 is not the one in the ledger."""
    with path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    if sha256 != artifact.sha256:
        raise _damaged(artifact)


def check_object(store: Store, artifact: Artifact) -> None:
    """Read an object and check it. Raises: Damaged if it is missing or its sha256 is not the one in the ledger."""
    digest = hashlib.sha256()
    for piece in store.open_read(artifact.key):
        digest.update(piece)
    if digest.hexdigest() != artifact.sha256:
        raise _damaged(artifact)


def checked(pieces: Iterator[bytes], artifact: Artifact) -> Iterator[bytes]:
    """Yield the bytes of a whole object, the last one only once all are known to be right. Raises, before it: Damaged.

    The missing byte tells a reader that the object is incomplete. Our own client asks for the rest, gets it, sees that
    the object is damaged and gives up.
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
    """Call `look` for several videos at once. Skip damaged ones. Raises: any other error of `look`."""

    def skipping(job_id: JobId) -> None:
        with skipping_damaged(job_id):
            look(job_id)

    if job_ids:
        with ThreadPoolExecutor(min(_READERS, len(job_ids)), thread_name_prefix="look") as readers:
            list(readers.map(skipping, job_ids))


@contextlib.contextmanager
def skipping_damaged(job_id: JobId) -> Iterator[None]:
    """Log a video that cannot be read, so that it does not stop the others."""
    try:
        yield
    except Damaged as err:
        log.error("skip_damaged: %s", err, extra={"job_id": job_id})  # noqa: TRY400
