"""The arrow points one way, between packages and inside them; files and functions stay short."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

from tests.imports import ROOT, modules_after

MAY_IMPORT: dict[str, set[str]] = {
    "framepack_engine": set(),
    "framefarm_client": set(),
    "farm": {"framefarm_client"},
    "actors": {"farm", "framepack_engine"},
    "lab": {"farm", "framepack_engine"},
    "deploy": {"farm", "framefarm_client", "actors", "framepack_engine", "lab"},
}
#: Inside a package: which rooms (its folders and modules) each room may import; docs/decisions/0099 says why. A module
#: that is not named here lies at the bottom: every room may import it, and it may import only its like.
ROOMS: dict[str, dict[str, set[str]]] = {
    "framepack_engine": {
        "conformance": {"pipeline", "frames", "sampling", "memory", "models", "planning"},
        "pipeline": {"frames", "sampling", "memory", "models", "planning"},
        "frames": {"sampling", "memory", "models", "planning"},
        "sampling": {"memory", "models", "kernels", "planning"},
        "memory": {"models", "kernels", "planning"},
        "models": {"kernels", "planning"},
        "kernels": set(),
        "planning": set(),
    },
    "farm": {
        "ingress": {"intake", "transfer", "webhooks", "dispatch", "jobs", "ledger", "store"},
        "transfer": {"intake", "jobs", "ledger", "store"},
        "intake": {"jobs", "ledger", "store"},
        "webhooks": {"jobs", "ledger", "store"},
        "dispatch": {"jobs", "ledger", "store"},
        "jobs": {"ledger", "store"},
        "ledger": {"store"},
        "store": set(),
    },
}
#: Third parties that a package never imports, not even late.
NEVER = {
    "framepack_engine": {"ray", "fastapi", "starlette", "httpx", "typer"},
    "framefarm_client": {"torch", "diffusers", "transformers", "ray", "fastapi", "starlette", "typer", "tenacity"},
    "farm": {"torch", "diffusers", "transformers", "ray"},
    "actors": {"fastapi", "starlette", "typer"},
    "lab": {"ray", "fastapi", "starlette", "typer"},
    "deploy": set(),
}
FORBIDDEN_NAMES = {"utils", "util", "helpers", "common", "base", "misc"}
SOURCES = [path.relative_to(ROOT) for package in MAY_IMPORT for path in sorted((ROOT / package).rglob("*.py"))]
TESTS = [path.relative_to(ROOT) for path in sorted((ROOT / "tests").rglob("*.py"))]


@cache
def nodes(path: Path) -> list[ast.AST]:
    """Every node of a file's syntax tree."""
    return [*ast.walk(ast.parse((ROOT / path).read_text()))]


def imported(path: Path) -> Iterator[str]:
    """Full names of all that a module imports, whether at its top or late."""
    for node in nodes(path):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
            yield node.module


def module_of(path: Path) -> str:
    """The dotted name of a source file."""
    return ".".join(path.with_suffix("").parts).removesuffix(".__init__")


MODULES = {module_of(path): path for path in SOURCES}


def imported_modules(module: str) -> set[str]:
    """Our own modules that `module` imports: at its top, late, or for types alone."""
    found = set[str]()
    for node in nodes(MODULES[module]):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {name if name in MODULES else node.module for name in names}
    return (found & MODULES.keys()) - {module}


@pytest.mark.parametrize("package", ROOMS)
def test_imports_inside_a_package_follow_the_arrow(package: str) -> None:
    """A room imports only the rooms below it, types and late imports counted."""
    rooms = ROOMS[package]
    folders = {path.parts[1] for path in SOURCES if path.parts[0] == package and len(path.parts) > 2}
    assert folders - {"pocket"} <= rooms.keys()
    wrong = [
        f"{module} -> {other}"
        for module in MODULES
        if module.startswith(f"{package}.")
        for other in imported_modules(module)
        if other.startswith(f"{package}.")
        and (above := module.split(".")[1]) != (below := other.split(".")[1])
        and below in rooms
        and below not in rooms.get(above, set())
    ]
    assert not wrong


def test_no_modules_import_each_other_in_a_circle() -> None:
    """Every package can be read from its bottom to its top; a circle raises CycleError, which names it."""
    assert set(TopologicalSorter({module: imported_modules(module) for module in MODULES}).static_order()) == set(
        MODULES
    )


def test_imports_follow_the_arrow() -> None:
    """No module imports a package of ours, or a third party, that its own package may not know."""
    wrong = dict[Path, set[str]]()
    for path in SOURCES:
        own, roots = path.parts[0], {name.split(".")[0] for name in imported(path)}
        if found := (roots & MAY_IMPORT.keys()) - MAY_IMPORT[own] - {own} | roots & NEVER[own]:
            wrong[path] = found
    assert wrong == {}


def test_a_file_is_one_noun_and_at_most_500_lines() -> None:
    """A file that outgrows ten screens, or is named for nothing in particular, is to be split."""
    files = SOURCES + TESTS
    assert [path for path in files if len((ROOT / path).read_text().splitlines()) > 500] == []
    assert [path for path in files if FORBIDDEN_NAMES & {part.removesuffix(".py") for part in path.parts}] == []


def test_a_function_is_at_most_60_lines() -> None:
    """A function fits on one screen, its docstring included."""
    long = {
        (path, node.name): lines
        for path in SOURCES
        for node in nodes(path)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (lines := (node.end_lineno or node.lineno) - node.lineno + 1) > 60
    }
    assert long == {}


def test_farm_loads_neither_torch_nor_ray() -> None:
    """The whole of farm/ runs on a machine that renders nothing."""
    assert not {"torch", "ray", "diffusers", "transformers"} & modules_after(
        "import " + ", ".join(module for module in MODULES if module.split(".")[0] == "farm")
    )


def test_the_command_line_loads_neither_torch_nor_ray() -> None:
    """`framefarm --help`, `list` or `fetch` do not wait for torch or Ray."""
    assert not {"torch", "ray", "diffusers", "transformers"} & modules_after("import deploy.cli")


def test_planning_loads_no_torch() -> None:
    """The lengths, sizes and memory plans of a video, and the table of models, are known without torch."""
    planning = [module for module in MODULES if module.startswith("framepack_engine.planning")]
    code = "import " + ", ".join([*planning, "framepack_engine.models.catalog", "framepack_engine.memory.plan_book"])
    assert not {"torch", "diffusers", "transformers"} & modules_after(code)


def test_help_is_there() -> None:
    """`framefarm --help` names the commands and exits with 0."""
    code = "import sys; from deploy.cli import main; sys.exit(main(['--help']))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for command in ("render", "up", "submit", "list", "show", "watch", "fetch", "cancel", "conformance"):
        assert command in done.stdout
