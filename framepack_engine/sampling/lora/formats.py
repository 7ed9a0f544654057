"""LoRA files of every common trainer, read for one model: diffusers', PEFT's, kohya's and HunyuanVideo's own names."""

from __future__ import annotations

import json
import math
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from framepack_engine.errors import LoraUnusable
from framepack_engine.sampling.lora.files import PEFT_CONFIG, ROLES

_PREFIXES = ("base_model.model.", "model.", "transformer.", "diffusion_model.", "lora_unet_", "lora_transformer_")
_TIME, _TEXT = "context_embedder.time_text_embed.", "time_text_embed."
_OUTSIDE = {  #: our Linears outside the blocks -> HunyuanVideo's, with `_` for `.`
    "proj_out": "final_layer_linear",
    "context_embedder.proj_in": "txt_in_input_embedder",
    f"{_TIME}timestep_embedder.linear_1": "txt_in_t_embedder_mlp_0",
    f"{_TIME}timestep_embedder.linear_2": "txt_in_t_embedder_mlp_2",
    f"{_TIME}text_embedder.linear_1": "txt_in_c_embedder_linear_1",
    f"{_TIME}text_embedder.linear_2": "txt_in_c_embedder_linear_2",
    f"{_TEXT}timestep_embedder.linear_1": "time_in_mlp_0",
    f"{_TEXT}timestep_embedder.linear_2": "time_in_mlp_2",
    f"{_TEXT}text_embedder.linear_1": "vector_in_in_layer",
    f"{_TEXT}text_embedder.linear_2": "vector_in_out_layer",
    f"{_TEXT}guidance_embedder.linear_1": "guidance_in_mlp_0",
    f"{_TEXT}guidance_embedder.linear_2": "guidance_in_mlp_2",
}
_LAST_NORM = "norm_out.linear"  #: HunyuanVideo's has shift before scale, ours (diffusers') scale before shift
_NAMED = 8  #: unknown keys that an error lists; it counts the rest


class LowRank(NamedTuple):
    """A LoRA's addition to one Linear: down (r, in), up (out, r), float32; `up` contains alpha."""

    down: Tensor
    up: Tensor


class Target(NamedTuple):
    """The place where a key of a file acts: the Linear's name in the model, and its rows of the file's `up`."""

    module: str
    rows: slice | list[int]


@dataclass(slots=True)
class _Found:
    """The tensors that a file has for one name."""

    down: Tensor | None = None
    up: Tensor | None = None
    alpha: float | None = None


def read_lora(path: Path, linears: Mapping[str, nn.Linear]) -> dict[str, LowRank]:
    """Read a LoRA file for the model with these Linears.

    Returns: module -> what is added to it.
    Raises: LoraUnusable naming each key that is unknown, has no other half, or has another shape.
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
        fault = "acts on layers that are not supported" if lows else "is no LoRA for this model"
        raise LoraUnusable(
            f"{path.name} {fault}: {len(wrong)} of its {len(tensors)} keys cannot be used: {named}"
            if wrong
            else f"{path.name} is no LoRA: it has no weights",
            path=str(path),
            keys=wrong,
        )
    return lows


def targets_of(linears: Mapping[str, nn.Linear]) -> dict[str, tuple[Target, ...]]:
    """Map every name that files use, with `_` for `.`, to the places where it acts.

    These are the model's own names (diffusers', FramePack's, and kohya's and musubi's spelling of them), and those of
    HunyuanVideo. There q, k and v (and the single blocks' MLP) are one matrix: its rows are shared out, in order. The
    last norm's halves change places.

    Source: names of tencent/HunyuanVideo hyvideo/modules/models.py against diffusers' class.
    """
    flat: dict[str, tuple[Target, ...]] = {name.replace(".", "_"): (Target(name, slice(None)),) for name in linears}
    for name, old in _OUTSIDE.items():
        if name in linears:
            flat[old] = (Target(name, slice(None)),)
    if _LAST_NORM in linears:
        half = linears[_LAST_NORM].out_features // 2
        swapped = Target(_LAST_NORM, [*range(half, 2 * half), *range(half)])
        flat["final_layer_adaLN_modulation_1"] = (swapped,)
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
    """HunyuanVideo's names, and ComfyUI's spelling, of the matrix that is `name` or begins with it."""
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
            "norm_out.linear": (["adaLN_modulation_1"], ("norm_out.linear",)),
        }
        old = f"txt_in_individual_token_refiner_blocks_{n}_"
    else:
        return []
    spellings, parts = table.get(leaf, ([], ()))
    return [(old + spelling, tuple(block + part for part in parts)) for spelling in spellings]


def _parsed(key: str) -> tuple[str, str | None]:
    """A key's module, as `targets_of` spells it, and its role there; None for an unknown key."""
    for suffix, role in ROLES.items():
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
    """Share out a file's pair among its modules; None if the shapes do not fit."""
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
    """Return alpha/rank of a module that has no alpha in the file: from PEFT's config, diffusers' metadata, else 1."""
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
        raise LoraUnusable(f"{path.name} is a DoRA, which is not supported: merge it, or train without use_dora")

    def scale_of(module: str, rank: int) -> float:
        own = next((a for key, a in patterns.items() if f".{module}".endswith(f".{key}")), alpha)
        if own is None:
            return 1.0
        return own / (math.sqrt(rank) if config.get("use_rslora") else rank)

    return scale_of
