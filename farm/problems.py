"""How errors leave by HTTP: RFC 9457 problems that also carry OpenAI's error object. The one mapping of the farm."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from farm.errors import FarmError, InvalidRequest

log = logging.getLogger(__name__)

_PATH_CHARS = 80  #: of a field's name in a message; clients may nest a thousand levels
_CODES = {401: "unauthorized", 404: "not_found", 405: "method_not_allowed", 413: "too_large", 422: "invalid_request"}
_TYPES = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}


def install_problems(app: FastAPI) -> None:
    """Let `app` answer every error as a problem; what we did not foresee is logged, and its text kept from clients."""
    app.add_exception_handler(FarmError, _farm_error)
    app.add_exception_handler(RequestValidationError, _query_error)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(Exception, _our_fault)


def invalid(err: ValidationError) -> InvalidRequest:
    """Pydantic's findings as one InvalidRequest; its `fields` maps each field's path to what is wrong with it."""
    return _invalid(err.errors(include_url=False, include_context=False, include_input=False))


def problem(
    status: int,
    code: str,
    detail: str,
    *,
    fields: Mapping[str, str] | None = None,
    param: str | None = None,
    headers: Mapping[str, str] | None = None,
    more: Mapping[str, object] | None = None,
) -> Response:
    """An application/problem+json answer. `fields`: what is wrong, by field; `param`: OpenAI's one field.

    `more`: members of this problem alone.
    """
    fields = fields or {}
    kind = _TYPES.get(status, "invalid_request_error" if status < 500 else "server_error")
    body = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "code": code,
        "errors": [{"field": name, "message": text} for name, text in fields.items()],
        "error": {"message": detail, "type": kind, "code": code, "param": param or next(iter(fields), None)},
        **(more or {}),
    }
    # ASCII: what a client sent and we quote may hold half a surrogate pair, which UTF-8 cannot carry
    return Response(json.dumps(body), status, headers, media_type="application/problem+json")


async def _farm_error(_request: Request, err: Exception) -> Response:
    if not isinstance(err, FarmError):
        raise err
    if err.status >= 500:
        log.warning("action=answer code=%s message=%s", err.code, err)
    retry_after_s = err.facts.get("retry_after_s", 1)
    headers = {"Retry-After": str(retry_after_s)} if err.status in {429, 503} else None
    fields, param = err.facts.get("fields"), err.facts.get("param")
    return problem(
        err.status,
        err.code,
        str(err),
        fields=fields if isinstance(fields, dict) else None,
        param=param if isinstance(param, str) else None,
        headers=headers,
    )


async def _query_error(request: Request, err: Exception) -> Response:
    if not isinstance(err, RequestValidationError):
        raise err
    return await _farm_error(request, _invalid(err.errors()))


async def _http_error(_request: Request, err: Exception) -> Response:
    """Starlette's own: no such path, a method that a path does not have, a broken form."""
    if not isinstance(err, HTTPException):
        raise err
    code = _CODES.get(err.status_code, "invalid_request" if err.status_code < 500 else "internal")
    return problem(err.status_code, code, err.detail, headers=err.headers)


async def _our_fault(_request: Request, err: Exception) -> Response:
    log.error("action=answer code=internal error=%s", type(err).__name__)  # the server logs the trace
    return problem(500, "internal", "something went wrong here; it was logged")


def _invalid(errors: Sequence[Any]) -> InvalidRequest:
    fields: dict[str, str] = {}
    for error in errors:
        where = [str(part) for part in error["loc"] if part not in {"query", "path", "header"}]
        text = error["msg"].removeprefix("Value error, ")
        path = ".".join(where)[:_PATH_CHARS]
        if not path:  # a rule over several fields begins with the name of the one to change
            path, _, text = text.partition(": ") if ": " in text else ("body", "", text)
        if error["type"] == "extra_forbidden":
            text = "there is no such field"
        elif error["type"] == "missing":
            text = "this field is required"
        fields.setdefault(path, text)
    return InvalidRequest("; ".join(f"{name}: {text}" for name, text in fields.items()), fields=fields)
