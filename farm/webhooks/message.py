"""What a receiver is told of a video that ended: Standard Webhooks' message and its outcome."""

from __future__ import annotations

import json
from typing import Literal

from farm.contract import Value
from farm.errors import NotFound
from farm.jobs import Jobs, Record
from farm.ledger.layout import outcome_key
from farm.ledger.states import ENDED
from farm.store import ObjectMissing


class Delivery(Value):
    """How telling one end to one receiver went."""

    state: Literal["delivered", "gave_up"]
    event: str
    tries: int  #: by the process that ended it; earlier ones forgot theirs
    reason: str  #: the receiver's last answer
    at: float  #: unix seconds


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
