"""The videos' answers, as lists show them. The ledger says whether an answer still holds; no list reads a video twice.

The catalog keeps a video's answer under the seq of its newest entry. It holds while the ledger has no later entry,
wherever a later one is written: by this process, by another ingress or by the dispatcher.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

from farm.contract import JobId, LiveJob
from farm.errors import Damaged, NotFound
from farm.jobs.jobs import Jobs, Record
from farm.ledger.states import OPEN, Status

log = logging.getLogger(__name__)
_MOST_BYTES = 32 << 20  #: of what is kept: some 15,000 ended videos
_RECORD_BYTES = 10_000  #: of a request and a ledger entry in memory, beside their texts
_LISTED_BYTES = 500
#: A look holds for so long. A sweep removes a deleted video's tombstone after an hour, and then its id could come back
#: with an import.
_HOLDS_S = 1800.0
_READERS = 8  #: videos that are read at once: S3 takes its time


@dataclass(slots=True)
class Listed:
    """A video as of one ledger entry."""

    id: JobId
    owner: str
    seq: int
    status: Status
    text: str  #: prompt and name, in lower case, for searches
    labels: tuple[str, ...]
    record: Record | None  #: None: it has ended, so `answer` stays as it is
    answer: bytes
    live: LiveJob | None  #: the dispatcher's facts when `answer` was made
    looked_at: float
    bytes: int  #: of memory, about


class Catalog:
    """The videos that lists showed lately, up to `most_bytes`. Several threads may use it."""

    def __init__(
        self,
        jobs: Jobs,
        show: Callable[[Record, LiveJob | None], bytes],
        *,
        most_bytes: int = _MOST_BYTES,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`show` makes the answer for a video, from what the store and the dispatcher know of it."""
        self.jobs, self._show, self._most_bytes, self._clock = jobs, show, most_bytes, clock
        self._kept: dict[JobId, Listed] = {}  # the latest look last
        self._bytes, self._keeping = 0, threading.Lock()
        self._readers = ThreadPoolExecutor(_READERS, thread_name_prefix="list")

    def look(self, ids: Sequence[JobId], *, owner: str) -> list[Listed | None]:
        """Return the owner's videos as they are now; None for one that is gone or damaged."""
        begun = self._clock()
        with self._keeping:
            known = {id_: kept for id_ in ids if (kept := self._kept.get(id_)) is not None and kept.owner == owner}
        settled = {id_: kept for id_, kept in known.items() if begun - kept.looked_at < _HOLDS_S}
        for id_ in self.jobs.ledger.moved({id_: kept.seq for id_, kept in settled.items()}) if settled else ():
            del settled[id_]
        missing = [id_ for id_ in ids if id_ not in settled]
        read = partial(self._read, known=known, owner=owner, begun=begun)
        found = self._readers.map(read, missing) if len(missing) > 1 else map(read, missing)
        news = dict(zip(missing, found, strict=True))
        for kept in settled.values():
            kept.looked_at = begun
        found_now = settled | {id_: listed for id_, listed in news.items() if listed is not None}
        self._keep(ids, found_now)
        return [found_now.get(id_) for id_ in ids]

    def answer(self, listed: Listed, live: LiveJob | None) -> bytes:
        """Return the answer for the video. live: what the dispatcher knows of it now."""
        if listed.record is not None and live != listed.live:
            listed.answer, listed.live = self._show(listed.record, live), live
        return listed.answer

    def _read(self, id_: JobId, *, known: dict[JobId, Listed], owner: str, begun: float) -> Listed | None:
        before = known.get(id_)
        try:
            if before is not None and before.record is not None and begun - before.looked_at < _HOLDS_S:
                asked = before.record.asked
                record = Record(asked, self.jobs.ledger.head(id_, after=before.record.head))
            else:
                record = self.jobs.get(id_, owner=owner)
        except NotFound:  # its acceptance was interrupted before entry 0, or it was deleted just now
            return None
        except Damaged as err:  # the other videos still go on the page
            log.error("skip_damaged: %s", err, extra={"job_id": id_})  # noqa: TRY400
            return None
        request, head, answer = record.job.request, record.head, self._show(record, None)
        text, is_open = f"{request.prompt}\n{request.name}".casefold(), head.state.status in OPEN
        return Listed(
            id=id_,
            owner=owner,
            seq=head.seq,
            status=head.state.status,
            text=text,
            labels=request.labels,
            record=record if is_open else None,
            answer=answer,
            live=None,
            looked_at=begun,
            bytes=_LISTED_BYTES + len(text) + len(answer) + (_RECORD_BYTES + 2 * len(answer) if is_open else 0),
        )

    def _keep(self, ids: Iterable[JobId], found: dict[JobId, Listed]) -> None:
        """Keep what was found, and forget what is gone, and what no list has shown for the longest time."""
        with self._keeping:
            for id_ in ids:
                if (before := self._kept.pop(id_, None)) is not None:
                    self._bytes -= before.bytes
                if (listed := found.get(id_)) is not None:
                    self._kept[id_] = listed
                    self._bytes += listed.bytes
            while self._bytes > self._most_bytes:
                self._bytes -= self._kept.pop(next(iter(self._kept))).bytes
