"""Everything the farm raises on purpose.

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
├── StoreError         503      the store does not answer, or cannot write an object
│   └── Damaged        409      an object is missing or has wrong bytes: asking again does not help
├── LeaseLost          409      another attempt owns the order: stop and write nothing
└── Stopped            -        the worker gave the order back, because the dispatcher asked for it
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Self

#: our words for Pydantic's error types that speak of Python; the braces name facts of the error
_TEXTS = {
    "extra_forbidden": "there is no such field",
    "missing": "this field is required",
    "tuple_type": "need a JSON list, such as [1, 2]",
    "too_short": "need a list of at least {min_length}; leave the field out for the default",
    "too_long": "need a list of at most {max_length}; it has {actual_length}",
    "dict_type": "need a JSON object",
    "model_type": "need a JSON object",
    "invalid-json-value": "this cannot be kept as JSON; a number may have too many digits",
    "string_type": "need a text",
    "string_unicode": "this text is not valid Unicode",
    "string_too_short": "need at least {min_length} characters",
    "string_too_long": "need at most {max_length} characters",
    "int_type": "need a whole number",
    "int_parsing": "need a whole number",
    "int_from_float": "need a whole number",
    "int_parsing_size": "the number has too many digits",
    "float_type": "need a number",
    "float_parsing": "need a number",
    "finite_number": "the number is not finite, or has too many digits",
    "bool_type": "need true or false",
    "bool_parsing": "need true or false",
    "literal_error": "need {expected}",
    "greater_than": "need more than {gt}",
    "greater_than_equal": "need at least {ge}",
    "less_than": "need less than {lt}",
    "less_than_equal": "need at most {le}",
}
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

    @classmethod
    def from_errors(cls, errors: Sequence[Any]) -> Self:
        """Build the error from the `errors()` of a Pydantic or FastAPI validation error. Each field counts once."""
        fields: dict[str, str] = {}
        for error in errors:
            name = ".".join(str(part) for part in error["loc"] if part not in {"query", "path", "header"})
            text = error["msg"].removeprefix("Value error, ")
            if not name:  # the message of a rule over several fields begins with the name of the field to change
                name, _, text = text.partition(": ") if ": " in text else ("body", "", text)
            ours = _TEXTS.get(error["type"])
            fields.setdefault(name, text if ours is None else ours.format_map(error.get("ctx", {})))
        return cls.naming(fields)


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


class LeaseLost(FarmError):
    """Another attempt owns the order now. Stop and write nothing."""

    code, status = "lease_lost", 409


class Stopped(FarmError):
    """Inside a worker: the order ended at a step, because the dispatcher asked for it."""

    code = "stopped"
