"""The store's small notes: markers in open/ and hooks/, and claims in idempotency/. One that is damaged says so."""

from __future__ import annotations

from typing import TypeVar

from pydantic import ValidationError

from farm.contract import JobId, Value
from farm.errors import Damaged
from farm.store import Store


class Mark(Value):
    """A marker: something is to be looked at again."""

    at: float  #: unix seconds
    claim: str | None = None  #: key of the Claim that an accepting is about to make


class Claim(Value):
    """What an Idempotency-Key stands for."""

    id: JobId
    created_ms: int
    fingerprint: str  #: sha256 of the request as it was sent


Note = TypeVar("Note", bound=Value)


def read_note(store: Store, key: str, kind: type[Note]) -> Note:
    """Raises: ObjectMissing; Damaged where it cannot be read."""
    try:
        return kind.model_validate_json(store.get(key))
    except ValidationError as err:
        raise Damaged(f"{key} cannot be read: {err.error_count()} faults", key=key) from err
