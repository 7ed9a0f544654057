"""/openapi.json: what FastAPI cannot see by itself, since requests for videos take three kinds of body."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from farm.answers import add_answers
from farm.batches import Variants
from farm.request import VideoEdit, VideoRequest

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
