"""/openapi.json: what FastAPI cannot see by itself, since POST /v1/videos takes three kinds of body."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from farm.request import VideoRequest

_REFS = "#/components/schemas/{model}"
_FILES = {"input_reference": "the start image", "end_image": "the last picture (inverted models only)"}


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
    bodies = {"multipart/form-data": file, "application/json": urls}
    schema["paths"]["/v1/videos"]["post"]["requestBody"] = {
        "required": True,
        "content": {
            kind: {"schema": fields | {"properties": fields["properties"] | images}} for kind, images in bodies.items()
        },
    }
    return schema
