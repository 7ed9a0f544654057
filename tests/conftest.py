"""Fixtures that several rooms share: the tiny model, made once a session."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from PIL import Image

from framepack_engine.environment import prepare_process

if TYPE_CHECKING:
    from framepack_engine.models.shelf import Models

prepare_process()  # before any test loads torch; every process that a test starts inherits it


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> object:
    """Where tests run side by side (`-n`), a file stays together, and no two farms share the machine."""
    from xdist.scheduler import LoadScopeScheduling

    class ByFile(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            path = nodeid.partition("::")[0]
            return "farms" if path.startswith("tests/acceptance/") else path

    return ByFile(config, log)


@pytest.fixture(scope="session")
def tiny_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache folder that holds the tiny models: what FARM_CACHE or `cache_dir` may point at. Leave it unchanged."""
    from framepack_engine.models.shelf import quiet
    from framepack_engine.models.tiny import ensure_tiny

    cache = tmp_path_factory.mktemp("cache")
    with quiet():
        ensure_tiny(cache)
    return cache


@pytest.fixture(scope="session")
def tiny_models(tiny_cache: Path) -> Models:
    """The i2v model `tiny`, loaded in float32 on the CPU."""
    from framepack_engine.models.shelf import load_models

    return load_models("tiny", cache_dir=tiny_cache)


@pytest.fixture
def png() -> bytes:
    """A small picture."""
    data = io.BytesIO()
    Image.new("RGB", (64, 64), "teal").save(data, "PNG")
    return data.getvalue()


@pytest.fixture
def photo() -> Path:
    """A real photo, 451x300 px: examples/cat.jpg."""
    return Path(__file__).parents[1] / "examples" / "cat.jpg"
