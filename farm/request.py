"""The request that a user may make: the fields of POST /v1/videos with their defaults and help texts.

The command line's --help and /openapi.json show each field's description. Ranges stand here only where they are the
farm's own. The engine's ranges and choices reach the farm as `Planner.request_type`.
"""

from __future__ import annotations

import json
import math
import re
import secrets
from collections.abc import Mapping
from decimal import Decimal
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import (
    AfterValidator,
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

from farm.errors import InvalidRequest, invalid_request
from farm.receiver import MAX_URL_CHARS, check_secret, checked_url

MAX_SIDE_PX = 2048  #: of a video
MAX_VARIANTS = 16  #: videos of a batch
_MIN_SIDE_PX = 64
MAX_LABELS = 16
STARRED = "starred"  #: the label by which lists filter
_SEEDS = 2**63
_SIZE = re.compile(r"([0-9]{1,4})x([0-9]{1,4})")
_METADATA_BYTES = 16_384
Sent = TypeVar("Sent", bound=BaseModel)
_MAX_DIGITS = 640  #: Python lets every setting of its limit read an int of this length


def read_json(text: str | bytes) -> Any:
    """Read JSON. A number with too many digits for `int` becomes a Decimal, so that its field's check names it.

    Raises: ValueError, RecursionError.
    """
    return json.loads(text, parse_int=lambda digits: Decimal(digits) if len(digits) > _MAX_DIGITS else int(digits))


def validated(kind: type[Sent], fields: Mapping[str, Any]) -> Sent:
    """Check what a client sent. Raises: InvalidRequest naming each bad field."""
    try:
        return kind.model_validate(fields)
    except ValidationError as err:
        raise invalid_request(err.errors()) from err


def _from_json_text(value: object) -> object:
    """Read a list or an object that a form or a flag carries as JSON text."""
    if not isinstance(value, str):
        return value
    try:
        return read_json(value)
    except (ValueError, RecursionError) as err:
        raise ValueError(f"this text is not JSON: {err}") from err


FromText = BeforeValidator(_from_json_text)


class UserInput(BaseModel):
    """Something that a user sends. Frozen; unknown fields, NaN and infinity are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class TimedPrompt(UserInput):
    """A prompt that applies from a time on."""

    at_s: float = Field(ge=0, le=600, description="when it begins, in seconds of the video")
    text: str = Field(min_length=1, max_length=4000, description="what happens from then on")


class Keyframe(UserInput):
    """A picture that the video passes through."""

    at_s: float = Field(ge=0, le=600, description="when it is shown, in seconds of the video")
    image: str = Field(
        pattern=r"^keyframe_\d{1,3}$", description="the name of the form part with the image: keyframe_0 …"
    )


class LoraUse(UserInput):
    """A LoRA and its weight."""

    name: str = Field(
        min_length=1, max_length=200, description="a file in the farm's LoRA folder, or a hub name that was pulled"
    )
    weight: float = Field(default=1.0, ge=-4, le=4, description="how strongly it acts")
    sha256: str | None = Field(
        default=None,
        pattern=r"^[0-9a-f]{64}$",
        description="the digest that the file must have; default: the farm records the digest it finds",
    )


_LABELS = f"up to {MAX_LABELS} texts to find it by: a JSON list, or a,b,c; lists can filter by {STARRED}"


def _listed(value: object) -> object:
    """Read labels that a form or a flag carries as text: a JSON list, or names with commas between them."""
    if isinstance(value, str) and not value.lstrip().startswith("["):
        return [name.strip() for name in value.split(",")] if value.strip() else []
    return _from_json_text(value)


def _each_once(labels: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(labels))


Label = Annotated[str, Field(min_length=1, max_length=100)]
Labels = Annotated[tuple[Label, ...], BeforeValidator(_listed), AfterValidator(_each_once)]


class VideoEdit(UserInput):
    """A change to a video. Fields that are left out keep their values."""

    prompt: str | None = Field(
        default=None, min_length=1, max_length=4000, description="the prompt of the sections that are still to be made"
    )
    priority: int | None = Field(default=None, ge=-10, le=10, description="videos with a higher priority go first")
    name: str | None = Field(default=None, max_length=200, description="a name for people to recognize it by")
    labels: Labels | None = Field(default=None, max_length=MAX_LABELS, description=_LABELS)

    def changes(self) -> dict[str, Any]:
        """Return the fields that are set."""
        return self.model_dump(include=set(VideoEdit.model_fields), exclude_none=True)

    def renders(self) -> bool:
        """Whether it changes how or when the video is made: more than its name and labels."""
        return bool(self.changes().keys() - {"name", "labels"})


class Move(UserInput):
    """A place in the queue, among the owner's own videos that wait: one of the three fields."""

    before: str | None = Field(default=None, max_length=200, description="the video that it goes right before")
    after: str | None = Field(default=None, max_length=200, description="the video that it goes right after")
    to: Literal["first", "last"] | None = Field(default=None, description="either end of the queue")

    @model_validator(mode="after")
    def _one(self) -> Self:
        given = list(self.model_dump(exclude_none=True))
        if not given:
            raise ValueError("before: name a video, or send after or to instead")
        if len(given) > 1:
            raise ValueError(f"{given[1]}: leave it out, because {given[0]} already names a place")
        return self

    @property
    def beside(self) -> str | None:
        """The other video that it names."""
        return self.before or self.after


class VideoRequest(UserInput):
    """A request for one video. The images travel beside it."""

    prompt: str = Field(
        max_length=4000,
        json_schema_extra={"minLength": 1},  # farm/intake/texts.py asks for it: scripts of other programs may send none
        description="what happens in the video; <lora:NAME:WEIGHT> and [2s-4s: TEXT] in it fill loras and prompts",
    )
    negative_prompt: str = Field(
        default="", max_length=4000, description="what must not happen; has an effect only if true_cfg_scale is above 1"
    )
    model: str | None = Field(default=None, max_length=200, description="a model of /v1/models; default: the farm's")
    seconds: float = Field(default=5.0, ge=0.1, le=600, description="the length; rounded to whole sections of 1.2 s")
    size: str | None = Field(
        default=None,
        description="WIDTHxHEIGHT in px, each 64 to 2048 and a multiple of 16; default: the model's size that is "
        "closest in shape to the image",
    )
    resolution: int | None = Field(
        default=None,
        ge=64,
        le=MAX_SIDE_PX,
        description="the size class: 640 is about 640x640 px; default: the model's own",
    )
    seed: int | None = Field(
        default=None, ge=0, lt=_SEEDS, description="the seed of all noise; default: drawn at random and reported"
    )
    num_inference_steps: int = Field(default=25, description="denoising steps in each section")
    guidance_scale: float = Field(default=10.0, description="distilled guidance: how closely to follow the prompt")
    true_cfg_scale: float = Field(default=1.0, description="true classifier-free guidance; above 1 it doubles the work")
    guidance_rescale: float = Field(default=0.0, description="how far to restore the contrast that true CFG changes")
    flow_shift: float | None = Field(
        default=None, description="higher values spend more steps at high noise; default: derived from the size"
    )
    flow_exponent: float = Field(default=1.0, description="bends the curve of the noise levels; 1 leaves it unchanged")
    latent_window_size: int = Field(default=9, description="latent frames in a section; 9 make 1.2 s")
    preset: str | None = Field(
        default=None,
        description="named values for the fields that the request leaves out; compat-… use the fork's TeaCache "
        "threshold",
    )
    cache: str = Field(default="none", description="skip steps that change little; only none is exact")
    cache_threshold: float | None = Field(
        default=None,
        description="higher values skip more and cost quality; for taylorseer, one step in this many is computed; "
        "default: the cache's own",
    )
    attention: str = Field(
        default="auto",
        description="the attention kernel; auto takes the best exact one of the device that starts the video, and the "
        "video keeps it; all but sdpa need a GPU, and most need a package on the worker",
    )
    decode: str = Field(default="framewise", description="how latents become frames; a video keeps its mode")
    decode_tile_px: int | None = Field(
        default=None,
        description="the side of a tile in px, for decode=tiled; default: chosen by the free memory of the worker that "
        "starts the video",
    )
    allow_mixed: bool = Field(default=False, description="let workers that compute slightly differently share it")
    crf: int = Field(default=16, description="H.264 quality: 0 is lossless, higher values give smaller files")
    preserve_gb: float | None = Field(
        default=None, ge=0, le=1024, description="GPU memory to leave to other programs, in GB; default: the worker's"
    )
    priority: int = Field(default=0, ge=-10, le=10, description="videos with a higher priority go first")
    prompts: Annotated[tuple[TimedPrompt, ...], FromText] = Field(
        default=(), max_length=100, description="prompts that begin later: a JSON list of {at_s, text}"
    )
    prompt_fade_sections: int = Field(
        default=0, description="the number of sections over which a timed prompt replaces the one before"
    )
    start: str = Field(default="grey", description="the first frame of an F1 video without a start image")
    loop: bool = Field(default=False, description="end with the start image (not for F1 models)")
    keyframes: Annotated[tuple[Keyframe, ...], FromText] = Field(
        default=(),
        max_length=100,
        description="images to pass through: a JSON list of {at_s, image: name of a form part} (not for F1 models)",
    )
    loras: Annotated[tuple[LoraUse, ...], FromText] = Field(
        default=(), max_length=16, description="a JSON list of {name, weight}"
    )
    save_frames: Literal["none", "borders", "all"] = Field(
        default="none",
        description="keep frames as PNG files: those where two sections meet, or all; fetch them as variant frames",
    )
    no_metadata: bool = Field(default=False, description="do not record in the mp4 how it was made")
    name: str = Field(default="", max_length=200, description="a name for people to recognize it by")
    labels: Labels = Field(default=(), max_length=MAX_LABELS, description=_LABELS)
    webhook_url: SecretStr | None = Field(
        default=None,
        max_length=MAX_URL_CHARS,
        exclude=True,  # its path may be a secret: the farm stores it beside the request and never shows it
        description="the farm sends a signed POST to this URL when the video ends",
    )
    webhook_secret: SecretStr | None = Field(
        default=None,
        max_length=200,
        exclude=True,
        description="the secret that signs the webhook: whsec_ and base64; default: the farm's own",
    )
    metadata: Annotated[dict[str, JsonValue], FromText] = Field(
        default={},
        description="a JSON object of at most 16 KiB that the farm stores and returns; set deadline_s in it to the "
        "number of seconds within which you need the video",
    )

    @field_validator("seed", mode="before")
    @classmethod
    def _not_minus_one(cls, value: object) -> object:
        if isinstance(value, int | str) and value in {-1, "-1"}:
            raise ValueError("-1 is not a seed; leave it out for a random seed")
        return value

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
            checked_url(value.get_secret_value(), allow_private=True)  # the settings decide in farm/intake/prepare.py
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
    def _secret_needs_url(self) -> Self:
        if self.webhook_secret is not None and self.webhook_url is None:
            raise ValueError("webhook_secret: there is no webhook_url; set one, or leave the secret out")
        return self


def sides_px(size: str) -> tuple[int, int]:
    """Return (height, width) in px of a "WIDTHxHEIGHT" text. Raises: ValueError."""
    match = _SIZE.fullmatch(size)
    if not match:
        raise ValueError('need "WIDTHxHEIGHT", such as "640x608"')
    width, height = int(match[1]), int(match[2])
    if not _MIN_SIDE_PX <= min(width, height) <= max(width, height) <= MAX_SIDE_PX:
        raise ValueError(f"each side must be {_MIN_SIDE_PX} to {MAX_SIDE_PX} px")
    return height, width


def deadline_s(metadata: Mapping[str, object]) -> float | None:
    """Return the seconds in which the video is needed, or None. Raises: ValueError unless they are above 0."""
    wished = metadata.get("deadline_s")
    if wished is None:
        return None
    try:
        seconds = float(wished) if isinstance(wished, str | int | float) and not isinstance(wished, bool) else math.nan
    except OverflowError:  # an integer of 400 digits
        seconds = math.inf
    if not 0 < seconds < math.inf:
        raise ValueError("need a number of seconds above 0, such as 600")
    return seconds


class Variants(UserInput):
    """How many videos to make of one request, and their seeds."""

    n: int | None = Field(
        default=None, ge=1, le=MAX_VARIANTS, description="make this many videos that differ only in their seed"
    )
    seeds: Annotated[tuple[Annotated[int, Field(ge=0, lt=_SEEDS)], ...] | None, FromText] = Field(
        default=None, min_length=1, max_length=MAX_VARIANTS, description="make one video for each seed of a JSON list"
    )

    @model_validator(mode="after")
    def _agree(self) -> Self:
        if self.seeds is not None and self.n not in {None, len(self.seeds)}:
            raise ValueError(f"n: it differs from the number of seeds, {len(self.seeds)}; leave it out")
        if self.seeds is not None and len(set(self.seeds)) < len(self.seeds):
            raise ValueError("seeds: one seed appears twice; equal seeds make equal videos")
        return self

    @property
    def number(self) -> int:
        """How many videos."""
        return self.n or len(self.seeds or (None,))

    def drawn(self, seed: int | None) -> tuple[int, ...]:
        """Return the videos' seeds: the given ones, or consecutive ones from `seed` on, or random ones.

        Empty for a single video, which is no batch.
        """
        if self.seeds is not None:
            return self.seeds
        if self.n in {None, 1}:
            return ()
        return tuple(secrets.randbelow(2**32) if seed is None else (seed + k) % _SEEDS for k in range(self.n or 0))


def take_variants(fields: dict[str, Any]) -> Variants:
    """Take `n` and `seeds` out of a body's fields. Raises: InvalidRequest."""
    variants = validated(Variants, {name: fields.pop(name) for name in Variants.model_fields if name in fields})
    if variants.seeds is not None and fields.get("seed") is not None:
        raise InvalidRequest.of("seeds", "the request has a seed as well; send only one of them")
    return variants
