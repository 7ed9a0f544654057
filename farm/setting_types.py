"""Types of settings: each checks its value and says what it needs. Raises: ValueError."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Annotated, Any, get_args

from pydantic import AfterValidator, BeforeValidator, Field

from farm.contract import Stage

VRAM_CLASSES = ("v6", "v8", "v12", "v16", "v24", "v48", "v80", "v141")
_SHARE = 0.9  #: a card reports up to this much less than it is sold with: an L4 of 24 GB reports 22.5 GiB
_S3 = re.compile(r"s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/[A-Za-z0-9_-][A-Za-z0-9._-]*)*/?")
_ENDPOINT = re.compile(r"https?://[A-Za-z0-9.\[\]:_-]+/?")
_GPU = re.compile(r"\d+|(GPU|MIG)-[0-9a-f-]+")
_NODE = re.compile(r"[A-Za-z0-9]([A-Za-z0-9_.-]{0,38}[A-Za-z0-9])?")
_ADDRESS = re.compile(r"[A-Za-z0-9_.-]+:\d{1,5}|\[[0-9a-f:]+\]:\d{1,5}")
_SPAN = re.compile(r"(\d\d?):(\d\d)-(\d\d?):(\d\d)")
_PORTS = re.compile(r"(\d{1,5})-(\d{1,5})")
_DAY_MIN = 24 * 60
_RAY_DIR_CHARS = 48  #: Ray adds up to 58, and a socket's name has at most 107

Span = tuple[int, int]  #: minutes since midnight: from the first, up to but without the second


def parse_hours(text: str) -> tuple[Span, ...]:
    """Return the spans of the day that `text` names, or none for "always". A span may cross midnight.

    Raises: ValueError.
    """
    return tuple(_span(part.strip()) for part in text.split(",")) if text.strip() else ()


def parse_ports(text: str) -> range:
    """Return the ports from the first to the last of FIRST-LAST, or none for an empty text. Raises: ValueError."""
    if not text:
        return range(0)
    match = _PORTS.fullmatch(text)
    if not match or not 1024 <= int(match[1]) < int(match[2]) <= 65535:
        raise ValueError("need FIRST-LAST, both from 1024 to 65535: 20000-20031")
    return range(int(match[1]), int(match[2]) + 1)


def is_open(spans: tuple[Span, ...], *, hour: int, minute: int) -> bool:
    """Return whether the spans allow work at that time of the day."""
    now = hour * 60 + minute
    return not spans or any(begin <= now < end if begin < end else now >= begin or now < end for begin, end in spans)


def vram_class(gib: float) -> str | None:
    """Return the largest class that a device of `gib` GiB fills, or None for a smaller device."""
    fitting = [name for name in VRAM_CLASSES if gib >= _SHARE * int(name[1:])]
    return fitting[-1] if fitting else None


def _span(part: str) -> Span:
    match = _SPAN.fullmatch(part)
    if match:
        hours, minutes = (int(match[1]), int(match[3])), (int(match[2]), int(match[4]))
        begin, end = hours[0] * 60 + minutes[0], hours[1] * 60 + minutes[1]
        if max(minutes) < 60 and begin < _DAY_MIN and end <= _DAY_MIN and begin != end:
            return begin, end
    raise ValueError(f"{part!r} is not a span of time; need HH:MM-HH:MM with different ends")


def _gpus(text: str) -> str:
    gpus = [gpu.strip() for gpu in text.split(",")] if text else []
    if not all(_GPU.fullmatch(gpu) for gpu in gpus) or len(set(gpus)) < len(gpus):
        raise ValueError("need numbers or UUIDs as `nvidia-smi -L` shows them, each once, separated by commas")
    return text


def _hours(text: str) -> str:
    parse_hours(text)
    return text


def _ports(text: str) -> str:
    parse_ports(text.strip())
    return text.strip()


def _origins(text: str) -> str:
    origins = [part.strip() for part in text.split(",") if part.strip()]
    if wrong := next((origin for origin in origins if not _ENDPOINT.fullmatch(origin)), None):
        raise ValueError(f"{wrong!r} is no origin; need https://shop.example or http://localhost:3000, without a path")
    return ",".join(origin.rstrip("/") for origin in origins)


def one_of(*names: str) -> AfterValidator:
    """Return the check of a setting that takes one of a few words."""
    return _fitting(lambda text: text in names, f"need one of {', '.join(names)}")


def _fitting(fits: Callable[[str], object], need: str) -> AfterValidator:
    """Return the check of a setting whose text must fit."""

    def check(text: str) -> str:
        if not fits(text):
            raise ValueError(need)
        return text

    return AfterValidator(check)


def _is_storage(text: str) -> bool:
    return "://" not in text or text.startswith("file://") or _S3.fullmatch(text) is not None


def _are_stages(text: str) -> bool:
    return {stage.strip() for stage in text.split(",")} <= {*get_args(Stage), ""}


def _is_ray_folder(text: str) -> bool:
    return text.startswith("/") and text.isascii() and len(text) <= _RAY_DIR_CHARS


def _nothing(value: Any) -> Any:
    return None if value == "" else value


def _switch(value: Any) -> Any:
    return False if value == "" else value


Port = Annotated[int, Field(ge=0, le=65535)]
Positive = Annotated[float, Field(gt=0)]
Count = Annotated[int, Field(gt=0)]
Switch = Annotated[bool, BeforeValidator(_switch)]
EMPTY = BeforeValidator(_nothing)  #: an empty value leaves the setting unset
Storage = Annotated[str, _fitting(_is_storage, "need a folder or s3://bucket/prefix (letters, digits, '.', '_', '-')")]
Workers = Annotated[str, _fitting(lambda text: text == "auto" or text.isdigit(), "need 'auto' or a whole number")]
Gpus = Annotated[str, AfterValidator(_gpus)]
Stages = Annotated[str, _fitting(_are_stages, f"need some of {','.join(get_args(Stage))}")]
Hours = Annotated[str, AfterValidator(_hours)]
Ports = Annotated[str, AfterValidator(_ports)]
NodeName = Annotated[
    str,
    _fitting(
        lambda text: not text or _NODE.fullmatch(text),
        "need up to 40 letters, digits, '-', '_' and '.', with a letter or digit at both ends",
    ),
]
RayAddress = Annotated[str, _fitting(_ADDRESS.fullmatch, "need HOST:PORT")]
RayFolder = Annotated[
    str,
    _fitting(
        _is_ray_folder, f"need an absolute path of at most {_RAY_DIR_CHARS} ASCII characters: Ray has sockets there"
    ),
]
Origins = Annotated[str, AfterValidator(_origins)]
Endpoint = Annotated[str, _fitting(_ENDPOINT.fullmatch, "need http://host:port or https://host; keys belong in AWS_*")]
