"""Things that the pages name exist: commands and flags, files, classes and functions, tests."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from deploy.cli import COMMANDS, load_command
from tests.imports import ROOT
from tests.unit.docs.pages import PAGES

#: a command with what follows on its line, up to what ends a command in a shell or in running text
_CALL = re.compile(r"framefarm ([a-z]+)((?: [^`|;&#\n)]*)?)")
_FILE = re.compile(r"`((?:actors|deploy|docs|examples|farm|framepack_engine|lab|tests)/[\w/.-]+\.[a-z]+)`")
_NAME = re.compile(r"`((?:actors|deploy|farm|framepack_engine|lab)(?:\.\w+)+)`")
_TEST = re.compile(r"(tests/[\w/]+\.py)::(\w+)")


@cache
def flags(name: str) -> frozenset[str]:
    """All flags of a command and of its subcommands."""

    def of(command: Any) -> set[str]:
        own = {flag for each in command.params for flag in (*each.opts, *each.secondary_opts)}
        return own.union(*(of(each) for each in getattr(command, "commands", {}).values()))

    return frozenset(of(load_command(name))) | {"--help", "-h", "--version"}


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_each_command_and_flag_exists(path: Path) -> None:
    """`framefarm NAME --flag`: NAME is a command, and it has the flag."""
    for name, rest in _CALL.findall(path.read_text()):
        assert name in COMMANDS, f"framefarm {name}"
        for flag in re.findall(r"(?<!\S)--?[a-z][a-z-]*", rest):
            assert flag in flags(name), f"framefarm {name} … {flag}"


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_each_test_that_is_named_exists(path: Path) -> None:
    """`tests/…::test_…`: the file has a test of that name."""
    for file, name in _TEST.findall(path.read_text()):
        tree = ast.parse((ROOT / file).read_text())
        assert name in {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}, f"{file}::{name}"


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_each_file_and_name_exists(path: Path) -> None:
    """`farm/contract.py` is a file; `farm.contract.Job` is defined in that module."""
    text = path.read_text()
    assert [file for file in _FILE.findall(text) if "NNNN" not in file and not (ROOT / file).exists()] == []
    assert [name for name in _NAME.findall(text) if not defined(name)] == []


def defined(name: str) -> bool:
    """Return whether a dotted name is a file or a module, or a name that occurs in the module before its last dot."""
    parts = name.split(".")
    for count in range(len(parts), 0, -1):
        home = ROOT.joinpath(*parts[:count])
        for file in (home, home.with_suffix(".py"), home / "__init__.py"):
            if file.is_file():
                return all(re.search(rf"\b{part}\b", file.read_text()) for part in parts[count:])
    return False
