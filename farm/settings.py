"""The farm's settings: FARM_* variables and command line flags, read once in deploy/, frozen, passed down."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Self, get_args, get_type_hints

from platformdirs import user_cache_path, user_data_path

from farm.contract import ATTENTIONS, AUTO, Stage
from farm.errors import ConfigError
from farm.keys import parse_keys, parse_operators
from farm.logs import FORMATS, LEVELS
from farm.receiver import check_secret, checked_url

_SPAN = re.compile(r"(\d\d?):(\d\d)-(\d\d?):(\d\d)")
_DAY_MIN = 24 * 60
Span = tuple[int, int]  #: minutes since midnight: from the first, up to but without the second


def parse_hours(text: str) -> tuple[Span, ...]:
    """The spans that `text` names; none: always. A span whose end is before its begin goes over midnight.

    Raises: ConfigError.
    """
    return tuple(_span(part.strip(), text) for part in text.split(",")) if text.strip() else ()


def is_open(spans: tuple[Span, ...], *, hour: int, minute: int) -> bool:
    """Whether work is allowed at that time of the day."""
    now = hour * 60 + minute
    return not spans or any(begin <= now < end if begin < end else now >= begin or now < end for begin, end in spans)


def _span(part: str, text: str) -> Span:
    match = _SPAN.fullmatch(part)
    if match:
        hours, minutes = (int(match[1]), int(match[3])), (int(match[2]), int(match[4]))
        begin, end = hours[0] * 60 + minutes[0], hours[1] * 60 + minutes[1]
        if max(minutes) < 60 and begin < _DAY_MIN and end <= _DAY_MIN and begin != end:
            return begin, end
    msg = f"FARM_HOURS={text!r}: {part!r} is no span of time; need HH:MM-HH:MM with an end that differs from the begin"
    raise ConfigError(msg)


_S3 = re.compile(r"s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/[A-Za-z0-9_-][A-Za-z0-9._-]*)*/?")
_BOOLEANS = {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False, "": False}
_ENDPOINT = re.compile(r"https?://[A-Za-z0-9.\[\]:_-]+/?")

_GPU = re.compile(r"\d+|(GPU|MIG)-[0-9a-f-]+")
#: as `framepack_engine.models.precision` names them; a test compares
PRECISIONS = ("bf16", "fp8", "fp8-dynamic", "int8", "int4")
_NODE = re.compile(r"[A-Za-z0-9]([A-Za-z0-9_.-]{0,38}[A-Za-z0-9])?")
_ADDRESS = re.compile(r"[A-Za-z0-9_.-]+:\d{1,5}|\[[0-9a-f:]+\]:\d{1,5}")

#: what may differ from machine to machine; a worker takes it from the environment of its machine's Ray process
NODE_SETTINGS = (
    *("storage", "s3_endpoint", "cache", "lora_dir", "cpu_threads", "text_encoder_device"),
    *("stages", "hours", "device_gb", "preserve_gb", "vram_class", "node", "precision", "compile"),
    "attention",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class FarmSettings:
    """Built in deploy/ only; never global, never changed. Each field is FARM_<NAME>: see deploy/farm.example.env."""

    storage: str = str(user_data_path("framepack-farm", appauthor=False) / "storage")  #: a folder or s3://…
    s3_endpoint: str | None = None  #: URL of an S3 server other than AWS
    cache: str = str(user_cache_path("framepack-farm", appauthor=False))  #: built-in models are made here
    lora_dir: str = str(user_data_path("framepack-farm", appauthor=False) / "loras")  #: LoRAs, by name
    url: str | None = None  #: the farm that the command line talks to; none: one on this machine
    api_keys: str = field(default="", repr=False)  #: name:sha256hex,… of those who may ask; none: this machine alone
    operators: str = ""  #: names of those API keys that may pause, resume and drain workers; none: all of them
    api_key: str | None = field(default=None, repr=False)  #: sent by the command line to FARM_URL
    host: str = "127.0.0.1"  #: address to listen on
    port: int = 8000  #: port to listen on; 0: any free one
    workers: str = "auto"  #: auto: one a GPU, else one on the CPU; or a number
    model: str | None = None  #: model of requests that name none
    models: str = ""  #: the farm's own models, beside the built-in names: NAME=i2v:PATH or NAME=f1:PATH, by commas
    cpu_threads: int = 0  #: threads of a CPU worker; 0: the machine's cores shared evenly
    text_encoder_device: str | None = None  #: "cpu": the text encoders stay off the GPU; none: the worker's device
    device_gb: float | None = None  #: memory of each GPU that memory plans count with, GiB; none: all of it
    preserve_gb: float = 0.0  #: memory of each GPU that is left to others, GiB; a video's own preserve_gb wins
    precision: str = "bf16"  #: in which this machine's workers hold the transformer: bf16, fp8, fp8-dynamic, int8, int4
    compile: bool = False  #: this machine's workers compile the transformer's blocks
    attention: str = AUTO  #: what computes attention where a request leaves it open; auto: by this machine's device
    max_upload_mb: int = 32  #: bytes of one request
    max_open_videos: int | None = None  #: of one owner that have not ended; none: no limit
    max_queued: int = 10_000  #: videos of all that have not ended; one more is answered 429
    keep_days: float | None = None  #: days after which an ended video is erased; none: kept for ever
    max_pixels: int = 64_000_000  #: pixels of one image, seen before decoding
    max_import_mb: int = 4096  #: bytes of an archive that is imported
    webhook_url: str | None = field(default=None, repr=False)  #: is told of every video's end, beside a request's own
    webhook_secret: str | None = field(default=None, repr=False)  #: signs for it, and where a request has no secret
    webhook_allow_private: bool = False  #: webhooks may go to this machine and its network
    gpus: str = ""  #: this machine's GPUs that may work, as nvidia-smi numbers them: 0,2; none: all
    stages: str = ""  #: what this machine's workers do: encode,section,decode,finish; none: all
    hours: str = ""  #: when this machine's workers work, local time: 22:00-07:00; none: always
    vram_class: str | None = None  #: class of this machine's GPU memory (farm/settings.py); none: as measured
    node: str = ""  #: this machine's name in the farm; none: its host name
    node_ip: str | None = None  #: address at which the farm's machines reach this one; none: this machine alone
    ray_port: int = 0  #: port at which other machines join; 0: any free one
    ray: str | None = None  #: HOST:PORT of a Ray cluster to run in; none: one of the farm's own
    autoscale: int = 0  #: workers up to which that cluster's nodes come with the videos that wait; 0: nodes do not come
    idle_s: float = 300.0  #: with autoscale, a worker that got no order for this long ends, so that its node may go
    lease_s: float = 30.0  #: a silent worker loses its order after this
    heartbeat_s: float = 0.5  #: a busy worker reports this often
    poll_s: float = 2.0  #: the dispatcher looks for news of leased videos this often
    sweep_s: float = 30.0  #: the dispatcher lists open videos this often
    orphan_s: float = 60.0  #: a worker that reaches no dispatcher for this long ends itself
    stuck_s: float = 1800.0  #: a worker whose order has not moved for this long ends itself
    log_format: str = "text"  #: of the farm's own log lines: text or json
    log_level: str = "info"  #: debug, info, warning or error

    def __post_init__(self) -> None:
        """Refuse impossible values by name."""
        if not 0 < self.heartbeat_s < self.lease_s / 3:
            msg = (
                f"FARM_HEARTBEAT_S={self.heartbeat_s}: need more than 0 and less than FARM_LEASE_S/3={self.lease_s / 3}"
            )
            raise ConfigError(msg)
        parse_operators(self.operators, parse_keys(self.api_keys))
        _check_node(self)
        if self.text_encoder_device not in {None, "cpu"}:
            msg = f"FARM_TEXT_ENCODER_DEVICE={self.text_encoder_device!r}: need 'cpu', or leave it out"
            raise ConfigError(msg)
        for name, known in (
            ("log_format", FORMATS),
            ("log_level", LEVELS),
            ("precision", PRECISIONS),
            ("attention", (AUTO, *ATTENTIONS)),
        ):
            if getattr(self, name) not in known:
                raise ConfigError(f"FARM_{name.upper()}={getattr(self, name)!r}: need one of {', '.join(known)}")
        for name in ("port", "ray_port"):
            if not 0 <= getattr(self, name) <= 65535:
                msg = f"FARM_{name.upper()}={getattr(self, name)}: need 0 to 65535"
                raise ConfigError(msg)
        for name in (
            "max_upload_mb",
            "max_import_mb",
            "max_queued",
            "max_open_videos",
            "keep_days",
            "max_pixels",
            "poll_s",
            "sweep_s",
            "orphan_s",
            "stuck_s",
            "idle_s",
        ):
            value = getattr(self, name)
            if value is not None and not value > 0:
                msg = f"FARM_{name.upper()}={value}: need more than 0"
                raise ConfigError(msg)
        self._check_webhooks()
        if "://" in self.storage and not self.storage.startswith("file://") and not _S3.fullmatch(self.storage):
            msg = f"FARM_STORAGE={self.storage}: need a folder or s3://bucket/prefix (letters, digits, '.', '_', '-')"
            raise ConfigError(msg)
        if self.s3_endpoint is not None and not _ENDPOINT.fullmatch(self.s3_endpoint):
            msg = "FARM_S3_ENDPOINT: need http://host:port or https://host; keys belong in AWS_*"
            raise ConfigError(msg)  # what was given is not shown: it may hold a password

    def _check_webhooks(self) -> None:
        for name, check in (
            ("webhook_url", lambda url: checked_url(url, allow_private=self.webhook_allow_private)),
            ("webhook_secret", check_secret),
        ):
            value = getattr(self, name)
            try:
                if value is not None:
                    check(value)
            except ValueError as err:
                raise ConfigError(f"FARM_{name.upper()}: {err}") from err
        if self.webhook_url is not None and self.webhook_secret is None:
            raise ConfigError("FARM_WEBHOOK_URL needs FARM_WEBHOOK_SECRET, which signs what is sent there")

    @property
    def storage_path(self) -> Path:
        """The storage's folder on this machine, absolute. For s3:// it holds no video, only the farm's lock and log."""
        if self.storage.startswith("s3://"):
            name = hashlib.sha256(f"{self.storage} {self.s3_endpoint or ''}".encode()).hexdigest()[:16]
            return user_data_path("framepack-farm", appauthor=False) / "s3" / name
        return Path(self.storage.removeprefix("file://")).expanduser().absolute()

    @classmethod
    def from_env(cls, env: Mapping[str, str] | None = None, **flags: Any) -> Self:
        """Read FARM_*; `flags` (those that are not None) win. Raises: ConfigError for unknown names, bad values."""
        env = os.environ if env is None else env
        names = {f"FARM_{field.name.upper()}": field.name for field in fields(cls)}
        values: dict[str, Any] = {}
        for key in (key for key in env if key.startswith("FARM_")):
            if key not in names:
                msg = f"unknown setting {key}; known settings: {', '.join(sorted(names))}"
                raise ConfigError(msg)
            values[names[key]] = _parse(key, env[key])
        values |= {name: value for name, value in flags.items() if value is not None}
        return cls(**values)

    def to_env(self, names: Iterable[str] | None = None) -> dict[str, str]:
        """The FARM_* variables that give these settings (or those of these `names`) again, for processes we start.

        What is unset is said too, by an empty value: else a worker would take it from the farm's own machine.
        """
        wanted = [known.name for known in fields(self)] if names is None else names
        pairs = {name: getattr(self, name) for name in wanted}
        return {f"FARM_{name.upper()}": "" if value is None else str(value) for name, value in pairs.items()}

    def on_node(self, env: Mapping[str, str]) -> Self:
        """The farm's settings as they hold on the machine of that environment. Raises: ConfigError."""
        keys = {name: f"FARM_{name.upper()}" for name in NODE_SETTINGS}
        return replace(self, **{name: _parse(key, env[key]) for name, key in keys.items() if key in env})


