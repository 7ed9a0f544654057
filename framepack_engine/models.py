"""Loading a model's parts: one piece of code for official repositories, local copies of them, and the tiny ones."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors import SafetensorError

from framepack_engine.catalog import FRAMEPACK_F1, FRAMEPACK_I2V, MODELS, TINY_VERSION, ModelEntry, Part, model_entry
from framepack_engine.cpu_conv import use_onednn
from framepack_engine.errors import ModelUnavailable

#: Of each part: the files it cannot do without; "WEIGHTS" stands for one .safetensors file, or an index and its shards.
NEEDED: Mapping[str, tuple[str, ...]] = {
    "transformer": ("config.json", "WEIGHTS:diffusion_pytorch_model"),
    "vae": ("config.json", "WEIGHTS:diffusion_pytorch_model"),
    "text_encoder": ("config.json", "WEIGHTS:model"),
    "text_encoder_2": ("config.json", "WEIGHTS:model"),
    "image_encoder": ("config.json", "WEIGHTS:model"),
    "tokenizer": ("tokenizer_config.json", "tokenizer.json"),
    "tokenizer_2": ("tokenizer_config.json",),
    "feature_extractor": ("preprocessor_config.json",),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Models:
    """All parts of one model, in evaluation mode, on one device."""

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


def load_models(
    name_or_path: str,
    *,
    device: str = "cpu",
    dtype: torch.dtype | None = None,
    cache_dir: str | Path | None = None,
    kind: Literal["i2v", "f1"] | None = None,
    say: Callable[[str], None] | None = None,
) -> Models:
    """Load every part of a model onto `device`.

    name_or_path: a name of the catalog, or a folder that holds the repositories in the official layout
        (`hunyuanvideo-community/HunyuanVideo/vae`, `lllyasviel/FramePackI2V_HY`, …); `tiny` is made on first use.
    dtype:     of all weights; None: float32 on the CPU, else bfloat16 for the transformer and float16 for the rest, as
        the reference has it.
    cache_dir: where tiny models are made; None: FARM_CACHE, else the user's cache. Downloads go to the hub's own cache.
    kind:      which transformer to take from a folder that holds both.
    say:       hears, before any download, its size and target folder; None: stderr.
    Raises:    ModelUnavailable naming the model, the missing file, and what to do.
    """
    entry, folders = locate(name_or_path, cache_dir=cache_dir, kind=kind, say=say)
    for part, folder in folders.items():
        for missing in missing_files(part, folder):
            raise ModelUnavailable(
                f"model {entry.name!r}: {missing} is missing. {_remedy(entry, folder)}",
                model=entry.name,
                file=str(missing),
            )
    loaded: dict[str, Any] = {}
    with quiet():
        for part, folder in folders.items():
            try:
                loaded[part] = _load(part, folder, device=device, dtype=dtype)
            except (OSError, ValueError, RuntimeError, KeyError, SafetensorError) as err:
                raise _unreadable(entry, part, folder, err) from err
    return Models(name=entry.name, kind=entry.kind, **loaded)


def locate(
    name_or_path: str,
    *,
    cache_dir: str | Path | None = None,
    kind: Literal["i2v", "f1"] | None = None,
    say: Callable[[str], None] | None = None,
) -> tuple[ModelEntry, dict[str, Path]]:
    """Find the folder of each part, making or downloading what is not there.

    Returns: the model's entry in the catalog and part -> folder. The files in them are not checked.
    Raises: ModelUnavailable.
    """
    if name_or_path in MODELS:
        entry = model_entry(name_or_path)
        if entry.origin == "made":
            from framepack_engine.tiny import ensure_tiny

            with quiet():
                root = ensure_tiny(cache_dir)
            return entry, _folders(entry, lambda part: root / part.repo)
        from framepack_engine.hub import fetch_repositories

        repositories = fetch_repositories(entry, say=say or _to_stderr)
        return entry, _folders(entry, lambda part: repositories[part.repo])
    root = Path(name_or_path)
    if not root.is_dir():
        raise ModelUnavailable(
            f"{name_or_path!r} is neither a folder nor a model; there are {', '.join(MODELS)}",
            model=name_or_path,
        )
    found = [k for k, repo in (("i2v", FRAMEPACK_I2V), ("f1", FRAMEPACK_F1)) if (root / repo).is_dir()]
    chosen = kind or (found[0] if len(found) == 1 else None)
    if chosen is None:
        what = "both transformers: say which kind, i2v or f1" if found else "no transformer of FramePack"
        raise ModelUnavailable(
            f"{root} holds {what} ({FRAMEPACK_I2V} or {FRAMEPACK_F1} is looked for there)",
            model=name_or_path,
        )
    entry = model_entry(f"framepack-{chosen}")
    return entry, _folders(entry, lambda part: root / part.repo)


def missing_files(part: str, folder: Path) -> Iterator[Path]:
    """Name each file that `part` needs and `folder` lacks; shards are looked up in their index."""
    for name in NEEDED[part]:
        stem = name.removeprefix("WEIGHTS:")
        if stem == name:
            if not (folder / name).is_file():
                yield folder / name
            continue
        index = folder / f"{stem}.safetensors.index.json"
        if index.is_file():
            shards = sorted(set(json.loads(index.read_text())["weight_map"].values()))
            yield from (folder / shard for shard in shards if not (folder / shard).is_file())
        elif not (folder / f"{stem}.safetensors").is_file():
            yield folder / f"{stem}.safetensors"


@contextmanager
def quiet() -> Iterator[None]:
    """Keep transformers' and diffusers' progress bars for local files off stderr, and leave them as they were."""
    from diffusers.utils import logging as diffusers_logging
    from transformers.utils import logging as transformers_logging

    changed = [log for log in (diffusers_logging, transformers_logging) if log.is_progress_bar_enabled()]
    for log in changed:
        log.disable_progress_bar()
    try:
        yield
    finally:
        for log in changed:
            log.enable_progress_bar()


def _folders(entry: ModelEntry, repository: Callable[[Part], Path]) -> dict[str, Path]:
    return {name: repository(part) / part.folder for name, part in entry.parts.items()}


def _load(part: str, folder: Path, *, device: str, dtype: torch.dtype | None) -> Any:
    import diffusers
    import transformers

    if part == "tokenizer":
        # Not LlamaTokenizerFast: in transformers 5 it puts Llama 2's cut of the text over the file's own, and Llama 3's
        # vocabulary then loses every space, silently (transformers issue 45488). This class takes the file as it is.
        return transformers.PreTrainedTokenizerFast.from_pretrained(folder, local_files_only=True)
    if part == "tokenizer_2":
        return transformers.CLIPTokenizer.from_pretrained(folder, local_files_only=True)
    if part == "feature_extractor":
        # By this name: the plain one warns and falls back to it where torchvision is missing.
        return transformers.SiglipImageProcessorPil.from_pretrained(folder, local_files_only=True)
    if dtype is None:
        half = torch.bfloat16 if part == "transformer" else torch.float16
        dtype = torch.float32 if device == "cpu" else half
    if part in {"transformer", "vae"}:
        kind = "AutoencoderKLHunyuanVideo" if part == "vae" else "HunyuanVideoFramepackTransformer3DModel"
        model = getattr(diffusers, kind).from_pretrained(
            folder, torch_dtype=dtype, local_files_only=True, use_safetensors=True
        )
    else:
        kind = {"text_encoder": "LlamaModel", "text_encoder_2": "CLIPTextModel"}.get(part, "SiglipVisionModel")
        model = getattr(transformers, kind).from_pretrained(
            folder, dtype=dtype, local_files_only=True, use_safetensors=True
        )
    model.requires_grad_(requires_grad=False).eval().to(device)
    if part == "vae":
        use_onednn(model)
    return model


def _remedy(entry: ModelEntry, folder: Path) -> str:
    if entry.origin == "made":
        made = next(above for above in folder.parents if above.name == f"tiny-v{TINY_VERSION}")
        return f"Remove {made} and it is made again."
    return f"It belongs to {', '.join(sorted({part.repo for part in entry.parts.values()}))} on huggingface.co."


def _unreadable(entry: ModelEntry, part: str, folder: Path, err: Exception) -> ModelUnavailable:
    return ModelUnavailable(
        f"model {entry.name!r}: {part} in {folder} cannot be loaded ({type(err).__name__}: {err}). "
        f"{_remedy(entry, folder)}",
        model=entry.name,
        part=part,
    )


def _to_stderr(text: str) -> None:
    sys.stderr.write(f"{text}\n")
