"""The streams that clients follow: that of a session, with all calls that it waits for, and that of a single call."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing, suppress
from functools import partial
from typing import Any, NamedTuple, TypeVar

from anyio import current_time
from starlette.concurrency import run_in_threadpool

from farm.bells import rings
from farm.errors import Damaged, FarmError, NotFound, StoreError
from farm.ingress.gradio.calls import has_late_note
from farm.ingress.gradio.doors import DOORS, Call
from farm.ingress.gradio.rows import Row, Rows
from farm.ingress.gradio.visit import Visit
from farm.jobs.scripts import ScriptSession
from farm.ledger.layout import ScriptKey
from farm.ledger.notes import ScriptEvent
from farm.ledger.states import OPEN

log = logging.getLogger(__name__)
T = TypeVar("T")
_BEAT_S = 10.0  #: clients may take 15 s of silence for the end
_LOOK_S = 5.0  #: between two looks for calls that another process of the ingress took
_PLACE_S = 1.0  #: between two looks at a place in the queue
_RETRY_S = 1.0  #: until a store is asked again that did not answer, or had nothing
#: before the first message of a call: a client of 1.8 forgets what arrives while it still reads the answer to its POST
_SETTLE_S = 0.1
_EMPTY_S = 5.0  #: how long a stream without a call stays open: a list may be stale
_ENDS = {
    "cancelled": "the video was cancelled",
    "deleted": "the video was deleted",
    "failed": "the video failed",
}


class Queued(NamedTuple):
    """The video waits for a worker."""

    rank: int
    eta_s: float | None


class Done(NamedTuple):
    """The call has ended: with outputs, or with an error."""

    outputs: Row | None = None
    error: str = ""


Told = Queued | Row | Done
#: the end of a call at which the farm itself went wrong
_BROKEN = Done(error="an internal error occurred; the farm has logged it")
#: the end of a whole stream at which the farm itself went wrong: by this text, clients end every call that waits
_STOPPED = {"msg": "unexpected_error", "message": "Server stopped unexpectedly.", "success": False}


async def told(event: ScriptEvent, visit: Visit) -> AsyncGenerator[Told]:
    """Yield the events of a call, up to its end."""
    if event.error is not None:
        yield Done(error=event.error)
    elif event.data is not None:
        yield Done(outputs=list(event.data))
    else:
        try:
            async for news in _told_of_video(event, visit):
                yield news
        except FarmError as err:
            yield Done(error=str(err))
        except Exception:  # border: or else the client would wait for ever
            log.exception("script_failed", extra={"job_id": event.id})
            yield _BROKEN


def call_of(event: ScriptEvent) -> Call:
    """Return the call that an event is of. Raises: NotFound for one of a later farm."""
    for door in DOORS:
        call = door.call(event.call) if door.path == event.door else None
        if call is not None:
            return call
    raise NotFound(f"there is no call {event.call!r} here")


async def _patiently(ask: Callable[[], Awaitable[T]]) -> T:
    """Ask until the store answers: the video goes on meanwhile. Raises: Damaged, NotFound."""
    while True:
        try:
            return await ask()
        except Damaged:
            raise
        except StoreError as err:
            log.warning("script_waits_for_the_store: %s", err)
        await asyncio.sleep(_RETRY_S)


async def _told_of_video(event: ScriptEvent, visit: Visit) -> AsyncIterator[Told]:
    record = await _patiently(lambda: run_in_threadpool(visit.deps.jobs.get, event.id, owner=visit.owner))
    rows = Rows(record.job, call_of(event), address=f"{visit.address}{event.door}")
    head, shown = record.head, None
    with visit.deps.watches.following(record.asked) as watch:
        while True:
            news = watch.news
            head = (await _patiently(partial(watch.after, -1, head_seq=head.seq)))[-1]
            state, live = head.state, watch.live
            if state.status == "queued":  # others move its place, which is no news of this video
                live = (await visit.deps.lives.of([record.job.id])).get(record.job.id)
            for row in rows.news(state, live):
                yield row
            if state.status == "completed":
                yield rows.last()
                yield Done(outputs=rows.last())
            elif state.status not in OPEN:
                error = state.error.message if state.error else ""
                yield Done(error=error or _ENDS[state.status])
            if state.status not in OPEN:
                return
            if state.status == "queued":
                queued = Queued(max((live.queue_position or 1) - 1, 0) if live else 0, live.eta_s if live else None)
                if queued != shown:
                    shown = queued
                    yield queued
            with suppress(TimeoutError):
                await asyncio.wait_for(watch.changed(news), _PLACE_S if state.status == "queued" else None)


class SessionStream:
    """The stream of a session: the events of its calls, beats, and `close_stream` after the last event."""

    def __init__(self, session: ScriptSession, visit: Visit) -> None:
        self._session, self._visit = session, visit
        self._messages = asyncio.Queue[str | None]()  # Server-Sent Events; None: nothing is left to tell
        self._known = set[str]()  #: keys of calls that were begun to be told
        self._tasks = set[asyncio.Task[None]]()

    async def events(self) -> AsyncIterator[str]:
        """Yield Server-Sent Events."""
        with self._visit.deps.bells.heard(self._session.folder) as bell:
            looking = asyncio.create_task(self._look_again(bell))
            looking.add_done_callback(lambda _: self._messages.put_nowait(None))
            try:
                while True:
                    try:
                        message = await asyncio.wait_for(self._messages.get(), _BEAT_S)
                    except TimeoutError:
                        yield _data({"msg": "heartbeat"})
                        continue
                    if message is None:
                        break
                    yield message
                try:
                    await looking
                except Exception:  # border: or else the client would wait for ever
                    log.exception("session_failed")
                    yield _data(_STOPPED)
                yield _data({"msg": "close_stream"})
            finally:
                for task in (looking, *self._tasks):
                    task.cancel()

    async def _look_again(self, bell: asyncio.Event) -> None:
        """Look for calls until nothing is left to tell, as far as the store answers."""
        empty_at = current_time()
        while True:
            bell.clear()
            if not await self._look(bell):
                empty_at = current_time()
            elif not (self._tasks or bell.is_set() or has_late_note(self._session)) and (
                self._known or current_time() - empty_at > _EMPTY_S
            ):
                return
            await rings(bell, _LOOK_S if self._tasks else _RETRY_S)

    async def _look(self, bell: asyncio.Event) -> bool:
        """Begin to stream new calls; each sets the bell at its end. Return whether the store answered."""
        try:
            keys = await run_in_threadpool(self._session.keys)
        except FarmError as err:
            log.warning("session_unavailable: %s", err)
            return False
        for key in keys:
            if str(key) not in self._known:
                self._known.add(str(key))
                task = asyncio.create_task(self._tell(key))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)
                task.add_done_callback(lambda _: bell.set())
        return True

    async def _tell(self, key: ScriptKey) -> None:
        """Stream a call's events up to its end. A failure here ends this call alone."""
        await asyncio.sleep(_SETTLE_S)
        messages = Messages(key.name)
        try:
            event = await _patiently(lambda: run_in_threadpool(self._session.event, key))
            if event is None:
                return
            async with aclosing(told(event, self._visit)) as all_told:
                async for news in all_told:
                    if isinstance(news, Done):
                        await self._forget(key)
                    self._put(messages.of(news))
        except FarmError as err:
            end = Done(error=str(err))
        except Exception:  # border: or else the client would wait for ever
            log.exception("script_failed", extra={"job_id": key.name})
            end = _BROKEN
        else:
            return
        self._put(messages.of(end))
        await self._forget(key)

    def _put(self, messages: list[dict[str, Any]]) -> None:
        for event in [*map(_data, messages)]:  # all, or none if one cannot be written as JSON
            self._messages.put_nowait(event)

    async def _forget(self, key: ScriptKey) -> None:
        """Let no later stream tell the call again: clients of 1.8 fail at that."""
        try:
            await run_in_threadpool(self._session.told, key)
        except FarmError as err:
            log.warning("session_unavailable: %s", err)


