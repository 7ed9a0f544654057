"""Checks of this machine, each with a value and, if something is wrong, a hint. Loads no torch."""

from __future__ import annotations

import os
import platform
import runpy
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, requires, version
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from deploy.node.gpus import Gpu
from deploy.planner import own_models, state_of
from farm.contract import AUTO
from farm.errors import ConfigError, FarmError
from farm.settings import FarmSettings
from framefarm_client.address import running_at
from framepack_engine.memory.ladder import GIB, size_of
from framepack_engine.models.catalog import CPU_MODEL, ModelEntry
from framepack_engine.models.host import available_bytes
from framepack_engine.models.model_size import ModelSize
from framepack_engine.planning.attention_choice import AttentionFacts, best_attention, has_flash_3

_SHOWN = ("torch", "ray", "diffusers", "transformers", "safetensors", "av")
_SHM_BYTES = 100 << 20  #: shared memory that `up` gives Ray for objects
_ROOM_BYTES = 5 * GIB  #: of a storage; less is told. A minute of video with all that is kept of it is about 1 GB
_BFLOAT16 = (8, 0)  #: CUDA capability from which a GPU computes in bfloat16


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One check. state: "note" is worth knowing, "wrong" keeps the farm from working."""

    name: str
    value: str
    state: Literal["ok", "note", "wrong"] = "ok"
    hint: str = ""


def _noted(name: str, value: str, hint: str = "") -> Check:
    """Return a check that is fine without a hint, and worth knowing with one."""
    return Check(name=name, value=value, state="note" if hint else "ok", hint=hint)


def _judged(name: str, value: str, fault: str = "") -> Check:
    """Return a check that is fine without a fault, and wrong with one."""
    return Check(name=name, value=value, state="wrong" if fault else "ok", hint=fault)


def examine(
    settings: FarmSettings,
    gpus: Sequence[Gpu],
    *,
    model: ModelEntry,
    elsewhere: bool = False,
    memory: int,
) -> Iterator[Check]:
    """Yield every check but the memory plans. gpus: for workers. model: of the farm's requests.

    elsewhere: the precision, and so its packages, is for a card on another machine. memory: the machine's, in bytes.
    """
    yield Check(name="system", value=f"{platform.system()} {platform.release()}, {os.cpu_count()} cores")
    yield from _packages()
    yield from _precision(settings.precision, elsewhere=elsewhere)
    yield from _gpus(gpus)
    yield from attention_checks(settings, gpus)
    yield memory_check(
        size_of(model.name, settings.precision), total=memory, on_gpu=bool(gpus) or elsewhere, elsewhere=elsewhere
    )
    yield _video()
    yield _storage(settings)
    yield _cache(settings)
    yield from _models(settings, model, needed=bool(gpus))
    yield _port(settings)
    yield _shared_memory()


def _packages() -> Iterator[Check]:
    """Check the versions of Python and of the packages that the farm requires."""
    from packaging.requirements import Requirement

    yield Check(name="python", value=platform.python_version())
    wrong, wanted = list[str](), [Requirement(text) for text in requires("framepack-farm") or ()]
    for need in wanted:
        if need.marker is not None and not need.marker.evaluate():
            continue
        try:
            found = version(need.name)
        except PackageNotFoundError:
            wrong.append(f"{need.name} is missing")
            continue
        if not need.specifier.contains(found, prereleases=True):
            wrong.append(f"{need.name} is {found}, wanted {need.specifier}")
    shown = ", ".join(f"{name} {_version(name)}" for name in _SHOWN)
    yield _judged(
        "packages", shown, f"{'; '.join(wrong)}: install framepack-farm again, with constraints.txt" if wrong else ""
    )


def _precision(precision: str, *, elsewhere: bool) -> Iterator[Check]:
    """Check the package that packs the weights, if the precision needs it."""
    if precision == "bf16":
        return
    value = f"{precision}, torchao {_version('torchao')}"
    hint = f"FARM_PRECISION={precision} needs torchao: pip install 'framepack-farm[precision]'"
    yield (_noted if elsewhere else _judged)("precision", value, "" if find_spec("torchao") else hint)


def attention_checks(settings: FarmSettings, gpus: Sequence[Gpu]) -> Iterator[Check]:
    """Name each card's attention for requests that leave it open; a worker tries it on its card first."""
    if settings.attention != AUTO:
        yield Check(name="attention", value=f"{settings.attention} (FARM_ATTENTION)")
        return
    for gpu in gpus:
        facts = AttentionFacts(capability=gpu.capability, cudnn=_cudnn(), flash_3=has_flash_3())
        yield Check(name="attention", value=f"{best_attention(facts)} on {gpu.name}")


