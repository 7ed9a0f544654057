"""LoRAs beside the weights: attached for a video, gone after it, the base untouched bit for bit.

y = W x + s·B(A x): the low-rank part is added by a forward hook, so W is never changed, whatever its precision, and
removing the hook brings back the base exactly. Source: arXiv:2106.09685; why not PEFT: docs/decisions/0015.
"""

from __future__ import annotations

import json
import math
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn
from torch.nn.functional import linear

from framepack_engine.errors import LoraUnusable
from framepack_engine.planning.spec import Lora
from framepack_engine.sampling.lora_files import PEFT_CONFIG, find_lora, lora_digest

_PREFIXES = ("base_model.model.", "model.", "transformer.", "diffusion_model.", "lora_unet_", "lora_transformer_")
_ROLES = {
    "lora_A.weight": "down",
    "lora_A.default.weight": "down",
    "lora_down.weight": "down",
    "lora.down.weight": "down",
    "lora_B.weight": "up",
    "lora_B.default.weight": "up",
    "lora_up.weight": "up",
    "lora.up.weight": "up",
    "alpha": "alpha",
}
_NAMED = 8  #: so many unknown keys are listed, the rest is counted


class LowRank(NamedTuple):
    """What a LoRA adds to one Linear: down (r, in), up (out, r), float32, alpha already in `up`."""

    down: Tensor
    up: Tensor


class Target(NamedTuple):
    """Where a key of a file acts: the Linear's name in the model, and which rows of the file's `up` are its own."""

    module: str
    rows: slice


@dataclass(slots=True)
class _Found:
    """The tensors that a file has for one name."""

    down: Tensor | None = None
    up: Tensor | None = None
    alpha: float | None = None


class LoraSlots:
    """The LoRAs of one transformer: those of the video it works on, and no others."""

    def __init__(self, model: nn.Module, *, device: torch.device, dtype: torch.dtype) -> None:
        """dtype: the model's own, for layers whose weights are stored in a format that is not computed in."""
        self._linears = {name: part for name, part in model.named_modules() if isinstance(part, nn.Linear)}
        self._device, self._dtype = device, dtype
        self._hooks: list[torch.utils.hooks.RemovableHandle] = []
        self._using: tuple[tuple[str, float], ...] = ()
        if earlier := _SLOTS.get(model):  # of a renderer before us: the model outlives its renderers
            earlier.clear()
        _SLOTS[model] = self

    def use(self, loras: Sequence[Lora], *, folder: str | Path | None) -> None:
        """Act with exactly these from now on; those in use already are not read again.

        Raises: LoraUnusable; the model is then without any.
        """
        acting = [lora for lora in loras if lora.weight != 0]
        try:
            files = [_pinned(lora, find_lora(lora.name, folder)) for lora in acting]
        except LoraUnusable:
            self.clear()
            raise
        using = tuple((digest, lora.weight) for (_, digest), lora in zip(files, acting, strict=True))
        if using == self._using:
            return
        self.clear()
        added: dict[str, list[LowRank]] = defaultdict(list)
        for (path, _), lora in zip(files, acting, strict=True):
            for module, low in read_lora(path, self._linears).items():
                added[module].append(LowRank(low.down, low.up * lora.weight))
        for module, lows in added.items():
            layer = self._linears[module]
            self._hooks.append(layer.register_forward_hook(_adding(self._joined(layer, lows))))
        self._using = using

    @property
    def using(self) -> tuple[tuple[str, float], ...]:
        """Digest and weight of each that acts."""
        return self._using

    def clear(self) -> None:
        """Leave the base alone."""
        for hook in self._hooks:
            hook.remove()
        self._hooks, self._using = [], ()

    def _joined(self, layer: nn.Linear, lows: list[LowRank]) -> LowRank:
        """Several are one, of the sum of their ranks: two products a layer, however many there are."""
        stored = getattr(layer.weight, "dtype", None)  # none where it is packed
        dtype = stored if stored in {torch.float32, torch.bfloat16, torch.float16} else self._dtype
        down, up = torch.cat([low.down for low in lows]), torch.cat([low.up for low in lows], dim=1)
        return LowRank(down.to(self._device, dtype), up.to(self._device, dtype))


_SLOTS: WeakKeyDictionary[nn.Module, LoraSlots] = WeakKeyDictionary()  #: transformer -> who put LoRAs on it last


