"""Webhooks: tell a receiver that a video has ended, signed, again and again until it says 2xx or a day is over.

What is owed is a marker in the store, `hooks/<job>.<seq>.<whose>`: the end that comes at or after ledger entry `seq` is
still to be told to the request's URL, or the farm's. It is there before the video can end (farm/jobs/ writes it when
a video is accepted or retried) and goes after the receiver was told, so no crash loses an end; one may be told twice,
with the same id. How it went stays with the video, `jobs/<job>/hooks/<seq of the end>.<whose>.json`.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import ssl
import threading
import time
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from functools import cache
from typing import Literal, NamedTuple
from weakref import WeakValueDictionary

import httpx
from pydantic import ValidationError
from standardwebhooks import Webhook

from farm.errors import NotFound, StoreError
from farm.jobs import Jobs, Record
from farm.ledger.layout import HOOKS, HookMarker, outcome_key, parse_hook, receiver_key
from farm.ledger.notes import Mark, read_note
from farm.ledger.states import OPEN
from farm.receiver import Receiver, Resolve, checked_url
from farm.settings import FarmSettings
from farm.store import ObjectMissing
from farm.webhooks.addresses import Refused, addresses_of, resolve
from farm.webhooks.message import Delivery, event_type, message, message_id

log = logging.getLogger(__name__)
FIRST_DELAY_S = 5.0
_GROWTH = 3.0
_MOST_DELAY_S = 3600.0
GIVE_UP_S = 24 * 3600.0  #: after the video's end
_UNUSED_S = 3600.0  #: a marker whose retry was never written is one that died, once it is this old
_TRY_S = 15.0  #: of one try, whatever the receiver does
_AT_ONCE = 32  #: receivers; each is told one end at a time
_GONE = 410  #: "do not come back"


class _Told(NamedTuple):
    """What came of one try."""

    ok: bool
    reason: str
    final: bool = False  #: another try would not help


class _End(NamedTuple):
    """An end that is to be told now."""

    owed: HookMarker
    record: Record
    receiver: Receiver | None  #: None: the farm's settings no longer name one


class _Way(NamedTuple):
    """What posts go out by, in one event loop."""

    http: httpx.AsyncClient
    gate: asyncio.Semaphore  #: of those on their way
    turns: WeakValueDictionary[str, asyncio.Lock]  #: a receiver's URL -> whose turn it is


class WebhookSender:
    """Pays what is owed. Several may run at once: receivers are told twice then, no more.

    A receiver is told one end at a time, the earliest first; a slow one holds up itself alone.
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
        """`clock` gives unix seconds; `resolve` is the one look-up before each try."""
        self._jobs, self._settings, self._clock, self._resolve, self._try_s = jobs, settings, clock, resolve, try_s
        self._tries: dict[str, int] = {}  # marker -> how often it was tried
        self._next: dict[str, float] = {}  # marker -> when it is tried again
        self._under_way: set[str] = set()  # markers that are being tried, or wait for their turn
        self._wake = threading.Event()
        for name in ("httpx", "httpcore"):  # they log whole URLs, and a URL's path may be a secret
            logging.getLogger(name).setLevel(logging.WARNING)

    def nudge(self) -> None:
        """A video has ended. Only a hint; from any thread."""
        self._wake.set()

    def run(self) -> None:
        """Send for ever. What goes wrong is logged, and tried again."""
        while True:
            try:
                asyncio.run(self.serve())
            except Exception:  # border: the dispatcher beside us must not suffer
                log.exception("webhook_crash")
                time.sleep(FIRST_DELAY_S)

    async def serve(self) -> None:
        """Try what is due, whenever something is, for ever. Who is slow to answer is not waited for."""
        lanes = set[asyncio.Task[None]]()
        async with _way() as way:
            while True:
                self._wake.clear()
                least_s = 0.1
                try:
                    for lane in await self._begin(way):
                        lanes.add(lane)
                        lane.add_done_callback(lanes.discard)
                        lane.add_done_callback(_log_crash)
                except StoreError as err:
                    log.warning("webhook_store_unavailable: %s", err)
                    least_s = FIRST_DELAY_S  # what is overdue stays so, and must not make us ask again at once
                waiting = (at for key, at in self._next.items() if key not in self._under_way)
                soonest_s = min(waiting, default=float("inf")) - self._clock()
                await asyncio.to_thread(self._wake.wait, max(least_s, min(soonest_s, self._settings.sweep_s)))

    async def round(self) -> None:
        """Try everything that is due now, once, to the end. Raises: StoreError."""
        async with _way() as way:
            await asyncio.gather(*await self._begin(way))

    async def _begin(self, way: _Way) -> list[asyncio.Task[None]]:
        """Begin to try what is due and not under way, in a task for each receiver. Raises: StoreError."""
        owed = await asyncio.to_thread(owed_in, self._jobs)
        keys = {one.key for one in owed}
        for book in (self._tries, self._next):
            for key in book.keys() - keys - self._under_way:
                book.pop(key, None)
        now = self._clock()
        due = [one for one in owed if self._next.get(one.key, 0.0) <= now and one.key not in self._under_way]
        found = await asyncio.gather(*(asyncio.to_thread(self._end_of, one) for one in due))
        ends = sorted(filter(None, found), key=lambda end: (end.record.head.state.ended_at or 0.0, end.owed.key))
        lanes: dict[str, list[HookMarker]] = {}
        for end in ends:
            lanes.setdefault(end.receiver.url if end.receiver else "", []).append(end.owed)
        self._under_way.update(end.owed.key for end in ends)
        return [asyncio.create_task(self._pay(url, lane, way)) for url, lane in lanes.items()]

    async def _pay(self, url: str, lane: list[HookMarker], way: _Way) -> None:
        """Tell one receiver of these ends, one after the other; behind those that it is being told of already."""
        try:
            async with way.turns.setdefault(url, asyncio.Lock()):
                for owed in lane:
                    async with way.gate:
                        end = await asyncio.to_thread(self._end_of, owed)  # again: its turn may have come late
                        if end is not None:
                            await self._tell(end, way.http)
                    self._under_way.discard(owed.key)
        except Exception:  # logged by whoever waits for this task; it must not come again at once
            self._next.update((owed.key, self._clock() + FIRST_DELAY_S) for owed in lane)
            raise
        finally:
            self._under_way.difference_update(owed.key for owed in lane)
            self._wake.set()  # what failed is due at a time of its own

    def _end_of(self, owed: HookMarker) -> _End | None:
        """The end, where it is to be told now. One damaged video must not stop the others: it is looked at later."""
        try:
            record = self._ended(owed)
            return None if record is None else _End(owed, record, self._receiver(owed))
        except (StoreError, ValidationError) as err:
            self._skip(owed, err)
            return None

    def _skip(self, owed: HookMarker, err: Exception) -> None:
        self._next[owed.key] = self._clock() + self._settings.sweep_s
        log.warning("webhook_skipped: %s", _words(err), extra={"job_id": owed.job})

    def _ended(self, owed: HookMarker) -> Record | None:
        """The video, where an end of it is to be told now. A marker that is no longer needed goes."""
        store = self._jobs.store
        try:
            record = self._jobs.get(owed.job, owner=None)
        except NotFound:  # deleted, or it never came to be
            store.delete(owed.key)
            return None
        if record.head.state.status in OPEN:
            return None
        if record.head.seq < owed.from_seq:
            if self._clock() - read_note(store, owed.key, Mark).at > _UNUSED_S:
                store.delete(owed.key)
            return None
        try:
            store.size(outcome_key(owed.job, record.head.seq, owed.whose))
        except ObjectMissing:
            return record
        store.delete(owed.key)  # its removal died, or the request came again with its Idempotency-Key
        return None

    async def _tell(self, end: _End, http: httpx.AsyncClient) -> None:
        owed, record, receiver = end
        tries = self._tries[owed.key] = self._tries.get(owed.key, 0) + 1
        told = await self._try(receiver, record, http)
        now, ended_at = self._clock(), record.head.state.ended_at or 0.0
        log.info(
            "webhook",
            extra={
                "job_id": owed.job,
                "whose": owed.whose,
                "event": event_type(record),
                "try": tries,
                "delivered": told.ok,
                "answer": told.reason,
            },
        )
        if not told.ok and not told.final and now - ended_at < GIVE_UP_S:
            self._next[owed.key] = now + delay_s(tries)
            return
        state: Literal["delivered", "gave_up"] = "delivered" if told.ok else "gave_up"
        outcome = Delivery(state=state, event=event_type(record), tries=tries, reason=told.reason, at=now)
        try:
            await asyncio.to_thread(self._close, owed, record, outcome)
        except StoreError as err:  # it is told once more, with the same id
            self._skip(owed, err)

    def _close(self, owed: HookMarker, record: Record, outcome: Delivery) -> None:
        key = outcome_key(owed.job, record.head.seq, owed.whose)
        self._jobs.store.put_if_absent(key, outcome.model_dump_json().encode())
        self._jobs.store.delete(owed.key)

    async def _try(self, receiver: Receiver | None, record: Record, http: httpx.AsyncClient) -> _Told:
        secret = (receiver and receiver.secret) or self._settings.webhook_secret
        if receiver is None or not secret:
            return _Told(ok=False, reason="the farm's settings no longer name a receiver, or a secret", final=True)
        try:
            async with asyncio.timeout(self._try_s):
                status = await self._post(receiver.url, secret, record, http)
        except Refused as err:
            return _Told(ok=False, reason=str(err), final=True)
        except (
            httpx.HTTPError,
            httpx.InvalidURL,
            OSError,
            TimeoutError,
            ValueError,
        ) as err:  # ValueError: a URL that was taken once
            return _Told(ok=False, reason=type(err).__name__)  # its text could hold the URL
        return _Told(ok=200 <= status < 300, reason=f"HTTP {status}", final=status == _GONE)

    async def _post(self, text: str, secret: str, record: Record, http: httpx.AsyncClient) -> int:
        """One POST to an address that was checked; the answer's status. Its body is not read."""
        allow_private = self._settings.webhook_allow_private
        url, body = checked_url(text, allow_private=allow_private), message(record)
        sent_at = datetime.fromtimestamp(int(self._clock()), UTC)
        headers = {
            "host": url.netloc.decode("ascii"),
            "content-type": "application/json",
            "user-agent": "framepack-farm",
            "webhook-id": message_id(record),
            "webhook-timestamp": str(int(sent_at.timestamp())),
            "webhook-signature": Webhook(secret).sign(message_id(record), sent_at, body),
        }
        names = {"sni_hostname": url.raw_host.decode("ascii")}  # whom the certificate must name
        lost: httpx.TransportError = httpx.ConnectError("no address")
        for address in await addresses_of(url, allow_private=allow_private, resolve=self._resolve):
            there = url.copy_with(host=address)
            try:
                async with http.stream("POST", there, content=body, headers=headers, extensions=names) as answer:
                    return answer.status_code
            except (httpx.ConnectError, httpx.ConnectTimeout) as err:
                lost = err
        raise lost

    def _receiver(self, owed: HookMarker) -> Receiver | None:
        if owed.whose == "farm":
            url = self._settings.webhook_url
            return None if url is None else Receiver(url=url)
        return Receiver.model_validate_json(self._jobs.store.get(receiver_key(owed.job)))


