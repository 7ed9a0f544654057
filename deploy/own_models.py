"""The models a farm can render: the engine's, and its own of FARM_MODELS."""

from __future__ import annotations

from collections.abc import Mapping

from farm.errors import ConfigError
from framepack_engine.catalog import ModelEntry, known_models
from framepack_engine.errors import ModelUnavailable


def own_models(text: str) -> Mapping[str, ModelEntry]:
    """The catalogue with the models that `text` (FARM_MODELS) lists. Raises: ConfigError naming what is wrong there."""
    try:
        return known_models(text)
    except ModelUnavailable as err:
        raise ConfigError(f"FARM_MODELS: {err}") from err
