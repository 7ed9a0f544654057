"""Whether the farm can work: the store takes, gives and erases an object, and the dispatcher answers."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable
from typing import NamedTuple
from uuid import uuid4

from anyio import to_thread

from farm.contract import DispatcherDoor
from farm.errors import FarmError, StoreError
from farm.store import Store
from farm.store.probe import PROBES

log = logging.getLogger(__name__)
_NAME = "ready"
_BYTES = 65_536  #: a full disk may still have room for less
_HOLDS_S = 5.0  #: a trial that went well is not repeated for so long: load balancers ask often
_ANSWER_S = 5.0  #: a store that takes longer is one that does not answer
_LITTER_S = 3600.0


class Look(NamedTuple):
    """What was found: of each part "ok", or why it cannot work."""

    store: str
    dispatcher: str
    workers: int

    @property
    def ready(self) -> bool:
        """Whether a video that is asked for now can be stored and rendered."""
        return self.store == self.dispatcher == "ok"


class Readiness:
    """Looks at the parts when asked; one trial of the store at a time, however many ask."""

    def __init__(self, store: Store, door: DispatcherDoor, *, clock: Callable[[], float] = time.monotonic) -> None:
        """Nothing is tried yet."""
        self._store, self._door, self._clock = store, door, clock
        self._trial: asyncio.Future[str] | None = None
        self._well_until = -1.0

    async def look(self) -> Look:
        """Try what was not tried lately. Takes a few seconds at most, also where a part hangs."""
        store, (dispatcher, workers) = await asyncio.gather(self._look_at_store(), self._look_at_dispatcher())
        return Look(store, dispatcher, workers)

    async def _look_at_dispatcher(self) -> tuple[str, int]:
        try:
            return "ok", len(await self._door.workers())
        except FarmError as err:
            return str(err), 0

    async def _look_at_store(self) -> str:
        if self._clock() < self._well_until:
            return "ok"
        if self._trial is None or self._trial.done():
            self._trial = asyncio.ensure_future(to_thread.run_sync(self._try_store))
        try:
            found = await asyncio.wait_for(asyncio.shield(self._trial), _ANSWER_S)
        except TimeoutError:
            return f"the store does not answer: nothing was heard for {_ANSWER_S:.0f} s"
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
        return "ok" if same else "the store does not give back what it was given"

    def _remove_litter(self) -> None:
        """Trials that were killed leave their object behind."""
        for key in self._store.list(PROBES):
            name, _, rest = key.removeprefix(PROBES).partition("-")
            began = rest.partition("-")[0]
            if name == _NAME and began.isdecimal() and time.time() - int(began) > _LITTER_S:
                with contextlib.suppress(StoreError):
                    self._store.delete(key)


def _reason(err: StoreError) -> str:
    """What the system says, such as a full disk. Names and addresses stay in the log: anybody may ask us."""
    cause = err.__cause__
    return f": {cause.strerror}" if isinstance(cause, OSError) and cause.strerror else ""
