"""Webhooks: tell a receiver that a video has ended, signed, until it answers 2xx or a day is over.

A marker in the store, `hooks/<job>.<seq>.<whose>`, says that the end at ledger entry `seq` or later must be delivered
to the request's URL or the farm's. farm/jobs/ writes it before the video can end, and the sender removes it after the
delivery, so a crash loses no end; a receiver may get one twice, with the same id. The outcome stays with the video.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import httpx
from pydantic import ValidationError

from farm.errors import NotFound, StoreError
from farm.jobs import Jobs, Record
from farm.ledger.layout import HOOKS, HookMarker, outcome_key, parse_hook, receiver_key
from farm.ledger.notes import Mark, read_note
from farm.ledger.states import OPEN
from farm.receiver import Receiver, Resolve
from farm.settings import FarmSettings
from farm.webhooks.message import Delivery, event_type, signed
from farm.webhooks.post import Answer, http_client, post, resolve

log = logging.getLogger(__name__)
FIRST_DELAY_S = 5.0
_GROWTH = 3.0
_MOST_DELAY_S = 3600.0
GIVE_UP_S = 24 * 3600.0  #: after the video's end
_UNUSED_S = 3600.0  #: age of a marker whose retry is still not in the ledger: its writer has died
_TRY_S = 15.0  #: for one try
_AT_ONCE = 32  #: receivers


@dataclass
class _Pending:
    """A marker in the store."""

    hook: HookMarker
    tries: int = 0
    due: float = 0.0  #: unix seconds of the next try
    queued: bool = False  #: in its receiver's queue


class _End(NamedTuple):
    """An end to deliver now."""

    pending: _Pending
    record: Record
    receiver: Receiver | None  #: None: the farm's settings no longer name one

    @property
    def url(self) -> str:
        return self.receiver.url if self.receiver else ""


class WebhookSender:
    """Delivers pending webhooks: a queue and a task for each receiver, so a slow one delays no other.

    Several senders may run at once; receivers then get an end twice.
    """

    def __init__(
        self,
        jobs: Jobs,
        settings: FarmSettings,
        *,
        clock: Callable[[], float] = time.time,
        resolve: Resolve = resolve,
        try_s: float = _TRY_S,
    ) -> None:
        """`clock` gives unix seconds; `resolve` looks a host up, once before each try."""
        self._jobs, self._settings, self._clock, self._resolve, self._try_s = jobs, settings, clock, resolve, try_s
        self._pending: dict[str, _Pending] = {}  # by the marker's key
        self._queues: dict[str, deque[_Pending]] = {}  # by the URL of a receiver whose task is at work
        self._at_once, self._wake = asyncio.Semaphore(_AT_ONCE), asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        for name in ("httpx", "httpcore"):  # they log whole URLs, and a URL's path may be a secret
            logging.getLogger(name).setLevel(logging.WARNING)

    def nudge(self) -> None:
        """Look for ended videos now instead of at the next sweep. Any thread may call this."""
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._wake.set)

    def run(self) -> None:
        """Serve for ever, in a thread of its own. Log a failure to start, and try again."""
        while True:
            try:
                asyncio.run(self.serve())
            except Exception:  # border: the dispatcher beside us must not suffer
                log.exception("webhook_crash")
                time.sleep(FIRST_DELAY_S)

    async def serve(self) -> None:
        """Deliver each webhook when it is due, for ever. Log what goes wrong, and try again."""
        self._loop = asyncio.get_running_loop()
        async with http_client(_AT_ONCE) as http, asyncio.TaskGroup() as tasks:
            while True:
                self._wake.clear()
                pause_s = self._settings.sweep_s
                try:
                    for url in await self._enqueue():
                        tasks.create_task(self._deliver_to(url, http))
                except StoreError as err:
                    log.warning("webhook_store_unavailable: %s", err)
                    pause_s = FIRST_DELAY_S
                except Exception:  # border: the dispatcher beside us must not suffer
                    log.exception("webhook_crash")
                    pause_s = FIRST_DELAY_S
                now = self._clock()
                later = (one.due - now for one in self._pending.values() if one.due > now and not one.queued)
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._wake.wait(), min([pause_s, *later]))

    async def round(self) -> None:
        """Try everything that is due now, once. Raises: StoreError."""
        async with http_client(_AT_ONCE) as http:
            await asyncio.gather(*(self._deliver_to(url, http) for url in await self._enqueue()))

    async def _enqueue(self) -> list[str]:
        """Put what is due into its receiver's queue, the earliest end first; return the receivers that were idle.

        Raises: StoreError.
        """
        hooks = await asyncio.to_thread(hooks_of_ended, self._jobs)
        known = self._pending
        self._pending = {hook.key: known.get(hook.key) or _Pending(hook) for hook in hooks}
        self._pending |= {key: one for key, one in known.items() if one.queued}
        now = self._clock()
        due = [one for one in self._pending.values() if one.due <= now and not one.queued]
        found = await asyncio.gather(*(asyncio.to_thread(self._end_of, one) for one in due))
        ends = sorted(
            filter(None, found), key=lambda end: (end.record.head.state.ended_at or 0.0, end.pending.hook.key)
        )
        idle = {end.url: None for end in ends if end.url not in self._queues}
        for end in ends:
            self._queues.setdefault(end.url, deque()).append(end.pending)
            end.pending.queued = True
        return list(idle)

    async def _deliver_to(self, url: str, http: httpx.AsyncClient) -> None:
        """Empty one receiver's queue, one end after the other."""
        queue = self._queues[url]
        while queue:
            pending = queue[0]
            try:
                async with self._at_once:
                    end = await asyncio.to_thread(self._end_of, pending)  # again: it may have waited long
                    if end is not None:
                        await self._deliver(end, http)
            except Exception:  # border: one webhook must not stop the others
                log.exception("webhook_crash", extra={"job_id": pending.hook.job})
                pending.due = self._clock() + FIRST_DELAY_S
            queue.popleft()
            pending.queued = False
        del self._queues[url]
        self._wake.set()  # so that `serve` sees when to try again

    def _end_of(self, pending: _Pending) -> _End | None:
        """Return the end if it is to be delivered now. A video that cannot be read must not stop the others."""
        try:
            record = self._ended(pending.hook)
            return None if record is None else _End(pending, record, self._receiver(pending.hook))
        except (StoreError, ValidationError) as err:
            self._skip(pending, err)
            return None

    def _skip(self, pending: _Pending, err: Exception) -> None:
        """Come back to it at the next sweep."""
        pending.due = self._clock() + self._settings.sweep_s
        log.warning("webhook_skipped: %s", _words(err), extra={"job_id": pending.hook.job})

    def _ended(self, hook: HookMarker) -> Record | None:
        """Return the video if an end of it is to be delivered now. Remove the marker if nothing ever will be."""
        store = self._jobs.store
        try:
            record = self._jobs.get(hook.job, owner=None)
        except NotFound:  # deleted, or never accepted
            store.delete(hook.key)
            return None
        if record.head.state.status in OPEN:
            return None
        if record.head.end < hook.from_seq:
            if self._clock() - read_note(store, hook.key, Mark).at > _UNUSED_S:
                store.delete(hook.key)
            return None
        if not store.existing({outcome_key(hook.job, record.head.end, hook.whose)}):
            return record
        store.delete(hook.key)  # delivered: the sender died before it could remove the marker
        return None

    def _receiver(self, hook: HookMarker) -> Receiver | None:
        if hook.whose == "farm":
            url = self._settings.webhook_url
            return None if url is None else Receiver(url=url)
        return Receiver.model_validate_json(self._jobs.store.get(receiver_key(hook.job)))

    async def _deliver(self, end: _End, http: httpx.AsyncClient) -> None:
        """Try once; note when to try again, or the outcome."""
        pending, record, _ = end
        hook, event = pending.hook, event_type(record)
        pending.tries += 1
        answer = await self._try(end, http)
        now, ended_at = self._clock(), record.head.state.ended_at or 0.0
        facts = {"job_id": hook.job, "whose": hook.whose, "event": event, "try": pending.tries}
        log.info("webhook", extra={**facts, "delivered": answer.ok, "answer": answer.reason})
        if not answer.ok and not answer.final and now - ended_at < GIVE_UP_S:
            pending.due = now + delay_s(pending.tries)
            return
        outcome = Delivery(
            state="delivered" if answer.ok else "gave_up",
            event=event,
            tries=pending.tries,
            reason=answer.reason,
            at=now,
        )
        try:
            await asyncio.to_thread(self._close, hook, record, outcome)
        except StoreError as err:  # the receiver gets it once more, with the same id
            self._skip(pending, err)

    async def _try(self, end: _End, http: httpx.AsyncClient) -> Answer:
        _, record, receiver = end
        settings = self._settings
        secret = (receiver and receiver.secret) or settings.webhook_secret
        if receiver is None or not secret:
            return Answer(ok=False, reason="the farm's settings no longer name a receiver, or a secret", final=True)
        return await post(
            signed(record, secret, at=self._clock()),
            receiver,
            http,
            allow_private=settings.webhook_allow_private,
            resolve=self._resolve,
            try_s=self._try_s,
        )

    def _close(self, hook: HookMarker, record: Record, outcome: Delivery) -> None:
        key = outcome_key(hook.job, record.head.end, hook.whose)
        self._jobs.store.put_if_absent(key, outcome.model_dump_json().encode())
        self._jobs.store.delete(hook.key)


def delay_s(tries: int) -> float:
    """Return the pause after this many tries: 5 s, 15 s, 45 s … at most an hour."""
    return min(FIRST_DELAY_S * _GROWTH ** min(tries - 1, 20), _MOST_DELAY_S)


def hooks_of_ended(jobs: Jobs) -> list[HookMarker]:
    """Return the webhooks of videos that are not open."""
    found = jobs.store.list(HOOKS)
    if not found:
        return []
    is_open = set(jobs.open_ids())  # after the list of webhooks: a video gets its open/ marker before any of those
    return [hook for hook in map(parse_hook, found) if hook is not None and hook.job not in is_open]


def _words(err: Exception) -> str:
    """Say what went wrong without quoting webhook.json, which may hold a secret."""
    return f"webhook.json cannot be read: {err.error_count()} faults" if isinstance(err, ValidationError) else str(err)
