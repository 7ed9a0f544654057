"""The farm's settings, with the engine's words for those that choose how a worker computes. Loads no torch."""

from __future__ import annotations

from typing import Annotated, Any

from farm.contract import AUTO
from farm.setting_types import one_of
from farm.settings import FarmSettings
from framepack_engine.planning.choices import ATTENTIONS, KERNELS, PRECISIONS


def _same(name: str) -> Any:
    return FarmSettings.model_fields[name]


class Settings(FarmSettings):
    """FarmSettings that reject what the engine cannot do."""

    precision: Annotated[str, one_of(*PRECISIONS)] = _same("precision")
    kernels: Annotated[str, one_of(*KERNELS)] = _same("kernels")
    attention: Annotated[str, one_of(AUTO, *ATTENTIONS)] = _same("attention")
