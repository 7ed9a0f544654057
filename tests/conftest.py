"""Fixtures that several rooms share."""

from __future__ import annotations

import gc
import io
import os
from pathlib import Path

import hypothesis
import pytest
from PIL import Image

from framepack_engine.environment import prepare_process
from tests.engine_fixtures import one_thread, photo, tiny_cache, tiny_models

__all__ = ["one_thread", "photo", "tiny_cache", "tiny_models"]

os.environ["FARM_CLOUD"] = "none"  # the tests ask no metadata service but their own
os.environ.setdefault("OMP_NUM_THREADS", "1")  # two sides share two cores; threads that wait for each other spin
# No example has a deadline, and none is too slow: how long one takes says how busy the machine is.
hypothesis.settings.register_profile("patient", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.load_profile("patient")
prepare_process()  # before any test loads torch; every process that a test starts inherits it


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> object:
    """Keep a file's tests on one side (`-n`). Farms follow each other on one side; the page's may be on the other."""
    from xdist.scheduler import LoadScopeScheduling

    class ByFile(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            path = nodeid.partition("::")[0]
            sides = (side for side in ("tests/acceptance/page/", "tests/acceptance/") if path.startswith(side))
            return next(sides, path)

    return ByFile(config, log)


_SEEN = set[Path]()  #: files whose tests have begun


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Before a file's first test, leave all that is alive out of garbage collection.

    The engine collects garbage whenever weights move. Beside thousands of tests, which never die, that takes a second.
    """
    if item.path not in _SEEN:
        _SEEN.add(item.path)
        gc.collect()
        gc.freeze()


def pytest_unconfigure() -> None:
    """Let the interpreter take everything apart as it ends."""
    gc.unfreeze()


@pytest.fixture
def png() -> bytes:
    """A small picture."""
    data = io.BytesIO()
    Image.new("RGB", (64, 64), "teal").save(data, "PNG")
    return data.getvalue()
