"""What a user may ask for: the fields of POST /v1/videos, with their limits and defaults.

Each field's description is its text in the command line's --help and in /openapi.json.
"""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Sequence
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    JsonValue,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)

from farm.errors import InvalidRequest
from farm.receiver import MAX_URL_CHARS, check_secret, checked_url

_SIZE = re.compile(r"([0-9]{1,4})x([0-9]{1,4})")
_METADATA_BYTES = 16_384


def _from_json_text(value: object) -> object:
    """Forms and flags carry lists and objects as JSON text."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except (ValueError, RecursionError) as err:
        msg = f"this text is not JSON: {err}"
        raise ValueError(msg) from err


FromText = BeforeValidator(_from_json_text)
Preset = Literal[
    "default",
    "dance",
    "talking",
    "action",
    "subtle",
    "hands",
    "compat-default",
    "compat-dance",
    "compat-talking",
    "compat-action",
    "compat-subtle",
    "compat-hands",
]
#: what a preset may fill in
PRESET_FIELDS = {
    "num_inference_steps",
    "guidance_scale",
    "flow_exponent",
    "flow_shift",
    "cache",
    "cache_threshold",
}


class Part(BaseModel):
    """A member of one of the request's lists."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class TimedPrompt(Part):
    """What happens from a time on."""

    at_s: float = Field(ge=0, le=600, description="from this second of the video on")
    text: str = Field(min_length=1, max_length=4000, description="what happens then")


class Keyframe(Part):
    """A picture that the video passes through."""

    at_s: float = Field(ge=0, le=600, description="at this second of the video")
    image: str = Field(pattern=r"^keyframe_\d{1,3}$", description="name of the part that is the image: keyframe_0 …")


class LoraUse(Part):
    """A LoRA and how strongly it acts."""

    name: str = Field(min_length=1, max_length=200, description="in the farm's folder, or a hub name that was pulled")
    weight: float = Field(default=1.0, ge=-4, le=4, description="how strongly it acts")
    sha256: str | None = Field(
        default=None, pattern=r"^[0-9a-f]{64}$", description="which bytes it must be; none: those found, then kept"
    )


class VideoEdit(Part):
    """What may change while a video waits. A field that is left out stays as it is."""

    prompt: str | None = Field(default=None, min_length=1, max_length=4000, description="of the sections to come")
    priority: int | None = Field(default=None, ge=-10, le=10, description="higher goes first")
    name: str | None = Field(default=None, max_length=200, description="a name for people")

    def changes(self) -> dict[str, str | int]:
        """The fields that are set."""
        return self.model_dump(include=set(VideoEdit.model_fields), exclude_none=True)


