"""/openapi.json: every answer that a call can give. FastAPI sees only the good ones, and all of them as JSON."""

from __future__ import annotations

from typing import Any

_PROBLEM = "#/components/schemas/Problem"
_TEXT = {
    401: "no API key, or a wrong one; without keys: not this machine",
    403: "a key of this farm, and none of its operators' (FARM_OPERATORS)",
    404: "no such thing, or another owner's",
    409: "its state, or an idempotency key used before, forbids it; or it is not ready",
    413: "more bytes or pixels than the farm takes",
    415: "an image that cannot be read or is too small",
    422: "the request must be changed: `errors` names each field",
    429: "too many open videos (quota, overloaded), or too many requests; Retry-After says when to come back",
    503: "the store or the dispatcher does not answer; nothing is lost, ask again",
}
_WITH_BODY = (413, 415, 429)
_SCHEMA = {
    "type": "object",
    "description": "RFC 9457, with OpenAI's error object beside it",
    "required": ["type", "title", "status", "detail", "code", "errors", "error"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string", "description": "for people"},
        "code": {"type": "string", "description": "for programs: stable"},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {"field": {"type": "string"}, "message": {"type": "string"}},
            },
        },
        "error": {
            "type": "object",
            "required": ["message", "type", "code", "param"],
            "properties": {
                "message": {"type": "string"},
                "type": {"type": "string"},
                "code": {"type": "string"},
                "param": {"type": ["string", "null"]},
            },
        },
    },
}
_CONTENT: dict[str, dict[str, Any]] = {
    "video/mp4": {},
    "image/png": {},
    "application/octet-stream": {},
    "application/zip": {},
}
_OTHERS: dict[str, dict[str, Any]] = {  #: path -> good answers that are no JSON
    "/v1/videos/{video_id}/content": {
        "200": {"description": "the whole", "content": _CONTENT},
        "206": {"description": "the range that was asked for", "content": _CONTENT},
        "304": {"description": "If-None-Match names what there is"},
        "416": {"description": "a range that is not there", "content": {"application/problem+json": {}}},
    },
    "/v1/videos/{video_id}/export": {
        "200": {"description": "the video with everything", "content": {"application/x-tar": {}}},
    },
    "/v1/videos/{video_id}/events": {
        "200": {"description": "Server-Sent Events, until `end`", "content": {"text/event-stream": {}}},
        "204": {"description": "Last-Event-ID was the end: do not come back"},
    },
}


def add_answers(schema: dict[str, Any]) -> None:
    """Put into an OpenAPI document what every call under /v1 can answer."""
    schema.setdefault("components", {}).setdefault("schemas", {})["Problem"] = _SCHEMA
    for path, calls in schema["paths"].items():
        for method, call in calls.items():
            if not path.startswith("/v1/"):
                continue
            if path in _OTHERS:
                call["responses"] = {**_OTHERS[path]}
            call["responses"] |= {str(status): _problem(status) for status in _statuses(path, method, call)}


def _statuses(path: str, method: str, call: dict[str, Any]) -> list[int]:
    statuses = [401, 503]
    if "{" in path or "parameters" in call:
        statuses += [404, 422]
    if path.endswith("/content"):
        statuses.append(409)
    if method != "get":
        statuses += [404, 409, 422]
    if "requestBody" in call or path.endswith("/import"):
        statuses += _WITH_BODY
    if path.startswith("/v1/workers/"):
        statuses.append(403)
    if path.endswith("/retry"):
        statuses.append(429)
    return sorted(set(statuses))


def _problem(status: int) -> dict[str, Any]:
    return {"description": _TEXT[status], "content": {"application/problem+json": {"schema": {"$ref": _PROBLEM}}}}
