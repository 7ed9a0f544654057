"""A farm's error answers, and the exceptions that its clients raise.

FarmError
├── ConfigError        exit 2   the operator must change a setting
├── InvalidRequest     422      the caller must change the request; `fields` names each bad field
├── UnsupportedImage   415      the caller must send another image
├── TooLarge           413      the caller must send less
├── Unauthorized       401      the API key is missing or wrong
├── Forbidden          403      the API key is not an operator's
├── NotFound           404      there is no such video, or it belongs to another owner
├── Conflict           409      the video's state forbids this
├── NotReady           409      the content is not made yet: ask again later
├── Quota              429      this owner has too many unfinished videos
├── Overloaded         429      the farm has too many unfinished videos
│   └── Busy           429      the ingress handles too many requests for videos: ask again in seconds
├── Unavailable        503      the store or the dispatcher does not answer
└── StoreError         503      the store does not answer, or cannot write an object
    └── Damaged        409      an object is missing or has wrong bytes: asking again does not help
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Self

_NAME_CHARS = 80  #: of a field in a message; a client may nest objects a thousand levels deep


class FarmError(Exception):
    """Carries a message for people, `facts` for logs and a `code` for programs. Pickles, so that it can cross Ray."""

    code, status = "internal", 500

    def __init__(self, message: str, /, **facts: object) -> None:
        """message: what is wrong, what the farm needs, and what to do."""
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
        return cls.naming({field: text})

    @classmethod
    def naming(cls, fields: Mapping[str, str]) -> Self:
        """Build the error for bad fields: name -> what is wrong. Clients choose some names, so long ones are cut."""
        fields = {name[:_NAME_CHARS]: text for name, text in fields.items()}
        return cls("; ".join(f"{name}: {text}" for name, text in fields.items()), fields=fields)


class UnsupportedImage(FarmError):
    """An image cannot be decoded, is truncated, or has a side under 32 px."""

    code, status = "unsupported_image", 415


class TooLarge(FarmError):
    """The request has more bytes or pixels than the settings allow; the farm notices before it decodes them."""

    code, status = "too_large", 413


class Unauthorized(FarmError):
    """The API key is missing or unknown."""

    code, status = "unauthorized", 401


class Forbidden(FarmError):
    """The farm knows the API key, but this key may not do this."""

    code, status = "forbidden", 403


class NotFound(FarmError):
    """There is no such video; the answer is the same for another owner's video."""

    code, status = "not_found", 404


class Conflict(FarmError):
    """The video's state or an earlier use of the idempotency key forbids this."""

    code, status = "conflict", 409


class NotReady(FarmError):
    """The content is not made yet."""

    code, status = "not_ready", 409


class Quota(FarmError):
    """The owner has too many unfinished videos; `facts["retry_after_s"]` says when to ask again."""

    code, status = "quota", 429


class Overloaded(FarmError):
    """The farm has too many unfinished videos; `facts["retry_after_s"]` says when to ask again."""

    code, status = "overloaded", 429


class Busy(Overloaded):
    """The ingress handles as many requests for videos as it can; `facts["retry_after_s"]` says when to ask again."""

    code = "busy"


class Unavailable(FarmError):
    """The store or the dispatcher does not answer. Nothing is lost."""

    code, status = "unavailable", 503


class StoreError(FarmError):
    """The store does not answer, or cannot write an object."""

    code, status = "unavailable", 503


class Damaged(StoreError):
    """An object is missing, or its bytes have changed since they were written. The message names it."""

    code, status = "damaged", 409


class VideoFailed(FarmError):
    """A video that a program waited for has failed, or was cancelled; `facts["video"]` is the video."""

    code = "video_failed"


def rest_s(refusal: FarmError) -> float:
    """Return how many seconds the farm wants no such request; 10 if it does not say."""
    said = refusal.facts.get("retry_after_s")
    return float(said) if isinstance(said, float | int) else 10.0


#: code -> error, of those that a farm answers
BY_CODE: dict[str, type[FarmError]] = {
    error.code: error
    for error in (
        *(InvalidRequest, UnsupportedImage, TooLarge, Unauthorized, Forbidden),
        *(NotFound, Conflict, NotReady, Quota, Overloaded, Busy, Unavailable, Damaged),
    )
}