def read_lora(path: Path, linears: Mapping[str, nn.Linear]) -> dict[str, LowRank]:
    """Read a file for the model with these Linears: diffusers', PEFT's, kohya's and HunyuanVideo's own names.

    Returns: module -> what is added to it.
    Raises: LoraUnusable that names the keys which are unknown, lack their other half, or have another shape.
    """
    try:
        with safe_open(path, framework="pt") as file:
            metadata: dict[str, str] = file.metadata() or {}
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - it is no mapping
    except (OSError, SafetensorError) as err:
        raise LoraUnusable(f"{path} cannot be read: {err}", path=str(path)) from err
    targets, wrong = targets_of(linears), list[str]()
    found: dict[str, _Found] = defaultdict(_Found)
    for key, tensor in sorted(tensors.items()):
        name, role = _parsed(key)
        if role is None or name not in targets or (role != "alpha" and tensor.ndim != 2):
            wrong.append(key)
        elif role == "alpha":
            found[name].alpha = float(tensor)
        else:
            setattr(found[name], role, tensor.float())
    scale_of, lows = _scales(path, metadata), dict[str, LowRank]()
    for name, tensor_set in found.items():
        for module, low in _split(tensor_set, targets[name], linears, scale_of):
            if low is None or module in lows:
                wrong.append(f"{name} (its halves do not fit {module})")
            else:
                lows[module] = low
    if wrong or not lows:
        named = ", ".join(wrong[:_NAMED]) + (f" and {len(wrong) - _NAMED} more" if len(wrong) > _NAMED else "")
        raise LoraUnusable(
            f"{path.name} is no LoRA for this model: {len(wrong)} of its {len(tensors)} keys cannot be used: {named}"
            if wrong
            else f"{path.name} is no LoRA: it has no weights",
            path=str(path),
            keys=wrong,
        )
    return lows


def targets_of(linears: Mapping[str, nn.Linear]) -> dict[str, tuple[Target, ...]]:
    """Every name that files use, with `_` for `.`, -> where it acts.

    The model's own names (diffusers', FramePack's and what kohya's and musubi's trainers make of them), and those of
    HunyuanVideo, whose q, k and v (and the single blocks' MLP) are one matrix each: its rows are shared out, in order.

    Source: names of tencent/HunyuanVideo hyvideo/modules/models.py against diffusers' class.
    """
    flat: dict[str, tuple[Target, ...]] = {name.replace(".", "_"): (Target(name, slice(None)),) for name in linears}
    for name in linears:
        for old, parts in _hunyuan_names(name):
            edge, targets = 0, []
            for part in parts:
                rows = linears[part].out_features
                targets.append(Target(part, slice(edge, edge + rows)))
                edge += rows
            flat[old] = tuple(targets)
    return flat


def _hunyuan_names(name: str) -> list[tuple[str, tuple[str, ...]]]:
    """HunyuanVideo's names (ComfyUI's spelling besides) of the matrix that `name` is, or is the first part of."""
    match = re.fullmatch(r"(.*?)(\d+)\.(.*)", name)
    stem, n, leaf = (match[1], match[2], match[3]) if match else ("", "", "")
    block = f"{stem}{n}."
    if stem == "transformer_blocks.":
        table = {
            "attn.to_q": (["img_attn_qkv"], ("attn.to_q", "attn.to_k", "attn.to_v")),
            "attn.add_q_proj": (["txt_attn_qkv"], ("attn.add_q_proj", "attn.add_k_proj", "attn.add_v_proj")),
            "attn.to_out.0": (["img_attn_proj"], ("attn.to_out.0",)),
            "attn.to_add_out": (["txt_attn_proj"], ("attn.to_add_out",)),
            "ff.net.0.proj": (["img_mlp_fc1", "img_mlp_0"], ("ff.net.0.proj",)),
            "ff.net.2": (["img_mlp_fc2", "img_mlp_2"], ("ff.net.2",)),
            "ff_context.net.0.proj": (["txt_mlp_fc1", "txt_mlp_0"], ("ff_context.net.0.proj",)),
            "ff_context.net.2": (["txt_mlp_fc2", "txt_mlp_2"], ("ff_context.net.2",)),
            "norm1.linear": (["img_mod_linear", "img_mod_lin"], ("norm1.linear",)),
            "norm1_context.linear": (["txt_mod_linear", "txt_mod_lin"], ("norm1_context.linear",)),
        }
        old = f"double_blocks_{n}_"
    elif stem == "single_transformer_blocks.":
        table = {
            "attn.to_q": (["linear1"], ("attn.to_q", "attn.to_k", "attn.to_v", "proj_mlp")),
            "proj_out": (["linear2"], ("proj_out",)),
            "norm.linear": (["modulation_linear", "modulation_lin"], ("norm.linear",)),
        }
        old = f"single_blocks_{n}_"
    elif stem == "context_embedder.token_refiner.refiner_blocks.":
        table = {
            "attn.to_q": (["self_attn_qkv"], ("attn.to_q", "attn.to_k", "attn.to_v")),
            "attn.to_out.0": (["self_attn_proj"], ("attn.to_out.0",)),
            "ff.net.0.proj": (["mlp_fc1", "mlp_0"], ("ff.net.0.proj",)),
            "ff.net.2": (["mlp_fc2", "mlp_2"], ("ff.net.2",)),
        }
        old = f"txt_in_individual_token_refiner_blocks_{n}_"
    else:
        return []
    spellings, parts = table.get(leaf, ([], ()))
    return [(old + spelling, tuple(block + part for part in parts)) for spelling in spellings]


