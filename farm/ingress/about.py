"""The facts that a form needs before it asks for a video: who asks, the limits, the models."""

from __future__ import annotations

import asyncio
from functools import partial
from importlib.metadata import version
from typing import Annotated, Any

from anyio import to_thread
from fastapi import APIRouter, Query, Request, Response
from starlette.concurrency import run_in_threadpool

from farm.errors import Unavailable
from farm.ingress.content import lora_preview
from farm.ingress.dependencies import CallerDep, Dependencies, Deps, OwnerDep, is_operator
from farm.ingress.posts import counted
from farm.ingress.views import built_in_preset_view, inspection_view, lora_view, model_view, preset_view
from farm.intake.body import SMALL_BYTES, read_body, read_file
from farm.intake.images import MIN_SIDE_PX, formats
from farm.intake.inspect_file import Inspection, inspect_file
from farm.intake.own_pictures import with_own_pictures
from farm.intake.own_presets import SentPreset, delete_preset, read_presets, save_preset
from farm.request import MAX_VARIANTS, VideoRequest

router = APIRouter(tags=["farm"])
_FIELDS = SentPreset.model_json_schema(ref_template="#/components/schemas/{model}")
_FIELDS.pop("$defs")  # openapi.py brings them along with a request's fields
_PRESET: dict[str, Any] = {"requestBody": {"required": True, "content": {"application/json": {"schema": _FIELDS}}}}
_FILE: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "properties": {"file": {"type": "string", "format": "binary", "description": "the file"}},
                    "required": ["file"],
                }
            }
        },
    }
}


@router.get("/v1/farm")
async def get_farm(deps: Deps, caller: CallerDep) -> dict[str, Any]:
    """Tell what a form must know: who asks, the default model and whether it can be rendered now, the limits."""
    settings, model = deps.settings, deps.default_model
    render, opened = await asyncio.gather(_render(deps, model), _open_videos(deps, caller.owner))
    return {
        "object": "farm",
        "version": version("framepack-farm"),
        "me": {
            "owner": caller.owner,
            "operator": is_operator(deps, caller.owner),
            "signed_in_by": caller.signed_in_by,
        },
        "model": model,
        "render": render,
        "limits": {
            "upload_mb": settings.max_upload_mb,
            "pixels": settings.max_pixels,
            "image_side_px": MIN_SIDE_PX,
            "image_formats": formats(),
            "open_videos": {"now": opened, "most": settings.max_open_videos},
            "variants": MAX_VARIANTS,
            "keep_days": settings.keep_days,
            "seconds": _range(deps, "seconds"),
            "window": _range(deps, "latent_window_size"),
        },
        "prompting": deps.planner.prompting(model).model_dump(mode="json"),
    }


@router.get("/v1/models")
async def list_models(deps: Deps, _owner: OwnerDep) -> dict[str, Any]:
    """List the models that a request may name."""
    cards = deps.planner.models().values()
    weights = await run_in_threadpool(lambda: [deps.planner.weights(card.name) for card in cards])
    data = [model_view(card, here, default=deps.default_model) for card, here in zip(cards, weights, strict=True)]
    return {"object": "list", "data": data}


@router.get("/v1/presets")
async def list_presets(deps: Deps, owner: OwnerDep) -> dict[str, Any]:
    """List the built-in presets with what they fill in and a sample prompt, then your own."""
    own = await run_in_threadpool(read_presets, deps.jobs.store, owner)
    data = [built_in_preset_view(card) for card in deps.planner.presets()]
    data += [preset_view(name, own) for name in sorted(own.presets)]
    return {"object": "list", "start": own.start, "data": data}


@router.put("/v1/presets/{name}", openapi_extra=_PRESET)
async def put_preset(name: str, request: Request, deps: Deps, owner: OwnerDep) -> dict[str, Any]:
    """Save fields of a request as a preset, in place of an earlier one. `start`: a form begins with this preset."""
    body = await read_body(request, max_bytes=SMALL_BYTES, setting="the most for a preset")
    save = partial(save_preset, deps.jobs.store, owner, name, body.fields, deps.tools)
    return preset_view(name, await to_thread.run_sync(save, limiter=deps.writing))


@router.delete("/v1/presets/{name}")
async def remove_preset(name: str, deps: Deps, owner: OwnerDep) -> dict[str, Any]:
    """Forget one of your presets."""
    delete = partial(delete_preset, deps.jobs.store, owner, name, deps.tools)
    await to_thread.run_sync(delete, limiter=deps.writing)
    return {"object": "preset.deleted", "name": name, "deleted": True}


@router.get("/v1/loras")
async def list_loras(deps: Deps, _owner: OwnerDep) -> dict[str, Any]:
    """List the LoRAs in the folder of the ingress's machine, with the facts in their files."""
    cards = await run_in_threadpool(deps.planner.loras)
    return {"object": "list", "data": [lora_view(card) for card in cards]}


@router.head("/v1/loras/{name:path}/preview", include_in_schema=False)
@router.get("/v1/loras/{name:path}/preview")
async def get_lora_preview(
    name: str,
    request: Request,
    deps: Deps,
    _owner: OwnerDep,
    v: Annotated[str | None, Query(description="the ETag: the answer may then be kept for a year")] = None,  # noqa: ARG001 - serving.py reads it
) -> Response:
    """Return the picture that lies beside a LoRA."""
    return await to_thread.run_sync(lora_preview, name, deps.tools, request, limiter=deps.drawing)


@router.post("/v1/inspect", openapi_extra=_FILE)
async def inspect(request: Request, deps: Deps, owner: OwnerDep) -> dict[str, Any]:
    """Read the settings of a file: a farm's mp4, FramePack-Studio's PNG, JSON or queue, eichi's PNG. Render nothing.

    Its pictures become files of yours.
    """
    sent = await read_file(request, max_bytes=deps.settings.max_upload_mb << 20)
    with counted(deps):
        found = await to_thread.run_sync(_inspected, sent.data, deps, owner, limiter=deps.decoding)
        return await to_thread.run_sync(_kept, found, deps, owner, limiter=deps.writing)


def _inspected(data: bytes, deps: Dependencies, owner: str) -> Inspection:
    found = inspect_file(data, deps.tools)
    return with_own_pictures(found, deps.jobs, deps.tools, owner=owner) if found.video else found


def _kept(found: Inspection, deps: Dependencies, owner: str) -> dict[str, Any]:
    pictures = {picture.data: picture for one in found.found for picture in one.images.values()}
    ids = {data: deps.files.keep(data, picture.note, owner=owner).id for data, picture in pictures.items()}
    return inspection_view(found, ids)


async def _render(deps: Dependencies, model: str) -> dict[str, Any]:
    """Tell whether a worker could make a video of the default model now, in the words of a video's `waiting_for`."""
    try:
        lacking = await deps.door.waiting_for(VideoRequest(prompt="any", model=model))
    except Unavailable as err:
        return {"can": None, "waiting_for": str(err)}
    return {"can": lacking is None, "waiting_for": lacking}


async def _open_videos(deps: Dependencies, owner: str) -> int | None:
    try:
        return (await deps.door.load(owner)).of_owner
    except Unavailable:
        return None


def _range(deps: Dependencies, field: str) -> dict[str, Any]:
    """Return the least, the greatest and the default value of a request's field."""
    schema = deps.planner.request_type.model_json_schema()["properties"][field]
    return {"min": schema["minimum"], "max": schema["maximum"], "default": schema["default"]}
