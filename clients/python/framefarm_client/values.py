"""Plain data that a program names and sees: the fields of a request, how far a video is, why it failed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, TypedDict

Status: TypeAlias = Literal["queued", "in_progress", "paused", "completed", "failed", "cancelled"]
ENDED: frozenset[str] = frozenset({"completed", "failed", "cancelled"})


class TimedPrompt(TypedDict):
    """A prompt that applies from a time on."""

    at_s: float  #: when it begins, in seconds of the video
    text: str


class LoraWeight(TypedDict, total=False):
    """A LoRA of the farm and its weight, 1 by default."""

    name: str
    weight: float
    sha256: str


class VideoFields(TypedDict, total=False):
    """The fields of a request beside prompt and pictures; what is left out has the farm's default.

    docs/reference/request-fields.md tells each one's meaning, unit and limits.
    """

    negative_prompt: str
    model: str
    seconds: float
    size: str  #: "WIDTHxHEIGHT" in px
    resolution: int
    seed: int
    num_inference_steps: int
    guidance_scale: float
    true_cfg_scale: float
    guidance_rescale: float
    flow_shift: float
    flow_exponent: float
    latent_window_size: int
    preset: str
    cache: str
    cache_threshold: float
    attention: str
    decode: str
    decode_tile_px: int
    allow_mixed: bool
    crf: int
    preserve_gb: float
    priority: int
    prompts: Sequence[TimedPrompt]
    prompt_fade_sections: int
    start: str
    loop: bool
    loras: Sequence[LoraWeight]
    save_frames: Literal["none", "borders", "all"]
    no_metadata: bool
    name: str
    labels: Sequence[str]
    webhook_url: str
    webhook_secret: str
    metadata: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Problem:
    """Why a video failed."""

    code: str  #: stable, for programs
    message: str  #: for people


@dataclass(frozen=True, kw_only=True)
class Progress:
    """How far a video is."""

    status: Status
    percent: int  #: 0 to 100
    eta_s: float | None  #: seconds until the end, as the farm estimates; None: it cannot tell yet
    stage: str | None = None  #: encode, section, decode or finish; None: no worker makes it now
    sections_done: int = 0
    sections_total: int = 0
    step: int = 0  #: finished denoising steps of the section
    steps: int = 0
    waiting_for: str | None = None  #: the requirement that the video waits for while no worker makes it
