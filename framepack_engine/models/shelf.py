"""The shelf of loaded models: official repositories, local copies and small models alike."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

import torch
from safetensors import SafetensorError

from framepack_engine.errors import InvalidSpec, KernelsUnavailable, ModelUnavailable
from framepack_engine.kernels.blocks import compute_exactly
from framepack_engine.models.catalog import ModelEntry
from framepack_engine.models.compiled import compile_blocks
from framepack_engine.models.host import available_bytes
from framepack_engine.models.locate import locate, remedy
from framepack_engine.models.precision import apply_precision
from framepack_engine.models.weights import bytes_of, load_part, quiet
from framepack_engine.planning.choices import KERNELS

_DTYPES = (torch.float32, torch.bfloat16, torch.float16)
_TEXT_ENCODERS = ("text_encoder", "text_encoder_2")


class Places(Protocol):
    """Moves parts to a device and away, by a memory plan."""

    @property
    def device(self) -> torch.device:
        """Where the parts compute."""

    def visiting(self, part: str) -> AbstractContextManager[torch.device]:
        """Keep `part` on the device; yields the device."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Models:
    """All parts of one model, in evaluation mode.

    places: moves the parts to the device and away; None: they stay where they were loaded. elsewhere: parts that are
    kept on another device on purpose, and never move.
    """

    name: str
    kind: Literal["i2v", "f1"]
    transformer: Any
    vae: Any
    text_encoder: Any
    text_encoder_2: Any
    tokenizer: Any
    tokenizer_2: Any
    image_encoder: Any
    feature_extractor: Any
    places: Places | None = None
    elsewhere: frozenset[str] = frozenset()

    @property
    def modules(self) -> dict[str, Any]:
        """The parts that have weights, by name."""
        return {
            "transformer": self.transformer,
            "vae": self.vae,
            "text_encoder": self.text_encoder,
            "text_encoder_2": self.text_encoder_2,
            "image_encoder": self.image_encoder,
        }

    @property
    def movable(self) -> dict[str, Any]:
        """The parts that a memory plan may move, by name."""
        return {part: module for part, module in self.modules.items() if part not in self.elsewhere}

    @contextmanager
    def visiting(self, part: str) -> Iterator[torch.device]:
        """Let `part` compute inside; yields its device."""
        if self.places is None or part in self.elsewhere:
            yield self.modules[part].device
            return
        with self.places.visiting(part) as device:
            yield device

    def device_of(self, part: str) -> torch.device:
        """Where `part` computes; its weights may be at home now."""
        if self.places is not None and part not in self.elsewhere:
            return self.places.device
        device: torch.device = self.modules[part].device
        return device


def load_models(
    name_or_path: str | ModelEntry,
    *,
    device: str = "cpu",
    dtype: str | torch.dtype | None = None,
    cache_dir: str | Path | None = None,
    kind: Literal["i2v", "f1"] | None = None,
    say: Callable[[str], None] | None = None,
    text_encoder_device: str | None = None,
    precision: str = "bf16",
    kernels: str = "eager",
) -> Models:
    """Load every part of a model onto `device`.

    name_or_path: an entry of the catalogue or its name; a folder with the repositories in the official layout
        (`hunyuanvideo-community/HunyuanVideo/vae`, `lllyasviel/FramePackI2V_HY`, …); or a transformer alone, a folder
        or one .safetensors file: its other parts are beside it in that layout, or come from the hub's cache.
    device: "cpu", "cuda" or "cuda:1". dtype: of all weights: "float32", "bfloat16", "float16" or torch's own name for
        it; None: float32 on the CPU, else bfloat16 for the transformer and float16 for the rest, as in the reference.
    cache_dir: where tiny models are made; None: FARM_CACHE, else the user's cache. Downloads go to the hub's cache.
    kind: which transformer to take from a folder with both, or what a transformer alone is.
    say: hears the size and target folder before a download; None: stderr.
    text_encoder_device: of both text encoders, if the device is short of memory; None: `device`. If it is the CPU
        beside another device, it holds them in bfloat16 (Llama: 16 GB).
    precision: of the transformer, see `models.precision`. kernels: one of KERNELS, see `kernels.blocks`
        and `models.compiled`.
    Raises: InvalidSpec for a device that is not here, or another dtype; ModelUnavailable, which names the model, the
        missing file and the remedy; PrecisionUnavailable; KernelsUnavailable.
    """
    shelf = ModelShelf(
        device=device,
        dtype=dtype,
        cache_dir=cache_dir,
        say=say,
        text_encoder_device=text_encoder_device,
        precision=precision,
        kernels=kernels,
    )
    return shelf.get(name_or_path, kind=kind)


