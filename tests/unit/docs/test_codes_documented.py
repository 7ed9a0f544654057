"""The page of the HTTP API lists every code that an answer can have."""

from __future__ import annotations

import re
from collections.abc import Iterator

from farm.errors import ConfigError, FarmError, LeaseLost, Stopped
from farm.ingress.problems import _CODES
from framefarm_client import VideoFailed
from tests.imports import ROOT

_INSIDE = {ConfigError, LeaseLost, Stopped, VideoFailed}  #: no answer has these
_MODULES = {"farm.errors", "framefarm_client.errors"}


def kinds(of: type[FarmError] = FarmError) -> Iterator[type[FarmError]]:
    """Yield an error and all that derive from it."""
    yield of
    for kind in of.__subclasses__():
        yield from kinds(kind)


def test_every_code_is_listed_with_its_status() -> None:
    """Programs branch on the code."""
    page = (ROOT / "docs" / "reference" / "http.md").read_text()
    listed = {(code, int(status)) for code, status in re.findall(r"^\| `(\w+)` \| (\d{3}) \|", page, re.MULTILINE)}
    raised = {(kind.code, kind.status) for kind in kinds() if kind.__module__ in _MODULES and kind not in _INSIDE}
    assert listed == raised | {(code, status) for status, code in _CODES.items()}
