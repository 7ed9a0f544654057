"""The type that requests are checked against: VideoRequest with the engine's ranges and choices. Loads no torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field, create_model, model_validator

from farm.contract import AUTO
from farm.request import VideoRequest
from framepack_engine.errors import InvalidSpec
from framepack_engine.planning.cache_choice import check_cache
from framepack_engine.planning.limits import LIMITS, Limit
from framepack_engine.planning.presets import PRESETS
from framepack_engine.planning.tiles import check_tile


def fault_of(err: InvalidSpec) -> tuple[str, str]:
    """Return the specification's bad field, and what is wrong with it."""
    field, (head, _, text) = str(err.facts["field"]), str(err).partition(": ")
    is_named = head == field or (head.startswith(f"{field}=") and " " not in head.removesuffix(" px"))
    return field, text if is_named else str(err)


def _check_pairs(request: VideoRequest) -> VideoRequest:
    """Check early the engine's rules that need no plan, before images are decoded or a farm is started for them."""
    if request.preset is None:  # a preset may still choose the cache
        try:
            check_cache(request.cache, request.cache_threshold)
            check_tile(request.decode, request.decode_tile_px)
        except InvalidSpec as err:
            raise ValueError(": ".join(fault_of(err))) from err
    return request


def _limited(limits: Mapping[str, Limit]) -> type[VideoRequest]:
    fields: dict[str, Any] = {}
    for name, limit in limits.items():
        field = VideoRequest.model_fields[name]
        kind: Any = Literal[limit.choices] if limit.choices else field.annotation
        if limit.choices and field.default is None:
            kind = kind | None
        bounds = {bound: value for bound, value in limit._asdict().items() if bound != "choices" and value is not None}
        fields[name] = kind, Field(default=field.default, description=field.description, **bounds)
    pairs: Any = model_validator(mode="after")(_check_pairs)
    return create_model(
        "VideoRequest", __base__=VideoRequest, __doc__=VideoRequest.__doc__, __validators__={"pairs": pairs}, **fields
    )


REQUEST_TYPE = _limited(
    {
        **LIMITS,
        "attention": Limit(choices=(AUTO, *LIMITS["attention"].choices)),
        "preset": Limit(choices=tuple(PRESETS)),
    }
)
