"""Errors as HTTP responses: RFC 9457 problems that also carry OpenAI's error object."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from http import HTTPStatus

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from farm.errors import Damaged, FarmError, StoreError, invalid_request
from farm.ledger.layout import VIDEOS

log = logging.getLogger(__name__)

_ASK = "the operator can run `framefarm fsck`, which says what to do"
_CURE = "the operator can run `framefarm fsck --repair`, which has the farm make again what can be made again"
_CODES = {401: "unauthorized", 404: "not_found", 405: "method_not_allowed", 413: "too_large", 422: "invalid_request"}
_TYPES = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}


def install_problems(app: FastAPI) -> None:
    """Let `app` answer every error with a problem. Log unexpected errors, and keep their texts from clients."""
    app.add_exception_handler(FarmError, _farm_error)
    app.add_exception_handler(RequestValidationError, _query_error)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(Exception, _our_fault)


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
    """Build an application/problem+json response.

    fields: what is wrong with each field. param: the field in OpenAI's object; default: the first of `fields`.
    more: further members of the problem.
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
    # ASCII: a quoted client's text may hold half a surrogate pair, which UTF-8 cannot encode
    return Response(json.dumps(body), status, headers, media_type="application/problem+json")


async def _farm_error(_request: Request, err: Exception) -> Response:
    if not isinstance(err, FarmError):
        raise err
    if err.status >= 500 or isinstance(err, StoreError):
        log.warning("answer: %s", err, extra={"code": err.code})
    retry_after_s = err.facts.get("retry_after_s", 1)
    headers = {"Retry-After": str(retry_after_s)} if err.status in {429, 503} else None
    fields, param = err.facts.get("fields"), err.facts.get("param")
    is_of_video = str(err.facts.get("key", VIDEOS)).startswith(VIDEOS)
    cure = f"; {_CURE if is_of_video else _ASK}" if isinstance(err, Damaged) else ""
    return problem(
        err.status,
        err.code,
        f"{err}{cure}",
        fields=fields if isinstance(fields, dict) else None,
        param=param if isinstance(param, str) else None,
        headers=headers,
    )


async def _query_error(request: Request, err: Exception) -> Response:
    if not isinstance(err, RequestValidationError):
        raise err
    return await _farm_error(request, invalid_request(err.errors()))


async def _http_error(_request: Request, err: Exception) -> Response:
    """Answer Starlette's own errors: an unknown path, a wrong method, a broken form."""
    if not isinstance(err, HTTPException):
        raise err
    code = _CODES.get(err.status_code, "invalid_request" if err.status_code < 500 else "internal")
    return problem(err.status_code, code, err.detail, headers=err.headers)


async def _our_fault(_request: Request, err: Exception) -> Response:
    log.error("answer", extra={"code": "internal", "error": type(err).__name__})  # the server logs the trace
    return problem(500, "internal", "an internal error occurred; the farm has logged it")
