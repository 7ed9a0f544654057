"""The house rules of CONTRIBUTING.md that a program can check: forbidden words, and the length of lines."""

from __future__ import annotations

import io
import re
import tokenize
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from tests.imports import ROOT

MOST_CHARACTERS = 120
README_LINES = 120
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "examples").glob("*.md")])
MODULES = [
    module
    for package in ("actors", "clients", "deploy", "docs", "farm", "framepack_engine", "lab", "tests")
    for module in sorted((ROOT / package).rglob("*.py"))
]
#: what the rules themselves quote
QUOTED = re.compile(r"\"[^\"]*\"|`[^`]*`")
FORBIDDEN = re.compile(
    r"\b(?:whoever|whatever|whomever|whichever way|anew|to be had|as it is said)\b"
    r"|(?:^[-*\s]*|[.!?|]\s+\**)(?-i:Whose|Who|What)\b(?![^.!?|]*\?)",
    re.IGNORECASE | re.MULTILINE,
)


def prose(text: str) -> str:
    """Return Markdown without its code, its quotations, and the examples of the house rules."""
    text = re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)
    text = re.sub(r"^\| instead of \|.*?\n\n", "", text, flags=re.DOTALL | re.MULTILINE)
    return QUOTED.sub("", text)


def remarks(source: str) -> str:
    """Return the comments and docstrings of a Python file, each on lines of its own."""
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    found = [
        token.string.strip('#: "')
        for token in tokens
        if token.type == tokenize.COMMENT or (token.type == tokenize.STRING and token.string.startswith('"""'))
    ]
    return prose("\n".join(found))


def overlong(text: str) -> list[str]:
    """Return the lines that are too long and could break: not in code, not in a table, not one link or code span."""
    text = re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)
    lines = [
        line for line in text.splitlines() if len(line) > MOST_CHARACTERS and not line.startswith(("|", "#", "    "))
    ]
    return [line for line in lines if len(re.sub(r"`[^`]*`|\]\([^)]*\)|!\[[^\]]*\]", "", line).split()) > 3]


def faults(paths: Iterable[Path], look: Callable[[Path, str], list[str]]) -> dict[str, list[str]]:
    """Return what `look` finds in each file, where it finds something."""
    found = {str(path.relative_to(ROOT)): look(path, path.read_text(encoding="utf-8")) for path in paths}
    return {name: each for name, each in found.items() if each}


def test_pages_keep_the_house_rules() -> None:
    """No forbidden word, and no line of prose over 120 characters."""
    assert faults(PAGES, lambda _, text: FORBIDDEN.findall(prose(text)) + overlong(text)) == {}


def test_pages_link_to_files_that_are_here() -> None:
    """A reader of the folder finds what the site has, also the pages that the site generates."""

    def broken(page: Path, text: str) -> list[str]:
        text = re.sub(r"```.*?```|`[^`]*`", "", text, flags=re.DOTALL)
        links = re.findall(r"\]\(\s*([^)#\s]+)", text)
        return [link for link in links if "://" not in link and not (page.parent / link).exists()]

    assert faults(PAGES, broken) == {}


def test_modules_keep_the_house_rules() -> None:
    """No forbidden word in a comment or a docstring."""
    assert faults(MODULES, lambda _, text: FORBIDDEN.findall(remarks(text))) == {}


def test_the_readme_is_short() -> None:
    """README.md has at most 120 lines."""
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= README_LINES


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Whoever asks is answered.", 1),
        ("The farm begins anew.", 1),
        ("It ends. Whose lease is gone stops.", 1),
        ("The farm ends. What it made stays.", 1),
        ('No "whoever".', 0),
        ("The farm answers every caller.", 0),
    ],
)
def test_the_lint_finds_what_it_must(text: str, found: int) -> None:
    """Forbidden words count, quoted ones and questions do not."""
    assert len(FORBIDDEN.findall(prose(text))) == found