class VideoRequest(BaseModel):
    """One video, as asked for. Frozen; an unknown field is an error. Images travel beside it, not in it."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    prompt: str = Field(min_length=1, max_length=4000, description="what happens in the video")
    negative_prompt: str = Field(
        default="", max_length=4000, description="what must not happen; acts only where true_cfg_scale is above 1"
    )
    model: str | None = Field(
        default=None, max_length=200, description="a name from /v1/models; none: the farm's default"
    )
    seconds: float = Field(default=5.0, ge=0.1, le=600, description="wished length; whole sections of 1.2 s are made")
    size: str | None = Field(
        default=None,
        description="WIDTHxHEIGHT in px, each 64 to 2048 and a multiple of 16; none: the bucket nearest to the image",
    )
    resolution: int | None = Field(
        default=None, ge=64, le=2048, description="size class of the buckets in px; none: the model's own"
    )
    seed: int | None = Field(default=None, ge=0, lt=2**63, description="of all noise; none: drawn, and reported")
    num_inference_steps: int = Field(default=25, ge=1, le=100, description="denoising steps of each section")
    guidance_scale: float = Field(default=10.0, ge=1, le=32, description="distilled guidance: how closely to follow")
    true_cfg_scale: float = Field(
        default=1.0, ge=1, le=32, description="real classifier-free guidance; above 1 doubles the work"
    )
    guidance_rescale: float = Field(default=0.0, ge=0, le=1, description="how far true CFG keeps the old contrast")
    flow_shift: float | None = Field(default=None, gt=0, le=100, description="of the noise levels; none: by the size")
    flow_exponent: float = Field(default=1.0, gt=0, le=10, description="of the noise levels")
    latent_window_size: int = Field(default=9, ge=1, le=33, description="latent frames of a section; 9 are 1.2 s")
    preset: Preset | None = Field(
        default=None, description="fills what the request leaves out; compat-…: with the fork's own TeaCache threshold"
    )
    cache: Literal["none", "teacache", "first_block", "magcache", "taylorseer"] = Field(
        default="none", description="skip steps that change little; none is exact"
    )
    cache_threshold: float | None = Field(
        default=None,
        ge=0,
        le=10,
        description="higher skips more and is worse; taylorseer: one step in so many runs; none: the cache's own",
    )
    attention: Literal["auto", "sdpa", "cudnn", "flash", "flash-3", "sage", "xformers"] = Field(
        default="auto",
        description="what computes attention; auto: the best exact one of the device that begins the video, which then "
        "keeps it; all but sdpa need a GPU, and most a package on the worker",
    )
    decode: Literal["framewise", "tiled", "whole"] = Field(
        default="framewise", description="how latents become frames; a video keeps its mode"
    )
    decode_tile_px: int | None = Field(
        default=None,
        ge=64,
        le=2048,
        multiple_of=32,
        description="side of a tile of decode=tiled, px; none: by the memory free on the worker that begins the video",
    )
    allow_mixed: bool = Field(default=False, description="let workers of unequal arithmetic share the video")
    crf: int = Field(default=16, ge=0, le=51, description="H.264 quality; 0 is lossless, higher is smaller")
    preserve_gb: float | None = Field(default=None, ge=0, le=1024, description="GPU memory left to others, GB")
    priority: int = Field(default=0, ge=-10, le=10, description="higher goes first")
    prompts: Annotated[tuple[TimedPrompt, ...], FromText] = Field(
        default=(), max_length=100, description="prompts from times on: a JSON list of {at_s, text}"
    )
    prompt_fade_sections: int = Field(
        default=0, ge=0, le=20, description="sections over which a timed prompt takes over from the one before"
    )
    start: Literal["grey", "noise"] = Field(
        default="grey", description="what an F1 video without a start image begins with"
    )
    loop: bool = Field(default=False, description="end with the start image (not for F1)")
    keyframes: Annotated[tuple[Keyframe, ...], FromText] = Field(
        default=(), max_length=100, description="images at times: a JSON list of {at_s, image: name of a part}"
    )
    loras: Annotated[tuple[LoraUse, ...], FromText] = Field(
        default=(), max_length=16, description="a JSON list of {name, weight}"
    )
    save_frames: Literal["none", "borders", "all"] = Field(
        default="none",
        description="keep frames as PNG: those at the sections' borders, or all; fetched as variant frames",
    )
    no_metadata: bool = Field(default=False, description="leave out of the mp4 how it was made")
    name: str = Field(default="", max_length=200, description="a name for people")
    webhook_url: SecretStr | None = Field(
        default=None,
        max_length=MAX_URL_CHARS,
        exclude=True,  # its path may be a secret: it is kept beside the request, and never shown
        description="gets a signed POST when the video ends: docs/how-to/webhooks.md",
    )
    webhook_secret: SecretStr | None = Field(
        default=None,
        max_length=200,
        exclude=True,
        description="signs what webhook_url gets: whsec_ and base64; none: the farm's own",
    )
    metadata: Annotated[dict[str, JsonValue], FromText] = Field(
        default={},
        description="a JSON object that is kept and given back, at most 16 KiB; deadline_s in it: when it is wanted",
    )

    @field_validator("size")
    @classmethod
    def _size(cls, value: str | None) -> str | None:
        if value is not None:
            sides_px(value)
        return value

    @field_validator("webhook_url")
    @classmethod
    def _webhook_url(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None:
            checked_url(value.get_secret_value(), allow_private=True)  # farm/intake/prepare.py knows the settings
        return value

    @field_validator("webhook_secret")
    @classmethod
    def _webhook_secret(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None:
            check_secret(value.get_secret_value())
        return value

    @field_validator("prompts")
    @classmethod
    def _in_time_order(cls, value: tuple[TimedPrompt, ...]) -> tuple[TimedPrompt, ...]:
        return tuple(sorted(value, key=lambda prompt: prompt.at_s))

    @field_validator("metadata")
    @classmethod
    def _small(cls, value: dict[str, JsonValue]) -> dict[str, JsonValue]:
        if len(json.dumps(value, ensure_ascii=False).encode()) > _METADATA_BYTES:  # a lone surrogate fails here too
            raise ValueError(f"more than {_METADATA_BYTES} bytes of JSON")
        return value

    @model_validator(mode="after")
    def _tile_needs_tiled(self) -> Self:
        if self.decode_tile_px is not None and self.decode != "tiled":
            raise ValueError(f"decode_tile_px: decode={self.decode} has no tiles; ask for tiled, or leave it out")
        return self

    @model_validator(mode="after")
    def _secret_needs_url(self) -> Self:
        if self.webhook_secret is not None and self.webhook_url is None:
            raise ValueError("webhook_secret: there is no webhook_url to sign for; set it as well, or leave this out")
        return self

    @model_validator(mode="after")
    def _threshold_needs_cache(self) -> Self:
        preset_decides = self.preset is not None and "cache" not in self.model_fields_set
        if self.cache_threshold is not None and self.cache == "none" and not preset_decides:
            raise ValueError("cache_threshold: there is no cache to take it; set cache as well, or leave it out")
        return self


def sides_px(size: str) -> tuple[int, int]:
    """(height, width) in px of a "WIDTHxHEIGHT" text. Raises: ValueError where it is none, or out of limits."""
    match = _SIZE.fullmatch(size)
    if not match:
        raise ValueError('need "WIDTHxHEIGHT", such as "640x608"')
    width, height = int(match[1]), int(match[2])
    if any(side % 16 or not 64 <= side <= 2048 for side in (width, height)):
        raise ValueError("each side must be 64 to 2048 px and a multiple of 16")
    return height, width


MOST = 16  #: videos of a batch


class Variants(Part):
    """How many videos, and their seeds."""

    n: int | None = Field(default=None, ge=1, le=MOST, description="so many videos that differ by their seed alone")
    seeds: Annotated[tuple[Annotated[int, Field(ge=0, lt=2**63)], ...] | None, FromText] = Field(
        default=None, min_length=1, max_length=MOST, description="one video for each of these: a JSON list"
    )

    @model_validator(mode="after")
    def _agree(self) -> Self:
        if self.seeds is not None and self.n not in {None, len(self.seeds)}:
            raise ValueError(f"n: it is not the number of seeds, {len(self.seeds)}; leave it out")
        if self.seeds is not None and len(set(self.seeds)) < len(self.seeds):
            raise ValueError("seeds: one is there twice; equal seeds make equal videos")
        return self

    @property
    def number(self) -> int:
        """How many videos."""
        return self.n or len(self.seeds or (None,))

    def drawn(self, seed: int | None) -> tuple[int, ...]:
        """The videos' seeds: those that were asked for, else from `seed` on, else drawn. Empty: one video, no batch."""
        if self.seeds is not None:
            return self.seeds
        if self.n in {None, 1}:
            return ()
        return tuple(secrets.randbelow(2**32) if seed is None else (seed + k) % 2**63 for k in range(self.n or 0))


