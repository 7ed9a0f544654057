"""One farm that tests share: two workers on the CPU, started once a session (15 s), for tests that do not break it.

A test may use it as it is: videos are its own, other tests' are there too. Whoever kills a worker or the dispatcher, or
needs settings, starts its own with tests.farm_process.running_farm. Killing the ingress is fine: it comes back.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from tests.farm_process import FarmProcess, running_farm


@pytest.fixture(scope="session")
def shared_farm(tmp_path_factory: pytest.TempPathFactory, tiny_cache: Path) -> Iterator[FarmProcess]:
    """A farm with two workers, whose default model is `tiny`."""
    with running_farm(tmp_path_factory.mktemp("shared-farm") / "storage", cache=tiny_cache, workers=2) as farm:
        yield farm


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    """A small picture with some structure, as a file."""
    data = io.BytesIO()
    Image.radial_gradient("L").convert("RGB").resize((64, 64)).save(data, "PNG")
    path = tmp_path / "cat.png"
    path.write_bytes(data.getvalue())
    return path