@contextlib.asynccontextmanager
async def _way() -> AsyncIterator[_Way]:
    # a kept connection could be another name's at the same address
    limits = httpx.Limits(max_connections=_AT_ONCE, max_keepalive_connections=0)
    tls = _certificates()
    async with httpx.AsyncClient(verify=tls, trust_env=False, follow_redirects=False, limits=limits) as http:
        yield _Way(http, asyncio.Semaphore(_AT_ONCE), WeakValueDictionary())


def _log_crash(lane: asyncio.Task[None]) -> None:
    if not lane.cancelled() and (err := lane.exception()) is not None:
        log.error("webhook_crash", exc_info=err)


def delay_s(tries: int) -> float:
    """How long to wait after so many tries: 5 s, 15 s, 45 s … at most an hour."""
    return min(FIRST_DELAY_S * _GROWTH ** min(tries - 1, 20), _MOST_DELAY_S)


def owed_in(jobs: Jobs) -> list[HookMarker]:
    """The markers of videos that are not open."""
    found = jobs.store.list(HOOKS)
    if not found:
        return []
    is_open = set(jobs.open_ids())  # after the markers: a video is open before it owes anything
    owed = [one for one in map(parse_hook, found) if one is not None]
    return [one for one in owed if one.job not in is_open]


def _words(err: Exception) -> str:
    """What went wrong; what cannot be read is not quoted, since it may hold a secret."""
    return f"webhook.json cannot be read: {err.error_count()} faults" if isinstance(err, ValidationError) else str(err)


@cache
def _certificates() -> ssl.SSLContext:
    """Whom https trusts; reading the list takes longer than a post."""
    return httpx.create_ssl_context(trust_env=False)
