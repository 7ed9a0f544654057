"""List the modules that a fresh interpreter has loaded, for tests of modules that must not be."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def modules_after(code: str) -> set[str]:
    """Return the root packages that a fresh interpreter has loaded once it has run `code`."""
    return {name.split(".")[0] for name in all_modules_after(code)}


def all_modules_after(code: str) -> set[str]:
    """Return the full names of all modules that a fresh interpreter has loaded once it has run `code`."""
    report = "; import sys; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code + report], cwd=ROOT, capture_output=True, text=True, check=True)
    return set(done.stdout.split())