def _check_node(settings: FarmSettings) -> None:
    """What a machine says about itself and its workers."""
    if settings.workers != "auto" and not settings.workers.isdigit():
        msg = f"FARM_WORKERS={settings.workers!r}: need 'auto' or a whole number"
        raise ConfigError(msg)
    gpus = [gpu.strip() for gpu in settings.gpus.split(",")] if settings.gpus else []
    if not all(_GPU.fullmatch(gpu) for gpu in gpus) or len(set(gpus)) < len(gpus):
        msg = f"FARM_GPUS={settings.gpus!r}: need numbers or UUIDs as `nvidia-smi -L` shows them, each once, by commas"
        raise ConfigError(msg)
    stages = settings.stages.split(",") if settings.stages else []
    if not {stage.strip() for stage in stages} <= set(get_args(Stage)):
        msg = f"FARM_STAGES={settings.stages!r}: need some of {','.join(get_args(Stage))}"
        raise ConfigError(msg)
    parse_hours(settings.hours)
    if settings.device_gb is not None and settings.device_gb <= 0:
        msg = f"FARM_DEVICE_GB={settings.device_gb}: need more than 0, or leave it out"
        raise ConfigError(msg)
    if settings.preserve_gb < 0:
        msg = f"FARM_PRESERVE_GB={settings.preserve_gb}: need 0 or more"
        raise ConfigError(msg)
    if settings.vram_class is not None and settings.vram_class not in VRAM_CLASSES:
        msg = f"FARM_VRAM_CLASS={settings.vram_class!r}: need one of {', '.join(VRAM_CLASSES)}"
        raise ConfigError(msg)
    if settings.node and not _NODE.fullmatch(settings.node):
        msg = f"FARM_NODE={settings.node!r}: need up to 40 letters, digits, '-', '_' and '.', the outer ones no signs"
        raise ConfigError(msg)
    if settings.autoscale < 0 or (settings.autoscale and settings.ray is None):
        msg = f"FARM_AUTOSCALE={settings.autoscale}: need 0 or more, and with more FARM_RAY, a cluster that can grow"
        raise ConfigError(msg)
    if settings.ray is not None and not _ADDRESS.fullmatch(settings.ray):
        msg = f"FARM_RAY={settings.ray!r}: need HOST:PORT"
        raise ConfigError(msg)


def _parse(key: str, text: str) -> Any:
    """`text` as the type of its setting, where `X | None` is parsed as X, and nothing as None."""
    kind = get_type_hints(FarmSettings)[key.removeprefix("FARM_").lower()]
    if not text and type(None) in get_args(kind):
        return None
    kind = next((arg for arg in get_args(kind) if arg is not type(None)), kind)
    if kind is bool:
        if text.lower() not in _BOOLEANS:
            raise ConfigError(f"{key}={text!r}: need 1 or 0")
        return _BOOLEANS[text.lower()]
    try:
        return kind(text)
    except ValueError as err:
        msg = f"{key}={text!r}: need a value of type {kind.__name__}"
        raise ConfigError(msg) from err


VRAM_CLASSES = ("v6", "v8", "v12", "v16", "v24", "v48", "v80", "v141")
_SHARE = 0.9  #: what a card reports is up to this much less than it is sold with: an L4 of 24 GB says 22.5 GiB


def vram_class(gib: float) -> str | None:
    """The largest class that a device of `gib` GiB fills; None: it is smaller than all."""
    fitting = [name for name in VRAM_CLASSES if gib >= _SHARE * int(name[1:])]
    return fitting[-1] if fitting else None
