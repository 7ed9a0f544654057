"""The build of a farm: what a machine that joins must have in common with it. Loads no Ray."""

from __future__ import annotations

import hashlib
import json
import platform
from importlib.metadata import version
from typing import Any, NamedTuple, get_args

from pydantic import BaseModel

from farm.contract import Failure, Order, Progress, Verdict, WorkerCard
from farm.ledger.states import Event
from farm.settings import FarmSettings

_SENT = (WorkerCard, Order, Verdict, Progress, Failure, Event, FarmSettings)


class Build(NamedTuple):
    """The software of a farm on one machine. Builds with one wire number understand each other."""

    version: str = "of before 0.1.0"
    wire: int = 0
    ray: str = ""
    python: str = ""

    def __str__(self) -> str:
        """Return the version and the wire number as people see them."""
        return f"framepack-farm {self.version} (wire {self.wire})"


def own_build() -> Build:
    """Return the build of this machine."""
    return Build(version("framepack-farm"), wire_number(), version("ray"), platform.python_version())


def mismatch(farm: Build, here: Build) -> str | None:
    """Return why a machine with the build `here` cannot join, and the command that mends it; None: it can."""
    if farm.wire != here.wire:
        cure = "bring both checkouts to one commit: git pull && make env; then start the farm again"
        return f"the farm runs {farm}, this machine {here}; {cure}"
    if farm.ray != here.ray:
        return f"the farm runs Ray {farm.ray}, this machine {here.ray}; run here: pip install 'ray[serve]=={farm.ray}'"
    wanted = _minor(farm.python)
    if wanted != _minor(here.python):
        cure = f"make the environment here with Python {wanted}: make PYTHON3=python{wanted} env"
        return f"the farm runs Python {farm.python}, this machine {here.python}; {cure}"
    return None


def wire_number() -> int:
    """Return a number that changes with the fields of what dispatcher, workers and ledger exchange."""
    forms = dict[str, list[str]]()
    for kind in _SENT:
        _describe(kind, forms)
    return int.from_bytes(hashlib.sha256(json.dumps(forms, sort_keys=True).encode()).digest()[:3])


def _describe(kind: Any, forms: dict[str, list[str]]) -> None:
    """Note the fields of a model and of the models in them, and the words of each Literal.

    The types themselves stay out: Python and pydantic may print them otherwise on another machine.
    """
    inner = get_args(kind)
    if isinstance(kind, str):
        forms[f"word {kind}"] = []
    elif isinstance(kind, type) and issubclass(kind, BaseModel) and kind.__name__ not in forms:
        forms[kind.__name__] = sorted(kind.model_fields)
        inner = tuple(field.annotation for field in kind.model_fields.values())
    for part in inner:
        _describe(part, forms)


def _minor(python: str) -> str:
    return ".".join(python.split(".")[:2])
