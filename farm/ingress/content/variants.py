"""The variants of /content: which file a client asks for, and of which section or time."""

from __future__ import annotations

import math
import re
from typing import Annotated, Literal, NamedTuple, get_args

from fastapi import Depends, Query
from starlette.requests import Request

from farm.errors import InvalidRequest
from farm.jobs import Record
from framefarm_client.names import suffix_of

Made = Literal[
    "video", "thumbnail", "spritesheet", "preview", "partial", "latents", "frames", "frame", "poster", "live"
]
ASSETS = (*get_args(Made), "start", "end")  #: besides keyframe_0 …
_KEYFRAME = r"keyframe_[0-9]{1,3}"
_SCHEMA = {"anyOf": [{"enum": list(ASSETS)}, {"pattern": f"^{_KEYFRAME}$"}]}


class Asked(NamedTuple):
    """A checked query of /content."""

    variant: str  #: one of ASSETS, or keyframe_N
    section: int | None  #: of a preview; None: the newest
    at_s: float | None  #: of a frame, seconds; None: the last one
    request: Request

    @property
    def is_sent_picture(self) -> bool:
        """Whether the file is a picture that the request brought."""
        return self.variant in {"start", "end"} or re.fullmatch(_KEYFRAME, self.variant) is not None


async def _asked(
    request: Request,
    *,
    variant: Annotated[
        str, Query(description="which file; keyframe_0 … are pictures of the request", json_schema_extra=_SCHEMA)
    ] = "video",
    section: Annotated[int | None, Query(ge=0, description="of variant=preview; default: the newest")] = None,
    at_s: Annotated[str | None, Query(description='of variant=frame: seconds, or "last"')] = None,
    v: Annotated[str | None, Query(description="the file's ETag: the answer may then be kept for a year")] = None,  # noqa: ARG001 - serving.py reads it
) -> Asked:
    """Raises: InvalidRequest."""
    if variant not in ASSETS and not re.fullmatch(_KEYFRAME, variant):
        raise InvalidRequest.of("variant", f"need one of {', '.join(ASSETS)}, or keyframe_0 …")
    if section is not None and variant != "preview":
        raise InvalidRequest.of("section", f"variant={variant} takes no section; only a preview does")
    if (at_s is None) == (variant == "frame"):
        raise InvalidRequest.of("at_s", 'variant=frame needs seconds, or "last"; other variants do not take it')
    return Asked(variant, section, None if at_s in {None, "last"} else _seconds(at_s or ""), request)


AskedDep = Annotated[Asked, Depends(_asked)]


def filename(record: Record, variant: str) -> str:
    """Return the name under which a browser saves the file."""
    middle = "" if variant == "video" else f".{variant}"
    return f"{record.job.id}{middle}.{suffix_of(variant)}"


def sections_done(record: Record) -> str:
    """Say how far the video is."""
    return f"{len(record.head.state.sections)} of {record.job.plan.sections} sections are done"


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 <= seconds < math.inf:
        raise InvalidRequest.of("at_s", 'need seconds from 0 on, such as 3.2, or "last"')
    return seconds
