"""Finds the files of a model's parts: made here, local, or in the hub's cache; fetches missing ones. Loads no torch."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Literal

from framepack_engine.errors import ModelUnavailable
from framepack_engine.models import hub
from framepack_engine.models.catalog import FRAMEPACK_F1, FRAMEPACK_I2V, HUNYUAN, MODELS, ModelEntry, Part, model_entry
from framepack_engine.models.model_size import MODEL_SIZES

#: the files that each part needs; "WEIGHTS" stands for one .safetensors file, or an index and its shards
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
_CLASS = "HunyuanVideoFramepackTransformer3DModel"


def locate(
    wanted: str | ModelEntry,
    *,
    cache_dir: str | Path | None = None,
    kind: Literal["i2v", "f1"] | None = None,
    say: Callable[[str], None] | None = None,
) -> tuple[ModelEntry, dict[str, Path]]:
    """Find the folder of each part; make or download what is missing. A transformer may be one file.

    wanted: see `load_models`. kind: which transformer of a folder or file; a named model must be of this kind.
    Raises: ModelUnavailable, which names a missing file and the command that brings it.
    """
    entry = wanted if isinstance(wanted, ModelEntry) else _entry(wanted, kind)
    folders = _folders(entry, cache_dir=cache_dir, say=say or _to_stderr)
    for part, folder in folders.items():
        for missing in missing_files(part, folder):
            raise ModelUnavailable(
                f"model {entry.name!r}: {missing} is missing. {remedy(entry, part, folder)}",
                model=entry.name,
                file=str(missing),
            )
    return entry, folders


def missing_files(part: str, folder: Path) -> Iterator[Path]:
    """Name each file that `part` needs and `folder` lacks, shards included."""
    if folder.is_file():  # a transformer in one file
        return
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


def missing_bytes(parts: Mapping[str, Part]) -> int:
    """Return about how many bytes of a FramePack model's parts the hub's cache lacks, as their parameters tell.

    Looks at names and sizes of files, and reads indexes; asks no network.
    """
    size = MODEL_SIZES["framepack", "bf16"]
    whole = {
        "transformer": size.transformer_bytes,
        "text_encoder": size.text_bytes,
        "text_encoder_2": size.text_2_bytes,
        "image_encoder": size.image_bytes,
        "vae": size.vae_bytes,
    }
    lacking = 0
    for part, folder in hub_folders(parts).items():
        if any(missing_files(part, folder)):
            here = sum(path.stat().st_size for path in folder.glob("*.safetensors") if path.is_file())
            lacking += max(whole.get(part, 0) - here, 0)
    return lacking


def is_here(entry: ModelEntry) -> bool:
    """Tell whether the hub's cache has all files of a downloaded model."""
    return not any(any(missing_files(part, folder)) for part, folder in hub_folders(entry.parts).items())


def hub_folders(parts: Mapping[str, Part]) -> dict[str, Path]:
    """Return where the hub's cache stores these parts, downloaded or not."""
    return {name: hub.snapshot(part.repo, part.revision) / part.folder for name, part in parts.items()}


def remedy(entry: ModelEntry, part: str, folder: Path) -> str:
    """Say how to restore a missing or damaged file of `folder`."""
    if entry.origin == "made":
        made = next((above for above in folder.parents if above.name.startswith("tiny-v")), folder)
        return f"Remove {made} and it is made again."
    if entry.origin == "shipped":
        return "It is part of framepack-farm: install that again."
    if folder.is_relative_to(hub.cache_folder()):
        return f"Fetch it with: framefarm models pull framepack-{entry.kind}"
    repo = entry.parts[part].repo
    root = next((above for above in folder.parents if (above / repo).is_dir()), None)
    if root is None:
        return f"It belongs to {repo} on huggingface.co."
    inside = f" --include '{entry.parts[part].folder}/*'" if entry.parts[part].folder else ""
    return f"It belongs to {repo} on huggingface.co: hf download {repo}{inside} --local-dir {root / repo}"


