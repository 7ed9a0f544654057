"""Webhooks: tell a receiver that a video has ended, signed, again and again until it says 2xx or a day is over.

What is owed is a marker in the store, `hooks/<job>.<seq>.<whose>`: the end that comes at or after ledger entry `seq` is
still to be told to the request's URL, or the farm's. It is there before the video can end (farm/jobs.py writes it when
a video is accepted or retried) and goes after the receiver was told, so no crash loses an end; one may be told twice,
with the same id. How it went stays with the video, `jobs/<job>/hooks/<seq of the end>.<whose>.json`.
"""

from __future__ import annotations

import asyncio
import json
import logging
import ssl
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import cache
from typing import Literal, NamedTuple

import httpx
from pydantic import ValidationError
from standardwebhooks import Webhook

from farm.contract import JobId, Value
from farm.errors import NotFound, StoreError
from farm.jobs import Jobs, Record, is_id
from farm.receiver import Receiver, Refused, Resolve, addresses_of, checked_url, resolve
from farm.settings import FarmSettings
from farm.states import ENDED, OPEN
from farm.store import ObjectMissing

log = logging.getLogger(__name__)
Whose = Literal["request", "farm"]
FIRST_DELAY_S = 5.0
_GROWTH = 3.0
_MOST_DELAY_S = 3600.0
GIVE_UP_S = 24 * 3600.0  #: after the video's end
_UNUSED_S = 3600.0  #: a marker whose retry was never written is one that died, once it is this old
_TRY_S = 15.0  #: of one try, whatever the receiver does
_AT_ONCE = 8
_GONE = 410  #: "do not come back"


class Delivery(Value):
    """How telling one end to one receiver went."""

    state: Literal["delivered", "gave_up"]
    event: str
    tries: int  #: by the process that ended it; earlier ones forgot theirs
    reason: str  #: the receiver's last answer
    at: float  #: unix seconds


class Owed(NamedTuple):
    """A marker, read."""

    key: str
    job: JobId
    from_seq: int  #: the end is this ledger entry or a later one
    whose: Whose


class _Told(NamedTuple):
    """What came of one try."""

    ok: bool
    reason: str
    final: bool = False  #: another try would not help


class WebhookSender:
    """Pays what is owed. Several may run at once: receivers are told twice then, no more."""

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
        self._wake = threading.Event()
        for name in ("httpx", "httpcore"):  # they log whole URLs, and a URL's path may be a secret
            logging.getLogger(name).setLevel(logging.WARNING)

    def nudge(self) -> None:
        """A video has ended. Only a hint; from any thread."""
        self._wake.set()

    def run(self) -> None:
        """Send for ever. What goes wrong is logged, and tried again."""
        while True:
            self._wake.clear()
            least_s = 0.1
            try:
                asyncio.run(self.round())
            except StoreError as err:
                log.warning("action=webhook_store_unavailable: %s", err)
                least_s = FIRST_DELAY_S  # what is overdue stays so, and must not make us ask again at once
            except Exception:  # border: the dispatcher beside us must not suffer
                log.exception("action=webhook_crash")
                least_s = FIRST_DELAY_S
            soonest = min(self._next.values(), default=float("inf")) - self._clock()
            self._wake.wait(max(least_s, min(soonest, self._settings.sweep_s)))

    async def round(self) -> None:
        """Try everything that is due now, once. Raises: StoreError."""
        owed = await asyncio.to_thread(owed_in, self._jobs)
        keys = {one.key for one in owed}
        for book in (self._tries, self._next):
            for key in book.keys() - keys:
                book.pop(key, None)
        due = [one for one in owed if self._next.get(one.key, 0.0) <= self._clock()]
        if not due:
            return
        gate = asyncio.Semaphore(_AT_ONCE)
        # a kept connection could be another name's at the same address
        limits = httpx.Limits(max_connections=_AT_ONCE, max_keepalive_connections=0)
        tls = _certificates()
        async with httpx.AsyncClient(verify=tls, trust_env=False, follow_redirects=False, limits=limits) as http:
            await asyncio.gather(*(self._pay(one, gate, http) for one in due))

    async def _pay(self, owed: Owed, gate: asyncio.Semaphore, http: httpx.AsyncClient) -> None:
        async with gate:
            try:
                record = await asyncio.to_thread(self._ended, owed)
                if record is not None:
                    await self._tell(owed, record, http)
            except (StoreError, ValidationError) as err:  # one damaged video must not stop the others
                self._next[owed.key] = self._clock() + self._settings.sweep_s
                log.warning("action=webhook_skipped job_id=%s: %s", owed.job, _words(err))

    def _ended(self, owed: Owed) -> Record | None:
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
            if self._clock() - json.loads(store.get(owed.key))["at"] > _UNUSED_S:
                store.delete(owed.key)
            return None
        try:
            store.size(outcome_key(owed.job, record.head.seq, owed.whose))
        except ObjectMissing:
            return record
        store.delete(owed.key)  # its removal died, or the request came again with its Idempotency-Key
        return None

    async def _tell(self, owed: Owed, record: Record, http: httpx.AsyncClient) -> None:
        tries = self._tries[owed.key] = self._tries.get(owed.key, 0) + 1
        told = await self._try(owed, record, http)
        now, ended_at = self._clock(), record.head.state.ended_at or 0.0
        log.info(
            "action=webhook job_id=%s whose=%s event=%s try=%d delivered=%s answer=%s",
            owed.job,
            owed.whose,
            event_type(record),
            tries,
            told.ok,
            told.reason,
        )
        if not told.ok and not told.final and now - ended_at < GIVE_UP_S:
            self._next[owed.key] = now + delay_s(tries)
            return
        state: Literal["delivered", "gave_up"] = "delivered" if told.ok else "gave_up"
        outcome = Delivery(state=state, event=event_type(record), tries=tries, reason=told.reason, at=now)
        await asyncio.to_thread(self._close, owed, record, outcome)

    def _close(self, owed: Owed, record: Record, outcome: Delivery) -> None:
        key = outcome_key(owed.job, record.head.seq, owed.whose)
        self._jobs.store.put_if_absent(key, outcome.model_dump_json().encode())
        self._jobs.store.delete(owed.key)

    async def _try(self, owed: Owed, record: Record, http: httpx.AsyncClient) -> _Told:
        receiver = await asyncio.to_thread(self._receiver, owed)
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

    def _receiver(self, owed: Owed) -> Receiver | None:
        if owed.whose == "farm":
            url = self._settings.webhook_url
            return None if url is None else Receiver(url=url)
        return Receiver.model_validate_json(self._jobs.store.get(f"jobs/{owed.job}/webhook.json"))


