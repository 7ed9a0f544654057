"""Small texts in the store: markers, claims of an Idempotency-Key, presets, and what is said of a file."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar
from uuid import uuid4

from pydantic import Field, JsonValue, ValidationError

from farm.contract import JobId, Value
from farm.errors import Damaged
from farm.ledger.layout import OPEN_MARKERS, hook_key, marker_key, parse_marker
from farm.store import Store


class Mark(Value):
    """The text of a marker in open/ or hooks/."""

    at: float  #: unix seconds
    claim: str | None = None  #: key of the Claim that the accepting request is about to make


class Claim(Value):
    """The request that an Idempotency-Key stands for."""

    id: JobId
    created_ms: int
    fingerprint: str  #: sha256 of the request as it was sent


class OwnPresets(Value):
    """All presets of one owner."""

    presets: dict[str, dict[str, JsonValue]] = Field(default_factory=dict)  #: name -> fields
    start: str | None = None  #: the preset that a form begins with


class FileNote(Value):
    """The farm's note about a file that an owner sent."""

    filename: str
    purpose: str
    media_type: str
    bytes: int
    width: int  #: px, upright
    height: int


class ScriptEvent(Value):
    """A call of a gradio script: a video to wait for (the id is the video's), or an answer that is there."""

    id: str
    door: str  #: the path of the door: "" or "/NAME"
    call: str
    data: tuple[JsonValue, ...] | None = None
    error: str | None = None


class ScriptSections(Value):
    """The keyframes that a gradio script set for its session."""

    numbers: tuple[int, ...]  #: sections in the order in which they are made: 0 is the video's end
    files: tuple[str, ...]  #: ids of uploaded files


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


def mark(store: Store, job_id: JobId, *, at: float, claim: str | None = None) -> None:
    """Put the video's marker, so that a restart or a sweep finds the video; an existing marker stays as it is."""
    store.put_if_absent(marker_key(job_id), _text(at, claim))


def mark_second(store: Store, job_id: JobId, *, at: float) -> str:
    """Put a marker that stands in for the video's own; return its key."""
    key = marker_key(job_id, uuid4().hex)
    store.put_if_absent(key, _text(at))
    return key


def mark_hooks(store: Store, job_id: JobId, seq: int, receivers: Iterable[str], *, at: float) -> None:
    """Note for each receiver that the end at entry `seq` or later is to be delivered (farm/webhooks/sender.py)."""
    for whose in receivers:
        store.put_if_absent(hook_key(job_id, seq, whose), _text(at))


def _text(at: float, claim: str | None = None) -> bytes:
    return Mark(at=at, claim=claim).model_dump_json(exclude_none=True).encode()