def take_variants(fields: dict[str, Any]) -> Variants:
    """Take `n` and `seeds` out of a body's fields. Raises: InvalidRequest."""
    given = {name: fields.pop(name) for name in Variants.model_fields if name in fields}
    try:
        variants = Variants.model_validate(given)
    except ValidationError as err:
        raise invalid(err) from err
    if variants.seeds is not None and fields.get("seed") is not None:
        text = "there is a seed as well; send one of the two"
        raise InvalidRequest(f"seeds: {text}", fields={"seeds": text})
    return variants


_PATH_CHARS = 80  #: of a field's name in a message; clients may nest a thousand levels


def invalid(err: ValidationError) -> InvalidRequest:
    """Pydantic's findings as one InvalidRequest; its `fields` maps each field's path to what is wrong with it."""
    return _invalid(err.errors(include_url=False, include_context=False, include_input=False))


def _invalid(errors: Sequence[Any]) -> InvalidRequest:
    fields: dict[str, str] = {}
    for error in errors:
        where = [str(part) for part in error["loc"] if part not in {"query", "path", "header"}]
        text = error["msg"].removeprefix("Value error, ")
        path = ".".join(where)[:_PATH_CHARS]
        if not path:  # a rule over several fields begins with the name of the one to change
            path, _, text = text.partition(": ") if ": " in text else ("body", "", text)
        if error["type"] == "extra_forbidden":
            text = "there is no such field"
        elif error["type"] == "missing":
            text = "this field is required"
        fields.setdefault(path, text)
    return InvalidRequest("; ".join(f"{name}: {text}" for name, text in fields.items()), fields=fields)