def delay_s(tries: int) -> float:
    """How long to wait after so many tries: 5 s, 15 s, 45 s … at most an hour."""
    return min(FIRST_DELAY_S * _GROWTH ** min(tries - 1, 20), _MOST_DELAY_S)


def message(record: Record) -> str:
    """The body: what ended and how, no prompt and no picture."""
    job, state = record.job, record.head.state
    data = {
        "id": job.id,
        "object": "video",
        "status": state.status,
        "name": job.request.name,
        "metadata": job.request.metadata,
        "error": state.error.model_dump() if state.error else None,
    }
    return json.dumps(
        {
            "id": message_id(record),
            "object": "event",
            "type": event_type(record),
            "created_at": int(state.ended_at or record.head.at),
            "data": data,
        }
    )


def event_type(record: Record) -> str:
    """`video.completed`, `video.failed` or `video.cancelled`."""
    return f"video.{record.head.state.status}"


def message_id(record: Record) -> str:
    """The same for one end of one video, whenever it is told."""
    return f"evt_{record.job.id.removeprefix('video_')}_{record.head.seq}"


def owed_in(jobs: Jobs) -> list[Owed]:
    """The markers of videos that are not open."""
    found = jobs.store.list("hooks/")
    if not found:
        return []
    is_open = set(jobs.open_ids())  # after the markers: a video is open before it owes anything
    owed = [one for one in map(parsed, found) if one is not None]
    return [one for one in owed if one.job not in is_open]


def parsed(key: str) -> Owed | None:
    """A marker's key, read; None where it is none."""
    job, _, rest = key.removeprefix("hooks/").partition(".")
    seq, _, whose = rest.partition(".")
    if not is_id(job) or not seq.isdecimal() or whose not in {"request", "farm"}:
        return None
    return Owed(key, JobId(job), int(seq), "farm" if whose == "farm" else "request")


def delivery_view(jobs: Jobs, record: Record) -> dict[str, object]:
    """How the request's webhook fared with the newest end. Raises: NotFound where the request named none."""
    job, head = record.job, record.head
    if "request" not in job.hooks:
        raise NotFound(f"{job.id} was asked for without a webhook_url")
    view: dict[str, object] = {"object": "video.webhook", "video": job.id, "host": job.hooks["request"]}
    nothing: dict[str, object] = {"event": None, "tries": None, "reason": None, "at": None}
    if head.state.status not in ENDED:
        return view | {"state": "waiting"} | nothing
    try:
        data = jobs.store.get(outcome_key(job.id, head.seq, "request"))
    except ObjectMissing:
        return view | {"state": "pending"} | nothing | {"event": event_type(record)}
    return view | Delivery.model_validate_json(data).model_dump()


def _words(err: Exception) -> str:
    """What went wrong; what cannot be read is not quoted, since it may hold a secret."""
    return f"webhook.json cannot be read: {err.error_count()} faults" if isinstance(err, ValidationError) else str(err)


@cache
def _certificates() -> ssl.SSLContext:
    """Whom https trusts; reading the list takes longer than a post."""
    return httpx.create_ssl_context(trust_env=False)


def outcome_key(job: JobId, seq: int, whose: Whose) -> str:
    """Where it is kept how telling the end `seq` went."""
    return f"jobs/{job}/hooks/{seq:08}.{whose}.json"
