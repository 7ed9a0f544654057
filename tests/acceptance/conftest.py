"""Fixtures that several files share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.images.build import build_images, skip_without_images
from tests.images.machine import Machine, machine


@pytest.fixture(scope="module")
def box(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """A machine with the images."""
    skip_without_images()
    build_images()
    with machine(tmp_path_factory.mktemp("images")) as box:
        yield box
