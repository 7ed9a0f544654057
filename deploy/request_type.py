"""The type that requests are checked against: VideoRequest with the engine's ranges and choices. Loads no torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field, create_model

from farm.contract import AUTO
from farm.request import VideoRequest
from framepack_engine.planning.limits import LIMITS, Limit
from framepack_engine.planning.presets import PRESETS


def _limited(limits: Mapping[str, Limit]) -> type[VideoRequest]:
    fields: dict[str, Any] = {}
    for name, limit in limits.items():
        field = VideoRequest.model_fields[name]
        kind: Any = Literal[limit.choices] if limit.choices else field.annotation
        if limit.choices and field.default is None:
            kind = kind | None
        bounds = {bound: value for bound, value in limit._asdict().items() if bound != "choices" and value is not None}
        fields[name] = kind, Field(default=field.default, description=field.description, **bounds)
    return create_model("VideoRequest", __base__=VideoRequest, __doc__=VideoRequest.__doc__, **fields)


REQUEST_TYPE = _limited(
    {
        **LIMITS,
        "attention": Limit(choices=(AUTO, *LIMITS["attention"].choices)),
        "preset": Limit(choices=tuple(PRESETS)),
    }
)
