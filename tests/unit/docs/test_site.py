"""The documentation's site: it builds without a warning and without a network, and its generated pages are whole."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import pytest

from deploy.cli import COMMANDS
from farm.request import VideoRequest
from farm.settings import FarmSettings
from tests.imports import ROOT

_LOADED = re.compile(r"<(?:script|img|iframe|source|link)\b[^>]*?\b(?:src|href)=[\"']?(?:https?:)?//[^\"'\s>]+")


@pytest.fixture(scope="module")
def generated() -> Any:
    """docs/generated.py, which mkdocs loads by its path."""
    spec = spec_from_file_location("generated", ROOT / "docs" / "generated.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_site_builds_and_names_no_other_host(tmp_path: Path) -> None:
    """`make docs` in strict mode; no page loads a script, a style, a font or a picture from elsewhere."""
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path / "site")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    pages = sorted((tmp_path / "site").rglob("*.html"))
    assert len(pages) > 70
    assert {page.name: hosts for page in pages if (hosts := _LOADED.findall(page.read_text()))} == {}
    styles = "".join(path.read_text() for path in (tmp_path / "site").rglob("*.css"))
    assert not re.findall(r"(?:url\(|@import )[\"']?(?:https?:)?//", styles)


def test_the_command_line_page_has_every_command(generated: Any) -> None:
    """Every command has its section, with its flags."""
    page = generated.command_line()
    assert re.findall(r"^## `framefarm ([a-z]+)`$", page, re.MULTILINE) == list(COMMANDS)
    assert "`--prompt" in page


def test_the_settings_page_has_every_setting_with_its_default(generated: Any) -> None:
    """Every FARM_ variable has a row with its true default and a meaning."""
    rows = {
        name: (default, meaning)
        for name, default, meaning in re.findall(r"\| `(FARM_\w+)` \| (.+?) \| (.*) \|", generated.settings())
    }
    assert rows.keys() == {f"FARM_{name.upper()}" for name in FarmSettings.model_fields}
    assert all(meaning for _, meaning in rows.values())
    assert rows["FARM_LEASE_S"][0] == "`30.0`"
    assert rows["FARM_API_KEYS"][0] == "unset"


def test_the_fields_page_has_every_field(generated: Any) -> None:
    """Every field of a request has a row with its default, its limits and a meaning."""
    rows = re.findall(r"^\| `(\w+)` \| (.+?) \| (.*?) \| (.+) \|$", generated.request_fields(), re.MULTILINE)
    assert [name for name, *_ in rows] == list(VideoRequest.model_fields)
    assert {"at least 0, at most 51", "`grey`, `noise`"} <= {limits for _, _, limits, _ in rows}


def test_every_decision_is_listed(generated: Any) -> None:
    """The list links each file of docs/decisions, by its number and title."""
    linked = re.findall(r"\[(\d{4}): .+\]\((\d{4}-[\w-]+\.md)\)", generated.decisions())
    assert [name for _, name in linked] == sorted(path.name for path in (ROOT / "docs" / "decisions").glob("0*.md"))
    assert all(name.startswith(number) for number, name in linked)


def test_the_architecture_page_has_a_line_for_each_folder() -> None:
    """Every folder with code in it has a row, and no row names a folder that does not exist."""
    page = (ROOT / "docs" / "explanation" / "architecture.md").read_text()
    named = re.findall(r"^\| `([\w/]+)/` \|", page, re.MULTILINE)
    packages = ("actors", "deploy", "farm", "framepack_engine", "lab")
    folders = {path.parent.relative_to(ROOT) for name in packages for path in (ROOT / name).rglob("*.py")}
    assert {str(folder) for folder in folders} <= set(named)
    assert [name for name in named if not (ROOT / name).is_dir()] == []
