"""/openapi.json: what FastAPI cannot see by itself, since requests for videos take three kinds of body."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from farm.request import Variants, VideoEdit, VideoRequest

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


_REFS = "#/components/schemas/{model}"
_FILES = {"input_reference": "the start image", "end_image": "the last picture (inverted models only)"}
_FROM_SECTION = "the sections before this one are shared, in generation order: with an i2v model 0 is the END"


def describe(app: FastAPI) -> None:
    """Let `app` describe the fields and files of a video request."""

    def openapi() -> dict[str, Any]:
        if not app.openapi_schema:
            schema = get_openapi(title=app.title, version=app.version, summary=app.summary, routes=app.routes)
            app.openapi_schema = _with_request(schema)
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]  # FastAPI's documented way


def _with_request(schema: dict[str, Any]) -> dict[str, Any]:
    fields = VideoRequest.model_json_schema(ref_template=_REFS)
    schema.setdefault("components", {}).setdefault("schemas", {}).update(fields.pop("$defs", {}))
    file = {name: {"type": "string", "format": "binary", "description": text} for name, text in _FILES.items()}
    url = {"type": "object", "properties": {"image_url": {"type": "string"}}, "required": ["image_url"]}
    urls = {name: url | {"description": f"{text}, as a data: URL"} for name, text in _FILES.items()}
    source = {"video": {"type": "object", "properties": {"id": {"type": "string"}}, "required": ["id"]}}
    sent = {"video": {"type": "string", "format": "binary", "description": "an mp4, mov, webm or mkv file"}}
    variants = Variants.model_json_schema(ref_template=_REFS)["properties"]
    section = {"from_section": {"type": "integer", "minimum": 0, "default": 0, "description": _FROM_SECTION}}
    for path, form, body in (
        ("/v1/videos", file | variants, urls | variants),
        ("/v1/videos/extensions", sent, source),
        ("/v1/videos/{video_id}/remix", file | section, urls | section),
        ("/v1/videos/edits", file | section | source, urls | section | source),
    ):
        schema["paths"][path]["post"]["requestBody"] = {
            "required": True,
            "content": {
                kind: {"schema": fields | {"properties": fields["properties"] | more}}
                for kind, more in (("multipart/form-data", form), ("application/json", body))
            },
        }
    schema["paths"]["/v1/videos/{video_id}"]["patch"]["requestBody"] = {
        "required": True,
        "content": {"application/json": {"schema": VideoEdit.model_json_schema(ref_template=_REFS)}},
    }
    add_answers(schema)
    return schema
