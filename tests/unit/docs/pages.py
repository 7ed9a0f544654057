"""The pages that people read to use the farm: README.md, CONTRIBUTING.md and docs/, without the decisions."""

from __future__ import annotations

from tests.imports import ROOT

DOCS = ROOT / "docs"
PAGES = [
    *(path for name in ("README.md", "CONTRIBUTING.md") if (path := ROOT / name).exists()),
    *(path for path in sorted(DOCS.rglob("*.md")) if "decisions" not in path.parts),
]
