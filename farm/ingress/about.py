"""What a form must know before it asks for a video: who asks, the limits, the models."""

from __future__ import annotations

import asyncio
from importlib.metadata import version
from typing import Any

from fastapi import APIRouter
from starlette.concurrency import run_in_threadpool

from farm.errors import Unavailable
from farm.ingress.dependencies import CallerDep, Dependencies, Deps, OwnerDep, is_operator
from farm.ingress.views import model_view
from farm.intake.images import MIN_SIDE_PX, formats
from farm.request import MAX_VARIANTS, VideoRequest

router = APIRouter(tags=["farm"])


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