class ModelShelf:
    """The models of one process and device. Parts that two of them share are in memory once.

    A second transformer stays beside the first if memory allows; the shelf drops all other parts that the newest model
    does not use. The caller must drop the models that it no longer uses before it asks for another.
    """

    def __init__(
        self,
        *,
        device: str = "cpu",
        dtype: str | torch.dtype | None = None,
        cache_dir: str | Path | None = None,
        say: Callable[[str], None] | None = None,
        free_bytes: Callable[[], int] | None = None,
        text_encoder_device: str | None = None,
        home: str | None = None,
        precision: str = "bf16",
        kernels: str = "eager",
    ) -> None:
        """Take the arguments of `load_models`. free_bytes: tells how much memory is free for weights; None: the system.

        home: where weights lie. None: on `device`; "cpu": a memory plan brings them to the device.
        """
        if kernels not in KERNELS:
            raise KernelsUnavailable(f"kernels={kernels!r}: known are {', '.join(KERNELS)}")
        self._device, self._dtype = checked_device(device), checked_dtype(dtype)
        self._cache_dir, self._say = cache_dir, say
        self._text_device = text_encoder_device or device
        self._home = home or device
        self._precision, self._kernels = precision, kernels
        self._free_bytes = free_bytes or (lambda: free_memory(self._home))
        self._parts: dict[tuple[str, Path], Any] = {}

    def get(self, wanted: str | ModelEntry, *, kind: Literal["i2v", "f1"] | None = None) -> Models:
        """Return a model; load the parts that are missing. Raises: ModelUnavailable."""
        entry, folders = locate(wanted, cache_dir=self._cache_dir, kind=kind, say=self._say)
        keys = {part: (part, folder.resolve()) for part, folder in folders.items()}
        self._make_room(keys)
        with quiet():
            for part, key in keys.items():
                if key not in self._parts:
                    self._parts[key] = self._loaded(entry, part, folders[part])
        parts = {part: self._parts[key] for part, key in keys.items()}
        elsewhere = frozenset(_TEXT_ENCODERS if self._text_device != self._device else ())
        return Models(name=entry.name, kind=entry.kind, elsewhere=elsewhere, **parts)

    def _make_room(self, keys: Mapping[str, tuple[str, Path]]) -> None:
        old = [key for key in self._parts if key not in keys.values()]
        transformers = [key for key in old if key[0] == "transformer"]
        for key in old:
            if key not in transformers:
                del self._parts[key]
        if keys["transformer"] in self._parts:
            return
        # half as much again, for a step's activations
        while transformers and self._free_bytes() < 1.5 * bytes_of(self._parts[transformers[-1]]):
            del self._parts[transformers.pop(0)]
            gc.collect()
            if self._home != "cpu":
                torch.cuda.empty_cache()

    def _loaded(self, entry: ModelEntry, part: str, folder: Path) -> Any:
        device, dtype = self._device, self._dtype
        if part in _TEXT_ENCODERS and self._text_device != device:
            device = self._text_device
            dtype = dtype or torch.bfloat16  # float32 would take twice the memory, float16 is slow on most CPUs
        try:
            packs = part == "transformer" and self._precision != "bf16"  # it may fit the device only when packed
            model = load_part(part, folder, device=device, dtype=dtype, home="cpu" if packs else self._home)
        except (OSError, ValueError, RuntimeError, KeyError, SafetensorError) as err:
            raise ModelUnavailable(
                f"model {entry.name!r}: {part} in {folder} cannot be loaded ({type(err).__name__}: {err}). "
                f"{remedy(entry, part, folder)}",
                model=entry.name,
                part=part,
            ) from err
        if packs:
            apply_precision(model, self._precision, device=device)
            model.to(self._home)
        if part == "transformer" and self._kernels == "compiled":
            compile_blocks(model)
        elif part == "transformer" and self._kernels == "exact":
            compute_exactly(model)
        return model


def checked_device(device: str) -> str:
    """Return `device` if torch can compute there. Raises: InvalidSpec."""
    try:
        found = torch.device(device)
    except (RuntimeError, TypeError) as err:
        known = "torch knows no such device; need cpu, cuda or cuda:1"
        raise InvalidSpec(f"device={device!r}: {known}", field="device") from err
    if found.type == "cuda" and (found.index or 0) >= (count := torch.cuda.device_count()):
        has = f"torch sees {count} here" if count else "torch can use no GPU here; need cpu"
        raise InvalidSpec(f"device={device!r}: {has}", field="device")
    return device


def checked_dtype(dtype: str | torch.dtype | None) -> torch.dtype | None:
    """Return torch's dtype. Raises: InvalidSpec for one that the models do not compute in."""
    found = getattr(torch, dtype.removeprefix("torch."), None) if isinstance(dtype, str) else dtype
    if dtype is not None and found not in _DTYPES:
        names = ", ".join(str(each).removeprefix("torch.") for each in _DTYPES)
        raise InvalidSpec(f"dtype={dtype!r}: need one of {names}, or None", field="dtype")
    return found


def free_memory(device: str) -> int:
    """Return the unused bytes of `device`; for the CPU, those that are free without swapping."""
    if device != "cpu":
        free: int = torch.cuda.mem_get_info(torch.device(device))[0]
        return free
    return available_bytes()
