"""The environment of the farms that tests start: nothing of this machine's user, no cloud and no extras."""

from __future__ import annotations

import os

from tests.imports import ROOT


def clean_env(*prefixes: str) -> dict[str, str]:
    """Return this process's environment without FARM_*, RAY_* and what begins with `prefixes`; no farm asks a cloud."""
    ours = ("FARM_", "RAY_", *prefixes)
    env = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    return env | {"FARM_CLOUD": "none", "PYTHONPATH": f"{ROOT}/tests/without_extras:{ROOT}"}