def _parsed(key: str) -> tuple[str, str | None]:
    """A key's module, as the table of targets spells it, and what it is of it."""
    for suffix, role in _ROLES.items():
        if key.endswith(f".{suffix}"):
            name = key.removesuffix(f".{suffix}")
            for prefix in _PREFIXES:
                name = name.removeprefix(prefix)
            return name.replace(".", "_"), role
    return key, None


def _split(
    found: _Found,
    targets: tuple[Target, ...],
    linears: Mapping[str, nn.Linear],
    scale_of: Callable[[str, int], float],
) -> Iterable[tuple[str, LowRank | None]]:
    """Share out a file's pair among its modules; None where the shapes do not fit."""
    down, up = found.down, found.up
    rows = sum(linears[target.module].out_features for target in targets)
    for target in targets:
        layer = linears[target.module]
        if down is None or up is None or up.shape != (rows, len(down)) or down.shape[1] != layer.in_features:
            yield target.module, None
            continue
        rank = len(down)
        scale = scale_of(target.module, rank) if found.alpha is None else found.alpha / rank
        yield target.module, LowRank(down, up[target.rows] * scale)


def _scales(path: Path, metadata: Mapping[str, str]) -> Callable[[str, int], float]:
    """alpha/rank of a module where the file has no alpha for it: PEFT's config, diffusers' metadata, else 1."""
    config: dict[str, Any] = {}
    beside = path.with_name(PEFT_CONFIG)
    try:
        if "lora_adapter_metadata" in metadata:
            given = json.loads(metadata["lora_adapter_metadata"])
            config = {key.removeprefix("transformer."): value for key, value in given.items()}
        elif path.name == "adapter_model.safetensors" and beside.is_file():
            config = json.loads(beside.read_text())
        patterns = {key.removeprefix("^"): float(value) for key, value in (config.get("alpha_pattern") or {}).items()}
        alpha = float(config["lora_alpha"]) if "lora_alpha" in config else None
    except (ValueError, TypeError, AttributeError) as err:
        raise LoraUnusable(f"{path.name}: its adapter's settings cannot be read: {err}", path=str(path)) from err
    if config.get("use_dora"):
        raise LoraUnusable(f"{path.name} is a DoRA, which is not supported; merge it, or train without use_dora")

    def scale_of(module: str, rank: int) -> float:
        own = next((a for key, a in patterns.items() if f".{module}".endswith(f".{key}")), alpha)
        if own is None:
            return 1.0
        return own / (math.sqrt(rank) if config.get("use_rslora") else rank)

    return scale_of


def _pinned(lora: Lora, path: Path) -> tuple[Path, str]:
    digest = lora_digest(path)
    if lora.sha256 is not None and lora.sha256 != digest:
        raise LoraUnusable(
            f"LoRA {lora.name!r} is another file now: {path.name} has sha256 {digest}, the video was asked for with "
            f"{lora.sha256}",
            name=lora.name,
        )
    return path, digest


def _adding(low: LowRank) -> Callable[[nn.Module, tuple[Tensor, ...], Tensor], Tensor]:
    def hook(_layer: nn.Module, args: tuple[Tensor, ...], output: Tensor) -> Tensor:
        return output + linear(linear(args[0], low.down), low.up)

    return hook
