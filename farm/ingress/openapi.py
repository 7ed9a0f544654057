"""/openapi.json: FastAPI's document, completed with the request bodies and the errors that FastAPI cannot see.

FastAPI cannot see the bodies because a request for a video may be a multipart form, a urlencoded form or JSON.
"""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from farm.request import Move, Variants, VideoEdit, VideoRequest

_REFS = "#/components/schemas/{model}"
_FILES = {"input_reference": "the start image", "end_image": "the last picture (not for F1 models)"}
_FROM_SECTION = (
    "share the sections before this one with the other video; sections are numbered in the order in which they are "
    "made, so with an i2v model section 0 is the END"
)

_IMAGE_SIZE = 'only with dry_run=1: the size of the start image in px, such as "1200x800", in place of the image'

_PROBLEM = {
    "type": "object",
    "description": "an RFC 9457 problem that also carries OpenAI's error object",
    "required": ["type", "title", "status", "detail", "code", "errors", "error"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string", "description": "for people"},
        "code": {"type": "string", "description": "for programs; stable"},
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
_PROBLEMS = {
    401: "the API key is missing or wrong; without keys, the caller is not on the farm's own machine",
    403: "the API key does not belong to an operator (FARM_OPERATORS); or a browser's session asks for a change, and "
    "not from a page of this farm",
    404: "there is no such thing, or it belongs to another owner",
    409: "the video's state or an earlier use of the idempotency key forbids this, the content is not ready, or an "
    "object of the video is damaged",
    413: "the request has more bytes or pixels than the farm accepts",
    415: "an image is unreadable or too small",
    422: "the request is invalid; `errors` names each field",
    429: "too many unfinished videos (quota, overloaded) or too many requests (busy); see Retry-After",
    503: "the store or the dispatcher does not answer; nothing is lost, so ask again",
}
_CONTENT: dict[str, dict[str, Any]] = {
    "video/mp4": {},
    "image/png": {},
    "image/webp": {},
    "application/octet-stream": {},
    "application/zip": {},
}


_PICTURES: dict[str, dict[str, Any]] = {f"image/{name}": {} for name in ("jpeg", "png", "webp", "avif", "gif", "bmp")}


def _file(content: dict[str, dict[str, Any]]) -> dict[str, Any]:
    return {
        "200": {"description": "the whole file", "content": content},
        "206": {"description": "the requested range", "content": content},
        "304": {"description": "If-None-Match names the current file"},
        "416": {"description": "the range lies outside the file", "content": {"application/problem+json": {}}},
    }


_NOT_JSON: dict[str, dict[str, Any]] = {  #: path -> successful responses
    "/v1/videos/{video_id}/content": _file(_CONTENT),
    "/v1/files/{file_id}/content": _file(_PICTURES),
    "/v1/loras/{name}/preview": _file({"image/webp": {}}),
    "/v1/videos/{video_id}/export": {
        "200": {"description": "the whole video as an archive", "content": {"application/x-tar": {}}},
    },
    "/v1/events": {"200": {"description": "Server-Sent Events without an end", "content": {"text/event-stream": {}}}},
    "/v1/videos/{video_id}/events": {
        "200": {"description": "Server-Sent Events up to `end`", "content": {"text/event-stream": {}}},
        "204": {"description": "Last-Event-ID was the last event; do not reconnect"},
    },
}


def describe(app: FastAPI, request_type: type[VideoRequest]) -> None:
    """Let `app` describe the bodies and errors of its calls. request_type: the fields of a video, with their limits."""

    def openapi() -> dict[str, Any]:
        if not app.openapi_schema:
            schema = get_openapi(title=app.title, version=app.version, summary=app.summary, routes=app.routes)
            _add_bodies(schema, request_type)
            _add_problems(schema)
            app.openapi_schema = schema
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]  # FastAPI's documented way


def _add_bodies(schema: dict[str, Any], request_type: type[VideoRequest]) -> None:
    fields = request_type.model_json_schema(ref_template=_REFS)
    schema.setdefault("components", {}).setdefault("schemas", {}).update(fields.pop("$defs", {}))
    file = {name: {"type": "string", "format": "binary", "description": text} for name, text in _FILES.items()}
    ways = {"image_url": "a data: URL", "file_id": "the id of a file of POST /v1/files"}
    named = {
        "oneOf": [
            {"type": "object", "properties": {name: {"type": "string", "description": text}}, "required": [name]}
            for name, text in ways.items()
        ]
    }
    urls = {name: named | {"description": text} for name, text in _FILES.items()}
    source = {"video": {"type": "object", "properties": {"id": {"type": "string"}}, "required": ["id"]}}
    sent = {"video": {"type": "string", "format": "binary", "description": "an mp4, mov, webm or mkv file"}}
    variants = Variants.model_json_schema(ref_template=_REFS)["properties"]
    stand_in = {"image_size": {"type": "string", "description": _IMAGE_SIZE}}
    section = {"from_section": {"type": "integer", "minimum": 0, "default": 0, "description": _FROM_SECTION}}
    for path, form, body in (
        ("/v1/videos", file | variants | stand_in, urls | variants | stand_in),
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
    for path, method, sent_as_json in (
        ("/v1/videos/{video_id}", "patch", VideoEdit),
        ("/v1/videos/{video_id}/move", "post", Move),
    ):
        schema["paths"][path][method]["requestBody"] = {
            "required": True,
            "content": {"application/json": {"schema": sent_as_json.model_json_schema(ref_template=_REFS)}},
        }


def _add_problems(schema: dict[str, Any]) -> None:
    """Add the errors that each call under /v1 can answer, and the successful responses that are not JSON."""
    schema["components"]["schemas"]["Problem"] = _PROBLEM
    content = {"application/problem+json": {"schema": {"$ref": _REFS.format(model="Problem")}}}
    for path, calls in schema["paths"].items():
        if not path.startswith(("/v1/", "/login")):
            continue
        for method, call in calls.items():
            if path in _NOT_JSON:
                call["responses"] = {**_NOT_JSON[path]}
            for status in _statuses(path, method, call):
                call["responses"][str(status)] = {"description": _PROBLEMS[status], "content": content}


def _statuses(path: str, method: str, call: dict[str, Any]) -> list[int]:
    """Return the error statuses that a call can answer."""
    statuses = [401, 503] if method == "get" else [401, 403, 503]
    if path in {"/v1/session", "/login"}:
        return [*statuses, 409, 413, 422]
    if "{" in path or "parameters" in call:
        statuses += [404, 422]
    if path.startswith("/v1/videos"):
        statuses.append(409)
    if method != "get":
        statuses += [404, 409, 422]
    if "requestBody" in call or path.endswith("/import"):
        statuses += [413, 415, 429]
    if path.endswith("/retry"):
        statuses.append(429)
    return sorted(set(statuses))
