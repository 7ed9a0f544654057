"""The store's small notes: markers in open/ and hooks/, and claims in idempotency/. One that is damaged says so."""

from __future__ import annotations

import hashlib
import re
from typing import Literal, NamedTuple, TypeVar

from pydantic import ValidationError

from farm.contract import Job, JobId, Value, is_id
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


_MARKER = re.compile(r"open/(video_[0-9a-f]{32})(\.[0-9a-f]{32})?")
_LAST_MS = 9_999_999_999_999  #: index keys count down from here, so that the newest sorts first


def marked(key: str) -> JobId | None:
    """The video of a marker in open/, first or second (Jobs._unmark); None where it is none."""
    found = _MARKER.fullmatch(key)
    return JobId(found[1]) if found else None


def second_marker(store: Store, job_id: JobId) -> str | None:
    """One that stands for the video's own, where there is any."""
    found = store.list("open/", after=f"open/{job_id}.", limit=1)
    return found[0] if found and marked(found[0]) == job_id else None


def hook_marker(job_id: JobId, seq: int, whose: str) -> str:
    """Key of the marker that owes the end at or after ledger entry `seq` to the receiver `whose`."""
    return f"hooks/{job_id}.{seq:08}.{whose}"


def index_folder(owner: str) -> str:
    """Prefix of an owner's index."""
    return f"owners/{owner}/"


def created_ms_of(index_key: str) -> int:
    """When the video of an index key was asked for, unix milliseconds."""
    return _LAST_MS - int(index_key.rpartition("/")[2].partition("_")[0])


def _claim_key(idempotency_key: str, owner: str) -> str:
    return f"idempotency/{owner}/{hashlib.sha256(idempotency_key.encode()).hexdigest()}"


def index_key(job: Job) -> str:
    """Where the index names the video: newer ones sort first."""
    return f"{index_folder(job.owner)}{_LAST_MS - job.created_ms:013}_{job.id}"


def log_folder(job: JobId) -> str:
    """Prefix of a video's ledger."""
    return f"jobs/{job}/log/"


def entry_key(job: JobId, seq: int) -> str:
    """Where entry `seq` of a video's ledger lies."""
    return f"{log_folder(job)}{seq:08}.json"


def batch_key(owner: str, batch_id: str) -> str:
    """Where a batch is written down."""
    return f"batches/{owner}/{batch_id}.json"


Whose = Literal["request", "farm"]


class Owed(NamedTuple):
    """A marker, read."""

    key: str
    job: JobId
    from_seq: int  #: the end is this ledger entry or a later one
    whose: Whose


def parsed(key: str) -> Owed | None:
    """A marker's key, read; None where it is none."""
    job, _, rest = key.removeprefix("hooks/").partition(".")
    seq, _, whose = rest.partition(".")
    if not is_id(job) or not seq.isdecimal() or whose not in {"request", "farm"}:
        return None
    return Owed(key, JobId(job), int(seq), "farm" if whose == "farm" else "request")


def outcome_key(job: JobId, seq: int, whose: Whose) -> str:
    """Where it is kept how telling the end `seq` went."""
    return f"jobs/{job}/hooks/{seq:08}.{whose}.json"
