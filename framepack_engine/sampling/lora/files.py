"""LoRA files by name, and their digests. Loads no torch: the ingress pins the bytes of a LoRA."""

from __future__ import annotations

import hashlib
from pathlib import Path

from framepack_engine.errors import LoraUnusable

#: the name of the LoRA in a folder or repository with several files, by convention of diffusers and PEFT
USUAL_NAMES = ("pytorch_lora_weights.safetensors", "adapter_model.safetensors")
PEFT_CONFIG = "adapter_config.json"
#: how the keys of a LoRA's tensors end -> what the tensor is; `down` is (r, in), `up` is (out, r)
ROLES = {
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
_MOST_DIGESTS = 256
Version = tuple[Path, tuple[tuple[int, int, int], ...]]  #: a file, and what changes when its bytes do
_digests: dict[Version, str] = {}


def find_lora(name: str, folder: str | Path | None) -> Path:
    """Return the .safetensors file of the LoRA `name`. Downloads nothing.

    name:   a path below `folder`, with or without `.safetensors` (`style`, `people/ann`), or a folder there with a
        saved adapter; else a hub name (`owner/repo`, `owner/repo/file.safetensors`) that is in the hub's cache.
    Raises: LoraUnusable if there is none, more than one, or the name leaves the folder.
    """
    if not name or name.startswith("/") or "\\" in name or "\0" in name or {"", ".", ".."} & set(name.split("/")):
        raise LoraUnusable(f"LoRA {name!r}: give a name below the farm's LoRA folder, or a hub name owner/repo")
    try:
        found = (_in_folder(name, Path(folder)) if folder is not None else None) or _in_hub_cache(name)
    except OSError as err:  # the name is too long for a file, or the folder may not be read
        raise LoraUnusable(f"LoRA {name[:80]!r}: {err.strerror}", name=name) from err
    if found is not None:
        return found
    raise LoraUnusable(
        f"there is no LoRA {name!r} in the LoRA folder"
        + (f", nor in the hub's cache; fetch it with: framefarm models pull {name}" if name.count("/") else ""),
        name=name,
    )


def lora_at(path: str | Path) -> Path:
    """Return the .safetensors file at a path: the file, or the one in a folder with a saved adapter.

    Raises: LoraUnusable if there is none, or more than one.
    """
    found = _in_folder(Path(path).name, Path(path).parent)
    if found is None:
        raise LoraUnusable(f"there is no LoRA at {path}: need a .safetensors file, or the folder of a saved adapter")
    return found


def list_loras(folder: str | Path) -> list[str]:
    """Return the names that `find_lora` knows in `folder`, sorted."""
    root = Path(folder)
    return sorted(str(path.relative_to(root).with_suffix("")) for path in root.rglob("*.safetensors"))


def lora_digest(path: Path) -> str:
    """Return the sha256 of the file, together with PEFT's config if one lies beside it: its alpha scales the weights.

    The digest is cached until the file changes.
    """
    version = _version(path)
    if version not in _digests:
        digest = hashlib.sha256()
        for part in _parts(path):
            with part.open("rb") as file:
                while chunk := file.read(1 << 20):
                    digest.update(chunk)
        while len(_digests) >= _MOST_DIGESTS:
            _digests.pop(next(iter(_digests)), None)
        _digests[version] = digest.hexdigest()
    return _digests[version]


def known_digest(path: Path) -> str | None:
    """Return `lora_digest` if it needs no reading; None otherwise."""
    return _digests.get(_version(path))


def _version(path: Path) -> Version:
    stats = (part.stat() for part in _parts(path))
    return path, tuple((stat.st_size, stat.st_mtime_ns, stat.st_ino) for stat in stats)


def _parts(path: Path) -> list[Path]:
    config = path.with_name(PEFT_CONFIG)
    return [path, config] if path.name == USUAL_NAMES[1] and config.is_file() else [path]


def _the_one(folder: Path, name: str) -> Path:
    files = sorted(folder.glob("*.safetensors"))
    usual = [file for file in files if file.name in USUAL_NAMES]
    chosen = usual if len(usual) == 1 else files
    if len(chosen) != 1:
        names = ", ".join(f"{name}/{file.name}" for file in files) or "no .safetensors file"
        raise LoraUnusable(f"LoRA {name!r} is a folder with {names}; name one file", name=name)
    return chosen[0]


def _in_folder(name: str, folder: Path) -> Path | None:
    for path in (folder / name, folder / f"{name}.safetensors"):
        if path.is_file() and path.suffix == ".safetensors":
            return path
        if path.is_dir():
            return _the_one(path, name)
    return None


def _in_hub_cache(name: str) -> Path | None:
    """Return the file in a snapshot that was pulled before, or None."""
    if "/" not in name:
        return None
    import huggingface_hub
    from huggingface_hub import errors

    owner, repo, *rest = name.split("/")
    try:
        snapshot = Path(huggingface_hub.snapshot_download(f"{owner}/{repo}", local_files_only=True))
    except (errors.LocalEntryNotFoundError, errors.HFValidationError):
        return None
    if not rest:
        return _the_one(snapshot, name)
    path = snapshot.joinpath(*rest)
    return path if path.is_file() and path.suffix == ".safetensors" else None
