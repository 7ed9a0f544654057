"""The farm's settings: FARM_* variables and flags of the command line, read once in deploy/, frozen, passed down.

Each field is documented here and nowhere else: flags, deploy/farm.example.env and the reference page are made from it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Self

from platformdirs import user_cache_path, user_data_path
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import ErrorDetails
from typing_extensions import override

from farm.contract import AUTO
from farm.errors import ConfigError
from farm.keys import parse_keys, parse_operators
from farm.logs import FORMATS, LEVELS
from farm.receiver import check_secret, checked_url
from farm.setting_types import (
    EMPTY,
    VRAM_CLASSES,
    Count,
    Endpoint,
    Gpus,
    Hours,
    NodeName,
    Origins,
    Port,
    Ports,
    Positive,
    RayAddress,
    RayFolder,
    Stages,
    Storage,
    Switch,
    Workers,
    one_of,
    parse_ports,
)
from framefarm_client.address import s3_name

_USER = os.getuid() if hasattr(os, "getuid") else 0  # native Windows gets as far as the words that refuse it

#: settings of earlier versions, and what to write in their place
_RENAMED = {"FARM_COMPILE": "FARM_KERNELS: write FARM_KERNELS=compiled for 1, and nothing for 0"}

#: settings that may differ from machine to machine; a worker takes it from the environment of its machine's Ray process
NODE_SETTINGS = (
    *("storage", "s3_endpoint", "cache", "lora_dir", "cpu_threads", "text_encoder_device"),
    *("stages", "hours", "device_gb", "preserve_gb", "vram_class", "node", "precision", "kernels"),
    "attention",
)


def _default(folder: Callable[..., Path], *below: str, shown: str) -> Any:
    try:
        default = str(folder("framepack-farm", appauthor=False).joinpath(*below))
    except RuntimeError:  # this user has no home folder
        default = ""
    return {"default": default, "json_schema_extra": {"shown": shown}}


#: first setting of each part -> the part's title, for the pages that list all settings
PARTS = {
    "storage": "Where things are stored",
    "url": "The command line",
    "host": "HTTP",
    "workers": "Rendering",
    "gpus": "This machine's workers (framefarm join takes these as well)",
    "node_ip": "Several machines: docs/how-to/several-machines.md",
    "lease_s": "How soon the farm notices a loss, in seconds",
    "log_format": "Logs: docs/how-to/monitoring.md",
}


class FarmSettings(BaseModel):
    """Every setting, once. deploy/ builds it; it is never global and never changes. FARM_<NAME> sets a field.

    Raises: ConfigError for an unknown name or an impossible value; the message names the variable and what it needs.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    storage: Storage = Field(
        **_default(user_data_path, "storage", shown="~/.local/share/framepack-farm/storage"),
        description="The object store that holds everything durable: a folder, or s3://bucket/prefix with the usual "
        "AWS_* variables (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_REGION, AWS_PROFILE …). The bucket must exist: "
        "docs/how-to/s3.md. The default is a folder in the user's data directory.",
    )
    s3_endpoint: Annotated[Endpoint | None, EMPTY] = Field(
        None, description="URL of an S3 server other than AWS (Ceph, R2 and others). Used with s3:// only."
    )
    cache: str = Field(
        **_default(user_cache_path, shown="~/.cache/framepack-farm"),
        description="Folder for built-in models and for a worker's notes about its device.",
    )
    lora_dir: str = Field(
        **_default(user_data_path, "loras", shown="~/.local/share/framepack-farm/loras"),
        description="Folder of the LoRAs that requests name: .safetensors files, and folders of them. Every machine of "
        "a farm needs the same files.",
    )

    url: Annotated[str | None, EMPTY] = Field(
        None,
        description="The farm that the commands talk to. Unset: the farm on this machine; `render` starts one if none "
        "runs.",
    )
    api_key: Annotated[str | None, EMPTY] = Field(
        None, repr=False, description="The key that the commands send to FARM_URL, as a bearer token."
    )

    host: str = Field("127.0.0.1", description="Address to listen on.")
    port: Port = Field(8000, description="Port to listen on. 0: any free port.")
    ingresses: int = Field(
        0,
        ge=0,
        description="Processes that answer HTTP; if one dies, the others go on. 0: one for every 4 cores and 8 GiB of "
        "memory, at least 2, at most 8.",
    )
    api_keys: str = Field(
        "",
        repr=False,
        description="API keys that the farm accepts: NAME:SHA256,… (`framefarm keys new NAME` prints a key and its "
        "entry). A video belongs to the NAME of its key; other keys do not see it. Empty: only this machine may "
        "connect.",
    )
    operators: str = Field(
        "",
        description="Names of the API keys that may pause, resume and drain workers: bob,carol. The farm answers "
        "others with 403. Empty: every key may.",
    )
    cors_origins: Origins = Field(
        "",
        description="Origins of web pages that may call the farm from a browser: https://shop.example, several "
        "separated by commas. They send an API key themselves; the farm takes no cookies from them. Empty: none.",
    )
    max_upload_mb: Count = Field(32, description="Largest request, in MB.")
    max_pixels: Count = Field(64_000_000, description="Largest image, in pixels. The farm checks before it decodes.")
    file_hours: Positive = Field(
        24.0,
        description="Hours for which the farm keeps a file of `POST /v1/files`. Videos have their own copies of the "
        "pictures.",
    )
    max_import_mb: Count = Field(
        4096,
        description="Largest imported archive of a video, in MB. While the farm checks it, the temporary folder holds "
        "it twice.",
    )
    webhook_url: Annotated[str | None, EMPTY] = Field(
        None,
        repr=False,
        description="A URL that gets a signed POST when any video ends, besides the webhook_url of its request: "
        "docs/how-to/webhooks.md. Needs the secret.",
    )
    webhook_secret: Annotated[str | None, EMPTY] = Field(
        None,
        repr=False,
        description="The secret that signs those POSTs, and those to a webhook_url without a webhook_secret: whsec_ "
        "and the base64 of 24 to 64 random bytes.",
    )
    webhook_allow_private: Switch = Field(
        False,
        description="Allow webhooks to this machine and to private networks. Anyone who may ask for a video can then "
        "make the farm send a POST there.",
    )
    max_open_videos: Annotated[Count | None, EMPTY] = Field(
        None,
        description="Limit of one owner's unfinished videos. The farm answers any further one with 429. Unset: no "
        "limit.",
    )
    max_queued: Count = Field(
        10_000, description="Limit of all owners' unfinished videos. The farm answers any further one with 429."
    )
    keep_days: Annotated[Positive | None, EMPTY] = Field(
        None, description="Days after which the farm erases an ended video and all of its objects. Unset: never."
    )

    workers: Workers = Field(
        "auto",
        description="auto: one worker for each GPU, or one on the CPU if there is none. A number: that many. 0: none "
        "here, other machines join.",
    )
    model: Annotated[str | None, EMPTY] = Field(
        None,
        description="Model of requests that name none. Unset: framepack-i2v if the farm finds a GPU, else pocket (or "
        "tiny in a package without pocket's weights).",
    )
    models: str = Field(
        "",
        description="The farm's own models besides the built-in ones: NAME=i2v:PATH or NAME=f1:PATH, separated by "
        "commas. PATH is a folder in the official layout, or a transformer alone (its folder or one .safetensors "
        "file). Every machine needs the same.",
    )
    device_gb: Annotated[Positive | None, EMPTY] = Field(
        None,
        description="Memory of each GPU that plans count on, in GiB. Unset: all of it. A CPU worker also keeps to it, "
        "by counting each tensor; this is slow and meant for trying plans without a GPU.",
    )
    preserve_gb: float = Field(
        0.0,
        ge=0,
        description="Memory of each GPU that workers leave to other programs, in GiB. A video's own preserve_gb takes "
        "precedence.",
    )
    precision: str = Field(  # deploy/settings.py knows the words for this setting and the next two
        "bf16",
        description="Format in which this machine's workers hold the transformer's matrices. bf16: as they come "
        "(float32 on the CPU). fp8: 8 bits, unpacked for each product. int8, fp8-dynamic: multiplied in 8 bits "
        "(fp8-dynamic needs Ada, Hopper or later). fp8-fast: as fp8-dynamic, with sums in the tensor cores' shorter "
        "accumulators. int4: NF4, unpacked. All but bf16 need `pip install "
        "'framepack-farm[precision]'` and change the picture a little: docs/explanation/memory-plans.md. A video stays "
        "with workers of the precision that made its first section.",
    )
    kernels: str = Field(
        "eager",
        description="What computes the transformer between its matrix products. eager: torch's operations. exact: "
        "fused Triton kernels with the same bits, on CUDA only; a kernel that differs on this GPU gives way to eager. "
        "compiled: torch.compile, with other bits and minutes more for the first section; a video stays with workers "
        "that compile as well. Neither exact nor compiled has run on a GPU yet.",
    )
    attention: str = Field(
        AUTO,
        description="Attention of this machine's workers for requests that leave it open. auto: the best exact one for "
        "the device (on Hopper FlashAttention 3 if it is installed, else cuDNN; elsewhere torch's own) once it passes "
        "a trial at the worker's start. A video keeps the attention of its first worker.",
    )
    cpu_threads: int = Field(
        0, ge=0, description="Threads of a worker on the CPU. 0: the workers share the machine's cores evenly."
    )
    text_encoder_device: Annotated[Annotated[str, one_of("cpu")] | None, EMPTY] = Field(
        None,
        description="cpu: both text encoders stay in the machine's memory, in bfloat16, which leaves a GPU of 24 GB to "
        "the rest. The numbers differ from a GPU's, so set it on all workers or on none. Unset: where the worker "
        "computes.",
    )

    gpus: Gpus = Field(
        "", description="GPUs that may work, as `nvidia-smi -L` numbers them (0,2) or by UUID. Empty: all."
    )
    stages: Stages = Field(
        "", description="Stages that the workers do: some of encode,section,decode,finish. Empty: all."
    )
    hours: Hours = Field(
        "",
        description="Hours in which the workers work, in this machine's local time: 22:00-07:00, several separated by "
        "commas. Outside of them the workers are paused. Empty: always.",
    )
    vram_class: Annotated[Annotated[str, one_of(*VRAM_CLASSES)] | None, EMPTY] = Field(
        None, description=f"Class of the GPU memory: {', '.join(VRAM_CLASSES)}. Unset: as measured."
    )
    node: NodeName = Field("", description="This machine's name in the farm. Empty: its host name.")

    node_ip: Annotated[str | None, EMPTY] = Field(
        None,
        description="Address or name at which the farm's other machines reach this one. Ray then listens on all "
        "addresses, and its token decides who may join. Unset: Ray listens on 127.0.0.1 only, and no other machine "
        "can join.",
    )
    ray_port: Port = Field(0, description="Port at which other machines join. 0: any free port, another at each start.")
    ports: Ports = Field(
        "",
        description="Ports that Ray uses on this machine, FIRST-LAST: 20000-20031. Let the farm's other machines reach "
        "them: docs/reference/ports.md. If there are too few, `up` and `join` say how many they need. Empty: any free "
        "ports.",
    )
    give_up_s: Annotated[Positive | None, EMPTY] = Field(
        None,
        description="Seconds without a sign of the farm's dispatcher after which `framefarm join` ends with 3, so that "
        "a rented machine can switch itself off. `join` also ends after as many seconds with a rebalance hint of AWS, "
        "because the machine then has no work, and waits as long for a farm that has not started yet. "
        "Unset: it ends with 2 if nothing answers at its start, and later waits for ever.",
    )
    cloud: Annotated[str, one_of("auto", "aws", "gcp", "azure", "none")] = Field(
        "auto",
        description="Cloud of this machine, which gives notice before the machine ends (docs/reference/protocol.md): "
        "aws, gcp, azure or none. auto: `up` and `join` look once, when they start.",
    )
    ray_dir: RayFolder = Field(
        f"/tmp/framefarm-{_USER}",  # noqa: S108 - a name of each user's own
        json_schema_extra={"shown": "/tmp/framefarm-1000"},  # noqa: S108
        description="Folder of Ray's sockets and logs on this machine, with an ASCII name of at most 48 characters: "
        "Linux allows no longer names for sockets. Each start removes the folders of dead starts there, but for the "
        "newest three. The default ends in the user's id.",
    )
    ray: Annotated[RayAddress | None, EMPTY] = Field(
        None,
        description="HOST:PORT of a running Ray cluster to run in; start the farm on the machine of its head. Unset: "
        "the farm starts its own.",
    )
    autoscale: int = Field(
        0,
        ge=0,
        description="In a cluster that Ray's autoscaler resizes (FARM_RAY): most workers to ask for, one for each "
        "video that waits or renders. 0: the farm asks for none.",
    )
    idle_s: Positive = Field(
        300.0,
        description="With autoscale: seconds without an order after which a worker ends, so that the autoscaler can "
        "remove its node.",
    )

    lease_s: Positive = Field(30.0, description="A worker that is silent for this long loses its order.")
    heartbeat_s: Positive = Field(
        0.5, description="A busy worker reports this often; must be less than a third of lease_s."
    )
    poll_s: Positive = Field(2.0, description="The dispatcher looks for news of leased videos this often.")
    sweep_s: Positive = Field(30.0, description="The dispatcher lists all open videos this often.")
    orphan_s: Positive = Field(60.0, description="A worker that reaches no dispatcher for this long ends itself.")
    stuck_s: Positive = Field(
        1800.0,
        description="A worker whose order makes no progress for this long (no step ends, or a stage without steps) "
        "gives it up as `stuck` and ends itself; another worker takes its place, and it counts against the video. The "
        "longest step and the longest decode must be shorter. Waiting for the store and loading a model do not count.",
    )

    log_format: Annotated[str, one_of(*FORMATS)] = Field(
        "text",
        description="Format of the farm's log lines: text, json, or journal, which is text without the time because "
        "systemd's journal adds it.",
    )
    log_level: Annotated[str, one_of(*LEVELS)] = Field(
        "info", description=f"Lowest level that is logged: {', '.join(LEVELS)}."
    )

    def __init__(self, **values: Any) -> None:
        try:
            super().__init__(**values)
        except ValidationError as err:
            raise ConfigError(_problem(err.errors(include_url=False)[0])) from None

    @model_validator(mode="after")
    def _agree(self) -> Self:
        if not self.heartbeat_s < self.lease_s / 3:
            limit = self.lease_s / 3
            raise ValueError(f"FARM_HEARTBEAT_S={self.heartbeat_s}: need less than FARM_LEASE_S/3={limit}")
        parse_operators(self.operators, parse_keys(self.api_keys))
        if self.autoscale and self.ray is None:
            raise ValueError(f"FARM_AUTOSCALE={self.autoscale}: also set FARM_RAY, a cluster that can grow")
        for name in ("port", "ray_port"):
            if getattr(self, name) in parse_ports(self.ports):
                raise ValueError(f"FARM_PORTS={self.ports} contains {_variable(name)}={getattr(self, name)}")
        self._check_webhook("webhook_url", lambda url: checked_url(url, allow_private=self.webhook_allow_private))
        self._check_webhook("webhook_secret", check_secret)
        if self.webhook_url is not None and self.webhook_secret is None:
            raise ValueError("FARM_WEBHOOK_URL needs FARM_WEBHOOK_SECRET, which signs what the farm sends there")
        return self

    def _check_webhook(self, name: str, check: Any) -> None:
        value = getattr(self, name)
        try:
            if value is not None:
                check(value)
        except ValueError as err:
            raise ValueError(f"{_variable(name)}: {err}") from err

    @property
    def storage_path(self) -> Path:
        """The storage's folder on this machine, absolute. For s3:// it holds only the farm's lock and log."""
        if self.storage.startswith("s3://"):
            return self._at_home("storage").parent / "s3" / s3_name(self.storage, self.s3_endpoint)
        return self._folder("storage")

    def _at_home(self, name: str) -> Path:
        """Return the default folder of a setting. Raises: ConfigError if this user has no home folder."""
        default = type(self).model_fields[name].default
        if not default:
            raise ConfigError(f"this user has no home folder: set {_variable(name)}, or set HOME")
        return Path(default)

    def _folder(self, name: str) -> Path:
        text = getattr(self, name).removeprefix("file://")
        return Path(text).expanduser().absolute() if text else self._at_home(name)

    @classmethod
    def from_env(cls, env: Mapping[str, str] | None = None, **flags: Any) -> Self:
        """Read FARM_* from `env`; flags other than None take precedence. Raises: ConfigError."""
        env = os.environ if env is None else env
        names = {_variable(name): name for name in cls.model_fields}
        given = {key: text for key, text in env.items() if key.startswith("FARM_")}
        if unknown := sorted(given.keys() - names.keys()):
            if new := _RENAMED.get(unknown[0]):
                raise ConfigError(f"{unknown[0]} is now {new}")
            raise ConfigError(f"unknown setting {unknown[0]}; known settings: {', '.join(sorted(names))}")
        values: dict[str, Any] = {names[key]: text for key, text in given.items()}
        return cls(**values | {name: value for name, value in flags.items() if value is not None})

    def to_env(self, names: Iterable[str] | None = None) -> dict[str, str]:
        """Return the FARM_* variables that give these settings (or those of `names`) to a process that we start.

        An unset setting has an empty value there: else a worker would take it from the farm's own machine.
        """
        pairs = {name: getattr(self, name) for name in names or type(self).model_fields}
        return {_variable(name): "" if value is None else str(value) for name, value in pairs.items()}

    def absolute(self) -> Self:
        """Return these settings with paths that mean the same in every current folder."""
        folders = {name: str(self._folder(name)) for name in ("cache", "lora_dir")}
        if not self.storage.startswith("s3://"):
            folders["storage"] = str(self.storage_path)
        models = [entry.partition(":") for entry in self.models.split(",")]
        folders["models"] = ",".join(
            f"{name}:{Path(path.strip()).expanduser().absolute()}" if path.strip() else name + colon
            for name, colon, path in models
        )
        return self.replaced(**folders)

    def replaced(self, **changes: Any) -> Self:
        """Return these settings with some changed. Raises: ConfigError."""
        return type(self)(**dict(self) | changes)

    def on_node(self, env: Mapping[str, str]) -> Self:
        """Return the farm's settings as they hold on the machine with that environment. Raises: ConfigError."""
        return self.replaced(**{name: env[key] for name in NODE_SETTINGS if (key := _variable(name)) in env})

    @override
    def __repr_args__(self) -> Any:
        return [(name, value) for name, value in super().__repr_args__() if value is not None]


def _variable(name: str) -> str:
    return f"FARM_{name.upper()}"


_NEEDS = {
    "greater_than": "need more than {gt:g}",
    "greater_than_equal": "need {ge:g} or more",
    "less_than_equal": "need {le:g} or less",
    "int_parsing": "need a whole number",
    "float_parsing": "need a number",
    "bool_parsing": "need 1 or 0",
}


def _problem(error: ErrorDetails) -> str:
    """Return one line that names the variable, its value and what it needs; secrets stay out of it."""
    need = _NEEDS.get(error["type"], "{error}").format(**{"error": error["msg"], **error.get("ctx", {})})
    if not error["loc"]:
        return need
    name = str(error["loc"][0])
    field = FarmSettings.model_fields.get(name)
    if field is None:
        return f"unknown setting {_variable(name)}"
    secret = not field.repr or name == "s3_endpoint"  # an endpoint may hold a password
    value = "" if secret else f"={error['input']!r}"
    return f"{_variable(name)}{value}: {need}"
