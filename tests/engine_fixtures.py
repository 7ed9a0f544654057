"""Fixtures that need no more than the engine: the tiny model, made once a session, a thread and a photo."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from framepack_engine.models.shelf import Models


@pytest.fixture(scope="session")
def tiny_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache folder that holds the tiny models: what FARM_CACHE or `cache_dir` may point at. Leave it unchanged."""
    from framepack_engine.models.tiny import ensure_tiny
    from framepack_engine.models.weights import quiet

    cache = tmp_path_factory.mktemp("cache")
    with quiet():
        ensure_tiny(cache)
    return cache


@pytest.fixture(scope="session")
def tiny_models(tiny_cache: Path) -> Models:
    """The i2v model `tiny`, loaded in float32 on the CPU."""
    from framepack_engine.models.shelf import load_models

    return load_models("tiny", cache_dir=tiny_cache)


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """Torch computes on one thread: on shared cores more wait for each other, and they belong to the numeric class."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def photo() -> Path:
    """A real photo, 451x300 px: examples/cat.jpg."""
    return Path(__file__).parents[1] / "examples" / "cat.jpg"