class Messages:
    """The messages of one call in a session's stream."""

    def __init__(self, event_id: str) -> None:
        self._id, self._has_started, self._rows = event_id, False, 0

    def of(self, told: Told) -> list[dict[str, Any]]:
        """Return the messages that tell it."""
        if isinstance(told, Queued):
            return [self._estimation(told)]
        messages = [] if self._has_started else [self._estimation(Queued(0, None)), self._message("process_starts")]
        self._has_started = True
        if isinstance(told, Done):
            is_error = told.outputs is None
            output: dict[str, Any] = (
                {"error": told.error} if is_error else {"data": told.outputs, "is_generating": False}
            )
            return [*messages, self._message("process_completed", output=output, success=not is_error)]
        self._rows += 1  # the first row whole, then what changes of each output
        data = told if self._rows == 1 else [[["replace", [], output]] for output in told]
        output = {"data": data, "is_generating": True}
        return [*messages, self._message("process_generating", output=output, success=True)]

    def _estimation(self, queued: Queued) -> dict[str, Any]:
        return self._message("estimation", rank=queued.rank, queue_size=queued.rank + 1, rank_eta=queued.eta_s)

    def _message(self, msg: str, **more: Any) -> dict[str, Any]:
        return {"msg": msg, "event_id": self._id, **more}


async def call_events(event: ScriptEvent, session: ScriptSession, visit: Visit) -> AsyncIterator[str]:
    """Yield the Server-Sent Events of a single call: whole rows, and an end. session: the one that waits for it."""
    messages = asyncio.Queue[Told]()

    async def read() -> None:
        async with aclosing(told(event, visit)) as all_told:
            async for news in all_told:
                messages.put_nowait(news)

    task = asyncio.create_task(read())
    try:
        while True:
            try:
                news = await asyncio.wait_for(messages.get(), _BEAT_S)
            except TimeoutError:
                yield "event: heartbeat\ndata: null\n\n"
                continue
            if isinstance(news, Done):
                if event.data is None and event.error is None:  # answers go with their age
                    with suppress(FarmError):
                        await run_in_threadpool(session.forget_video, event.id)
                is_error = news.outputs is None
                data = {"error": news.error} if is_error else news.outputs
                yield f"event: {'error' if is_error else 'complete'}\n{_data(data)}"
                return
            if not isinstance(news, Queued):
                yield f"event: generating\n{_data(news)}"
    finally:
        task.cancel()


def _data(message: Any) -> str:
    return f"data: {json.dumps(message)}\n\n"
