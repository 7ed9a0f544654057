"""How a video was made: written into the mp4's metadata, and read back. Loads no torch."""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from framepack_engine.errors import VideoMismatch
from framepack_engine.models.catalog import MODELS, TINY_VERSION
from framepack_engine.planning.spec import RenderSpec

TAG = "framefarm"  #: the metadata's name in the mp4
FORMAT = 1  #: rises when readers of older versions would misread it
_PACKAGES = ("framepack-farm", "torch", "diffusers", "transformers", "av")
_TITLE_CHARS = 80


def provenance(spec: RenderSpec, *, model: str, numeric_class: str, **more: object) -> dict[str, Any]:
    """Gather everything that decides a video's bits: spec and seed, model and revisions, numeric class, versions.

    more: further facts, plain data. The result names no path and no address of this machine.
    """
    return {
        "format": FORMAT,
        "model": model_facts(model),
        "spec": asdict(spec),
        "numeric_class": numeric_class,
        "versions": versions(),
        **more,
    }


def model_facts(name: str) -> dict[str, Any]:
    """Return a model's name, its origin, and repository -> revision."""
    entry = MODELS.get(name)
    if entry is None:
        return {"name": name, "origin": "local"}
    if entry.origin == "made":
        return {"name": name, "origin": entry.origin, "revisions": {"tiny": TINY_VERSION}}
    if entry.origin == "shipped":
        return {"name": name, "origin": entry.origin, "revisions": {"pocket": entry.parts["transformer"].revision}}
    revisions = {part.repo: part.revision for part in entry.parts.values()}
    return {"name": name, "origin": entry.origin, "revisions": revisions}


def versions() -> dict[str, str]:
    """Return package -> version of Python and of the packages that compute."""
    found = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:  # a checkout on PYTHONPATH is not installed
            continue
    return found


def tags(facts: Mapping[str, Any], *, title: str) -> dict[str, str]:
    """Return `facts` as the metadata of an mp4, for `video.join_clips`."""
    return {"title": title[:_TITLE_CHARS], TAG: json.dumps(facts, ensure_ascii=False, sort_keys=True)}


def read_provenance(path: Path) -> dict[str, Any]:
    """Read what `tags` wrote into the mp4 at `path`; empty if the mp4 is not one of ours.

    Raises: VideoMismatch if it is no video.
    """
    from framepack_engine.frames.source import metadata_of

    return facts_in(metadata_of(path))


def facts_in(metadata: Mapping[str, str]) -> dict[str, Any]:
    """Read what `tags` wrote among the metadata of an mp4; empty if it has none. Raises: VideoMismatch."""
    try:
        facts = json.loads(metadata.get(TAG, "{}"))
    except (ValueError, RecursionError) as err:
        raise VideoMismatch(f"the metadata {TAG!r} is damaged: {err}") from err
    return facts if isinstance(facts, dict) else {}
