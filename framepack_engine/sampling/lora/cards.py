"""Describe LoRAs to people before they use them. Reads heads of files only; loads no torch."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from framepack_engine.sampling.lora.files import ROLES, find_lora

NOTES, PICTURES = (".txt", ".md"), (".png", ".jpg", ".webp")  #: of the files beside NAME.safetensors
_HEAD_BYTES = 100_000_000  #: of a safetensors header, by the format's own limit
_NOTE_BYTES = 16_384
_WORDS = 5
#: where trainers write the words that call the LoRA, and what it was made for
_TRIGGERS = ("modelspec.trigger_phrase", "trigger_words", "trigger_word", "ss_trigger_words")
_BASES = ("modelspec.architecture", "ss_base_model_version", "base_model", "ss_sd_model_name")


@dataclass(frozen=True, slots=True, kw_only=True)
class LoraFacts:
    """The facts in a LoRA's file. widths: numbers of inputs and outputs of the layers that it acts on."""

    widths: frozenset[int] = frozenset()
    trigger_words: tuple[str, ...] = ()
    base_model: str | None = None
    fault: str | None = None


def lora_facts(path: Path) -> LoraFacts:
    """Read the file's head; the answer is kept until the file changes. Raises: OSError."""
    stat = path.stat()
    return _facts(path, (stat.st_size, stat.st_mtime_ns, stat.st_ino))


def note_of(path: Path) -> str | None:
    """Return the text beside the LoRA's file, cut to 16 KB; None if there is none."""
    for suffix in NOTES:
        with suppress(OSError), path.with_suffix(suffix).open("rb") as file:
            return file.read(_NOTE_BYTES).decode(errors="replace").strip() or None
    return None


def picture_of(path: Path) -> Path | None:
    """Return the picture beside the LoRA's file; None if there is none."""
    return next((found for suffix in PICTURES if (found := path.with_suffix(suffix)).is_file()), None)


def picture_version(path: Path) -> str | None:
    """Return a text that changes with the picture beside the LoRA's file; None if there is none."""
    with suppress(OSError):
        if (picture := picture_of(path)) is not None:
            stat = picture.stat()
            text = f"{picture.name} {stat.st_size} {stat.st_mtime_ns} {stat.st_ino}"
            return hashlib.sha256(text.encode()).hexdigest()[:16]
    return None


def lora_path(name: str, folder: str | Path | None) -> Path:
    """Return the file of a name that `list_loras` gave. Raises: LoraUnusable."""
    return find_lora(f"{name}.safetensors", folder)


@lru_cache(maxsize=1024)
def _facts(path: Path, _version: tuple[int, int, int]) -> LoraFacts:
    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            head: Any = json.loads(file.read(length)) if length <= _HEAD_BYTES else None
        told = head.pop("__metadata__", None) or {}
        metadata = {str(key): str(value) for key, value in told.items()}
        shapes = {str(key): tuple(map(int, entry["shape"])) for key, entry in head.items()}
    except (ValueError, AttributeError, KeyError, TypeError, RecursionError):
        return LoraFacts(fault="it is damaged, or is no safetensors file")
    widths = _widths(shapes)
    return LoraFacts(
        widths=widths,
        trigger_words=_trigger_words(metadata),
        base_model=next((metadata[key] for key in _BASES if metadata.get(key)), None),
        fault=None if widths else "it is no LoRA: it has no matrices of a LoRA",
    )


def _widths(shapes: Mapping[str, tuple[int, ...]]) -> frozenset[int]:
    found = set[int]()
    for key, shape in shapes.items():
        role = next((role for end, role in ROLES.items() if key.endswith(end)), None)
        if role in {"down", "up"} and len(shape) == 2:
            found.add(shape[1] if role == "down" else shape[0])
    return frozenset(found)


def _trigger_words(metadata: Mapping[str, str]) -> tuple[str, ...]:
    """Return the words that the trainer named, or else the captions' words that stand at the most pictures."""
    for key in _TRIGGERS:
        if words := [word.strip() for word in metadata.get(key, "").split(",") if word.strip()]:
            return tuple(words[:_WORDS])
    tags = Counter[str]()
    with suppress(ValueError, AttributeError, TypeError, RecursionError):
        for counts in json.loads(metadata.get("ss_tag_frequency", "{}")).values():
            tags.update({str(tag).strip(): int(count) for tag, count in counts.items()})
    most = max(tags.values(), default=0)
    return tuple([tag for tag, count in tags.items() if count == most and tag][:_WORDS])
