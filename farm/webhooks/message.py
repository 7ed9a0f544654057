"""The message that tells a receiver how a video ended, as Standard Webhooks defines it, and the outcome."""

from __future__ import annotations

import json
from contextlib import suppress
from datetime import UTC, datetime
from typing import Literal, NamedTuple

from standardwebhooks import Webhook

from farm.contract import Value
from farm.errors import NotFound
from farm.jobs import Jobs, Record
from farm.ledger.layout import hooks_prefix, outcome_folder, outcome_key, parse_hook
from farm.ledger.states import ENDED
from farm.store import ObjectMissing


class Delivery(Value):
    """The outcome of delivering one end to one receiver."""

    state: Literal["delivered", "gave_up"]
    event: str
    tries: int  #: of the process that ended it; a restart begins to count again
    reason: str  #: the receiver's last answer
    at: float  #: unix seconds


class Signed(NamedTuple):
    """A message that is ready to be sent."""

    body: str
    headers: dict[str, str]


def signed(record: Record, secret: str, *, at: float) -> Signed:
    """Sign the video's message; at: unix seconds at which it is sent."""
    body, sent_at = message(record), datetime.fromtimestamp(int(at), UTC)
    headers = {
        "content-type": "application/json",
        "webhook-id": message_id(record),
        "webhook-timestamp": str(int(at)),
        "webhook-signature": Webhook(secret).sign(message_id(record), sent_at, body),
    }
    return Signed(body, headers)


def message(record: Record) -> str:
    """Return the body: which video ended, and how; neither prompt nor pictures."""
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
    """Return `video.completed`, `video.failed` or `video.cancelled`."""
    return f"video.{record.head.state.status}"


def message_id(record: Record) -> str:
    """Return the id of this end of this video, the same for every try."""
    return f"evt_{record.job.id.removeprefix('video_')}_{record.head.end}"


def delivery_view(jobs: Jobs, record: Record) -> dict[str, object]:
    """Return the outcome of the request's webhook for the newest end. Raises: NotFound if the request named none."""
    job, head = record.job, record.head
    if "request" not in job.hooks:
        raise NotFound(f"the request of {job.id} names no webhook_url")
    view: dict[str, object] = {"object": "video.webhook", "video": job.id, "host": job.hooks["request"]}
    nothing: dict[str, object] = {"event": None, "tries": None, "reason": None, "at": None}
    if head.state.status not in ENDED:
        return view | {"state": "waiting"} | nothing
    data = _outcome(jobs, record)
    if data is None:
        return view | {"state": "pending"} | nothing | {"event": event_type(record)}
    return view | Delivery.model_validate_json(data).model_dump()


def _outcome(jobs: Jobs, record: Record) -> bytes | None:
    """Return the outcome that counts for the newest end; None: it is still to be delivered.

    A repair ends a video a second time and owes no second webhook: the outcome of the end before it counts.
    """
    job_id, end = record.job.id, record.head.end
    last = outcome_key(job_id, end, "request")
    with suppress(ObjectMissing):
        return jobs.store.get(last)
    hooks = map(parse_hook, jobs.store.list(hooks_prefix(job_id)))
    if any(hook is not None and hook.whose == "request" and hook.from_seq <= end for hook in hooks):
        return None
    past = [key for key in jobs.store.list(outcome_folder(job_id)) if key.endswith(".request.json") and key <= last]
    with suppress(ObjectMissing):  # deleted meanwhile
        return jobs.store.get(max(past)) if past else None
    return None
