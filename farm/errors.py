"""Everything the farm raises on purpose: the errors that reach its clients (framefarm_client/errors.py), and two more.

FarmError
├── …                           what clients see
├── LeaseLost        409      another attempt owns the order: stop and write nothing
└── Stopped            -        the worker gave the order back, because the dispatcher asked for it
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from framefarm_client import errors as shared
from framefarm_client.errors import *  # noqa: F403 - everything that clients see

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


class LeaseLost(shared.FarmError):
    """Another attempt owns the order now. Stop and write nothing."""

    code, status = "lease_lost", 409


class Stopped(shared.FarmError):
    """Inside a worker: the order ended at a step, because the dispatcher asked for it."""

    code = "stopped"


def invalid_request(errors: Sequence[Any]) -> shared.InvalidRequest:
    """Build the error from the `errors()` of a Pydantic or FastAPI validation error. Each field counts once."""
    fields: dict[str, str] = {}
    for error in errors:
        name = ".".join(str(part) for part in error["loc"] if part not in {"query", "path", "header"})
        text = error["msg"].removeprefix("Value error, ")
        if not name:  # the message of a rule over several fields begins with the name of the field to change
            name, _, text = text.partition(": ") if ": " in text else ("body", "", text)
        ours = _TEXTS.get(error["type"])
        fields.setdefault(name, text if ours is None else ours.format_map(error.get("ctx", {})))
    return shared.InvalidRequest.naming(fields)