def _cudnn() -> int:
    """Return the version number of torch's cuDNN, or 0. Loads torch if torch is built for CUDA: seconds."""
    if torch_cuda() is None:
        return 0
    import torch

    return torch.backends.cudnn.version() or 0


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "missing"


def torch_cuda() -> str | None:
    """Return the CUDA version that torch is built for, or None; read it from torch's files."""
    spec = find_spec("torch")
    if spec is None or spec.origin is None:
        return None
    found: str | None = runpy.run_path(str(Path(spec.origin).with_name("version.py")))["cuda"]
    return found


def _gpus(gpus: Sequence[Gpu]) -> Iterator[Check]:
    built = torch_cuda()
    torch = f"torch for CUDA {built}" if built else "torch without CUDA"
    if not gpus:
        hint = f"no NVIDIA GPU: workers compute on the CPU, which is for {CPU_MODEL}; the 13B models need a GPU"
        yield _noted("gpu", f"none ({torch})", hint)
        return
    usable = _usable_gpus() if built else 0
    for gpu in gpus:
        free = f"{gpu.total / GIB:.1f} GiB, {gpu.free / GIB:.1f} free"
        hint = "older than Ampere: it lacks bfloat16, in which the model computes, so it is slow"
        value = f"{gpu.name}, {free}, driver {gpu.driver}, {torch}"
        yield _noted("gpu", value, hint if gpu.capability < _BFLOAT16 else "")
    if not built:
        yield _judged("cuda", torch, "torch cannot use the GPU: install a build of torch for CUDA")
    elif usable < len(gpus):
        fault = f"torch sees {usable} of {len(gpus)} GPUs: the driver may be too old for CUDA {built}"
        yield _judged("cuda", torch, fault)


def _usable_gpus() -> int:
    """Count the GPUs that torch can use. Loads torch: seconds."""
    import torch

    return torch.cuda.device_count() if torch.cuda.is_available() else 0


def weights_bytes(size: ModelSize) -> int:
    """Return the bytes of all parts of a model in memory."""
    return size.transformer_bytes + size.text_bytes + size.text_2_bytes + size.image_bytes + size.vae_bytes


def memory_check(size: ModelSize, *, total: int, on_gpu: bool, elsewhere: bool = False) -> Check:
    """Compare a machine's memory with the model's weights. elsewhere: it is not this machine."""
    weights = weights_bytes(size)
    value = f"{total / GIB:.1f} GiB" + ("" if elsewhere else f", {available_bytes() / GIB:.1f} free")
    hint = ""
    if on_gpu and total < weights:
        hint = (
            f"the model's weights are {weights / GIB:.1f} GiB: when a stage begins, workers read what does not fit "
            "from its files again"
        )
        if size.precision != "bf16":
            hint += f", except the transformer's {size.transformer_bytes / GIB:.1f} GiB, which no file holds packed"
    return _noted("memory", value, hint)


