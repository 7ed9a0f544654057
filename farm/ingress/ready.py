"""Whether the farm can work: the store writes, reads and erases an object, and the dispatcher answers."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable
from typing import NamedTuple
from uuid import uuid4

from starlette.concurrency import run_in_threadpool

from farm.dispatch.news import DispatcherDoor
from farm.errors import FarmError, StoreError
from farm.store import Store
from farm.store.probe import PROBES

log = logging.getLogger(__name__)
_NAME = "ready"
_BYTES = 65_536  #: a full disk may have room for a smaller object
_HOLDS_S = 5.0  #: a successful trial counts for this long, because load balancers ask often
_ANSWER_S = 5.0  #: a slower store counts as one that does not answer
_LITTER_S = 3600.0


class Look(NamedTuple):
    """The state of each part: "ok", or why it cannot work."""

    store: str
    dispatcher: str
    workers: int

    @property
    def ready(self) -> bool:
        """Whether the farm can store and render a new video."""
        return self.store == self.dispatcher == "ok"


class Readiness:
    """Checks the farm's parts on request. Concurrent requests share one trial of the store."""

    def __init__(self, store: Store, door: DispatcherDoor, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._store, self._door, self._clock = store, door, clock
        self._trial: asyncio.Future[str] | None = None
        self._well_until = -1.0

    async def look(self) -> Look:
        """Check every part that has no recent result. This takes at most a few seconds, even if a part hangs."""
        store, (dispatcher, workers) = await asyncio.gather(self.store(), self._look_at_dispatcher())
        return Look(store, dispatcher, workers)

    async def _look_at_dispatcher(self) -> tuple[str, int]:
        try:
            return "ok", len(await self._door.workers())
        except FarmError as err:
            return str(err), 0

    async def store(self) -> str:
        """Say how the store is: "ok", or why it cannot work. This takes at most a few seconds."""
        if self._clock() < self._well_until:
            return "ok"
        if self._trial is None or self._trial.done():
            self._trial = asyncio.ensure_future(run_in_threadpool(self._try_store))
        try:
            found = await asyncio.wait_for(asyncio.shield(self._trial), _ANSWER_S)
        except TimeoutError:
            return f"the store has not answered for {_ANSWER_S:.0f} s"
        if found == "ok":
            self._well_until = self._clock() + _HOLDS_S
        return found

    def _try_store(self) -> str:
        data, key = uuid4().bytes * (_BYTES // 16), f"{PROBES}{_NAME}-{int(time.time())}-{uuid4().hex}"
        try:
            self._remove_litter()
            self._store.put_if_absent(key, data)
            try:
                same = self._store.get(key) == data
            finally:
                self._store.delete(key)
        except StoreError as err:
            log.warning("store_not_ready: %s", err)
            return f"the store does not answer{_reason(err)}"
        return "ok" if same else "the store returned other bytes than were written"

    def _remove_litter(self) -> None:
        """Erase the objects of trials that were killed."""
        for key in self._store.list(PROBES):
            name, _, rest = key.removeprefix(PROBES).partition("-")
            began = rest.partition("-")[0]
            if name == _NAME and began.isdecimal() and time.time() - int(began) > _LITTER_S:
                with contextlib.suppress(StoreError):
                    self._store.delete(key)


def _reason(err: StoreError) -> str:
    """Return the system's reason, such as a full disk. Names and addresses stay in the log: this page is public."""
    cause = err.__cause__
    return f": {cause.strerror}" if isinstance(cause, OSError) and cause.strerror else ""
