"""Looking at many videos, one of which may be damaged."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import ThreadPoolExecutor

from farm.contract import JobId
from farm.errors import Damaged

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
        log.error("action=skip_damaged job_id=%s: %s", job_id, err)  # noqa: TRY400