def _video() -> Check:
    """Check PyAV and the encoder of the clips."""
    try:
        import av

        av.codec.Codec("libx264", "w")
    except (ImportError, ValueError) as err:
        hint = "PyAV cannot encode H.264: install the wheel of av from PyPI, which brings FFmpeg along"
        return _judged("video", f"{type(err).__name__}: {err}", hint)
    codec = ".".join(map(str, av.library_versions["libavcodec"]))
    return Check(name="video", value=f"av {av.__version__} with libavcodec {codec} and libx264")


def _storage(settings: FarmSettings) -> Check:
    """Prove the store as `up` does; do not create a missing folder."""
    from farm.store import open_store

    in_bucket, folder = settings.storage.startswith("s3://"), settings.storage_path
    if not in_bucket and not folder.exists():
        return _new_folder(folder)
    value = settings.storage if in_bucket else f"{folder}, {_free(folder) / GIB:.1f} GiB free"
    if url := running_at(settings.storage_path):
        value += f", in use by the farm at {url}"
    try:
        open_store(settings).prove()
    except (FarmError, OSError) as err:
        return _judged("storage", value, str(err))
    is_full = not in_bucket and _free(folder) < _ROOM_BYTES
    return _noted("storage", value, "little room: workers wait when it is full" if is_full else "")


def _cache(settings: FarmSettings) -> Check:
    from deploy.node.local import check_folders

    try:
        check_folders(settings)
    except ConfigError as err:
        return _judged("cache", settings.cache, str(err))
    return _judged("cache", settings.cache)


def _new_folder(folder: Path) -> Check:
    above = next(path for path in folder.parents if path.exists())
    value = f"{folder}, to be made; {_free(above) / GIB:.1f} GiB free"
    fault = f"{above} cannot be written; choose another folder with --storage or FARM_STORAGE"
    return _judged("storage", value, "" if above.is_dir() and os.access(above, os.W_OK | os.X_OK) else fault)


def _free(path: Path) -> int:
    return shutil.disk_usage(path).free


def _models(settings: FarmSettings, model: ModelEntry, *, needed: bool) -> Iterator[Check]:
    """Say how much of each model lies here, and whether there is room for the missing files."""
    from framepack_engine.models.hub import cache_folder

    known = own_models(settings.models)
    states = {name: state_of(entry, settings) for name, entry in known.items()}
    value = ", ".join(f"{name}: {state}" for name, state in states.items())
    lacks = needed and states[model.name] in {"none", "partial"}
    if model.origin == "hub":
        yield _noted("models", value, f"framefarm models pull {model.name}" if lacks else "")
    else:
        yield _judged("models", value, f"{model.path} is missing" if lacks else "")
    cache = cache_folder()
    above = next(path for path in (cache, *cache.parents) if path.exists())
    free, needs = _free(above), weights_bytes(size_of(model.name))
    room = f"{cache}, {free / GIB:.1f} GiB free"
    is_short = needed and model.origin == "hub" and states[model.name] == "none" and free < needs
    hint = f"{model.name} is about {needs / GIB:.0f} GiB: set HF_HOME to a larger disk"
    yield _noted("model cache", room, hint if is_short else "")


def _port(settings: FarmSettings) -> Check:
    """Check that `up` can listen."""
    from deploy.node.http_port import bound_port

    value = f"{settings.host}:{settings.port}"
    if running_at(settings.storage_path) == f"http://{value}":
        return Check(name="port", value=f"{value}, the farm's own")
    try:
        with bound_port(settings):
            return Check(name="port", value=f"{value}, free")
    except ConfigError as err:
        return _judged("port", value, str(err))


def _shared_memory() -> Check:
    """Check Ray's shared memory, which is small in containers."""
    folder = Path("/dev/shm")  # noqa: S108 - it is asked about, not used
    free = _free(folder)
    value = f"{folder}, {free / GIB:.1f} GiB free"
    return _noted(
        "shared memory", value, "Ray keeps 100 MiB there: docker run --shm-size=1g" if free < _SHM_BYTES else ""
    )
