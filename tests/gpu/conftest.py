"""Fixtures for the tests of a GPU. They need torch, diffusers and pytest, and none of the farm's packages.

tests/gpu/bare.ini keeps tests/conftest.py out, so these tests run on a machine that has only the engine's packages.
"""

from __future__ import annotations

from framepack_engine.environment import prepare_process
from tests.engine_fixtures import one_thread, photo, tiny_cache, tiny_models

__all__ = ["one_thread", "photo", "tiny_cache", "tiny_models"]

prepare_process()  # before any test loads torch
