"""Everything the farm raises on purpose.

FarmError
├── ConfigError        exit 2   the operator must change a setting
├── InvalidRequest     422      the caller must change the request; `fields` names each one
├── UnsupportedImage   415      the caller must send another image
├── TooLarge           413      the caller must send less
├── Unauthorized       401      no key, or a wrong one
├── Forbidden          403      the key is known, and may not do this
├── NotFound           404      no such video (or another owner's)
├── Conflict           409      the video's state forbids it
├── NotReady           409      ask again later
├── Quota              429      this owner has too many open videos
├── Overloaded         429      the farm has too many open videos
│   └── Busy           429      too many requests for videos at this moment: ask again in seconds
├── Unavailable        503      store or dispatcher does not answer
├── StoreError         503      the store does not answer, or an object cannot be written
│   └── Damaged        503      an object is missing, or is not what the ledger says: asking again does not help
├── LeaseLost          409      another attempt owns the order: stop, write nothing
└── Stopped            -        inside a worker: the order was given back, as the dispatcher asked
"""

from __future__ import annotations

from typing import Self


class FarmError(Exception):
    """One message for people, `facts` for logs, `code` for programs; picklable, so it crosses Ray."""

    code, status = "internal", 500

    def __init__(self, message: str, /, **facts: object) -> None:
        """`message` says what was found, what was wanted, what to do."""
        super().__init__(message)
        self.facts = facts


class ConfigError(FarmError):
    """A setting is missing, unknown or impossible."""

    code = "config"


class InvalidRequest(FarmError):
    """The request is invalid; `facts["fields"]` maps the name of each bad field to what is wrong with it."""

    code, status = "invalid_request", 422

    @classmethod
    def of(cls, field: str, text: str) -> Self:
        """Build the error for one bad field."""
        return cls(f"{field}: {text}", fields={field: text})


class UnsupportedImage(FarmError):
    """An image cannot be decoded, is truncated, or has a side under 32 px."""

    code, status = "unsupported_image", 415


class TooLarge(FarmError):
    """More bytes or more pixels than the farm's settings allow; seen before decoding."""

    code, status = "too_large", 413


class Unauthorized(FarmError):
    """No API key, or one the farm does not know."""

    code, status = "unauthorized", 401


class Forbidden(FarmError):
    """The API key is known to the farm, and is not one of those that may do this."""

    code, status = "forbidden", 403


class NotFound(FarmError):
    """No such video here; another owner's video looks the same."""

    code, status = "not_found", 404


class Conflict(FarmError):
    """The video's state, or an idempotency key used before, forbids it."""

    code, status = "conflict", 409


class NotReady(FarmError):
    """What was asked for is not made yet."""

    code, status = "not_ready", 409


class Quota(FarmError):
    """The owner has as many open videos as one may have; `facts["retry_after_s"]`."""

    code, status = "quota", 429


class Overloaded(FarmError):
    """The farm has as many open videos as it takes; `facts["retry_after_s"]`."""

    code, status = "overloaded", 429


class Busy(Overloaded):
    """As many requests for videos as can be answered soon are worked on now; `facts["retry_after_s"]`."""

    code = "busy"


class Unavailable(FarmError):
    """The store or the dispatcher does not answer; nothing was lost."""

    code, status = "unavailable", 503


class StoreError(FarmError):
    """The store does not answer, or an object cannot be written."""

    code, status = "unavailable", 503


class Damaged(StoreError):
    """An object is missing, or its bytes are not those that were written."""


class LeaseLost(FarmError):
    """Another attempt owns the order now: stop, write nothing."""

    code, status = "lease_lost", 409


class Stopped(FarmError):
    """Inside a worker: the order was dropped at a step because the dispatcher said so."""

    code = "stopped"
