"""Small objects with a text of their own: markers, and claims of an Idempotency-Key."""

from __future__ import annotations

from typing import TypeVar

from pydantic import ValidationError

from farm.contract import JobId, Value
from farm.errors import Damaged
from farm.ledger.layout import OPEN_MARKERS, marker_key, parse_marker
from farm.store import Store


class Mark(Value):
    """The text of a marker in open/ or hooks/."""

    at: float  #: unix seconds
    claim: str | None = None  #: key of the Claim that the accepting request is about to make


class Claim(Value):
    """What an Idempotency-Key stands for."""

    id: JobId
    created_ms: int
    fingerprint: str  #: sha256 of the request as it was sent


Note = TypeVar("Note", bound=Value)


def read_note(store: Store, key: str, kind: type[Note]) -> Note:
    """Read an object of this kind. Raises: ObjectMissing; Damaged if it cannot be parsed."""
    try:
        return kind.model_validate_json(store.get(key))
    except ValidationError as err:
        raise Damaged(f"{key} cannot be read: {err.error_count()} faults", key=key) from err


def second_marker(store: Store, job_id: JobId) -> str | None:
    """Return the key of a marker that stands in for the video's own, if there is one."""
    found = store.list(OPEN_MARKERS, after=f"{marker_key(job_id)}.", limit=1)
    return found[0] if found and parse_marker(found[0]) == job_id else None
