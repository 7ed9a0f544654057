"""The models a farm can render: the engine's, and its own of FARM_MODELS; and how much of each is here."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from farm.errors import ConfigError
from farm.settings import FarmSettings
from framepack_engine.catalog import TINY_VERSION, ModelEntry, known_models
from framepack_engine.errors import ModelUnavailable


def own_models(text: str) -> Mapping[str, ModelEntry]:
    """The catalogue with the models that `text` (FARM_MODELS) lists. Raises: ConfigError naming what is wrong there."""
    try:
        return known_models(text)
    except ModelUnavailable as err:
        raise ConfigError(f"FARM_MODELS: {err}") from err


def state_of(entry: ModelEntry, settings: FarmSettings) -> str:
    """complete, partial or none: how much of a model lies on this machine."""
    from framepack_engine.locate import hub_folders, missing_files

    if entry.origin == "made":
        return "complete" if Path(settings.cache, f"tiny-v{TINY_VERSION}").is_dir() else "made when used"
    if entry.origin in {"local", "shipped"}:
        return "complete" if Path(entry.path).exists() else "none"
    lacks = [bool(list(missing_files(part, folder))) for part, folder in hub_folders(entry.parts).items()]
    return "partial" if any(lacks) and not all(lacks) else "none" if any(lacks) else "complete"
