"""The environment of the farms that tests start: nothing of this machine's user, and no cloud."""

from __future__ import annotations

import os


def clean_env(*prefixes: str) -> dict[str, str]:
    """Return this process's environment without FARM_*, RAY_* and what begins with `prefixes`; no farm asks a cloud."""
    ours = ("FARM_", "RAY_", *prefixes)
    return {name: value for name, value in os.environ.items() if not name.startswith(ours)} | {"FARM_CLOUD": "none"}