def _entry(name_or_path: str, kind: Literal["i2v", "f1"] | None) -> ModelEntry:
    """Return the entry of a name, or make one for a path."""
    if name_or_path in MODELS:
        entry = model_entry(name_or_path)
        if kind not in {None, entry.kind}:
            raise ModelUnavailable(f"the model {entry.name} is of kind {entry.kind}, not {kind}", model=entry.name)
        return entry
    path = Path(name_or_path)
    if not path.is_dir() and path.suffix != ".safetensors":
        raise ModelUnavailable(
            f"{name_or_path!r} is neither a folder nor a model; known are {', '.join(MODELS)}",
            model=name_or_path,
        )
    if not path.exists():
        raise ModelUnavailable(f"there is no file {path}", model=name_or_path)
    repos: dict[Literal["i2v", "f1"], str] = {"i2v": FRAMEPACK_I2V, "f1": FRAMEPACK_F1}
    found = [k for k, repo in repos.items() if (path / repo).is_dir()]
    if not found and not _is_transformer(path):
        raise ModelUnavailable(
            f"{path} holds no transformer of FramePack: neither {FRAMEPACK_I2V} nor {FRAMEPACK_F1}, nor the "
            f"config.json of a {_CLASS}",
            model=name_or_path,
        )
    chosen = kind or (found[0] if len(found) == 1 else None)
    if chosen is None:
        what = "both transformers" if found else "a transformer of unknown kind"
        raise ModelUnavailable(f"{path} holds {what}: say which kind, i2v or f1", model=name_or_path)
    return replace(model_entry(f"framepack-{chosen}"), origin="local", path=str(path))


def _folders(entry: ModelEntry, *, cache_dir: str | Path | None, say: Callable[[str], None]) -> dict[str, Path]:
    if entry.origin == "made":
        from framepack_engine.models.tiny import ensure_tiny
        from framepack_engine.models.weights import quiet

        with quiet():
            root = ensure_tiny(cache_dir)
        return {name: root / part.repo / part.folder for name, part in entry.parts.items()}
    if entry.origin == "hub":
        return _fetched(entry, entry.parts, say=say)
    path = Path(entry.path)
    if entry.origin == "shipped":
        return {name: path / part.repo / part.folder for name, part in entry.parts.items()}
    if not path.exists():
        raise ModelUnavailable(f"model {entry.name!r}: {path} is missing", model=entry.name, file=str(path))
    alone = _is_transformer(path)
    transformer = path if alone else path / entry.parts["transformer"].repo
    shared = {name: part for name, part in entry.parts.items() if name != "transformer"}
    beside = list(path.parents)[:3] if alone else [path]
    root_beside = next((root for root in beside if (root / HUNYUAN).is_dir()), None)
    if root_beside is None:
        return {**_fetched(entry, shared, say=say), "transformer": transformer}
    return {
        **{name: root_beside / part.repo / part.folder for name, part in shared.items()},
        "transformer": transformer,
    }


def _fetched(entry: ModelEntry, parts: Mapping[str, Part], *, say: Callable[[str], None]) -> dict[str, Path]:
    """Return the parts' folders in the hub's cache; use the network only if a file is missing."""
    folders = hub_folders(parts)
    missing = [path for name, folder in folders.items() for path in missing_files(name, folder)]
    if not missing:
        return folders
    if hub.is_offline():
        some = f"{missing[0]} is missing" + (f", and {len(missing) - 1} more files" if len(missing) > 1 else "")
        raise ModelUnavailable(
            f"model {entry.name!r}: {some}, and HF_HUB_OFFLINE forbids fetching. With a network: "
            f"framefarm models pull framepack-{entry.kind}",
            model=entry.name,
            file=str(missing[0]),
        )
    hub.pull(hub.repos_of(parts.values()), say=say)
    return hub_folders(parts)


def _is_transformer(path: Path) -> bool:
    """Tell whether `path` is a transformer alone: one file, or its folder."""
    if path.is_file():
        return path.suffix == ".safetensors"
    try:
        found = json.loads((path / "config.json").read_text()).get("_class_name")
    except (OSError, ValueError, AttributeError):
        return False
    return bool(found == _CLASS)


def _to_stderr(text: str) -> None:
    sys.stderr.write(f"{text}\n")
