"""The Python of the client's pages, run as it stands there, against a farm whose worker is a hand."""

from __future__ import annotations

import contextlib
import re
import shutil
import textwrap
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.imports import ROOT
from tests.unit.conftest import Hand

_PAGES = [
    *(path for path in sorted((ROOT / "docs").rglob("*.md")) if "from farm.client import" in path.read_text()),
    ROOT / "clients/python/README.md",
]
_BLOCK = re.compile(r"^( *)```python\n(.*?)^ *```", re.DOTALL | re.MULTILINE)


def examples(page: Path) -> list[str]:
    """The blocks of a page that use the client."""
    blocks = [textwrap.dedent(code) for _, code in _BLOCK.findall(page.read_text())]
    return [code for code in blocks if "farm.client" in code or "framefarm_client" in code]


@contextlib.contextmanager
def worker(hand: Hand, url: str, *, after_an_edit: bool) -> Iterator[None]:
    """A worker by hand that does all orders; after_an_edit: it begins once a video was edited."""
    stop = threading.Event()

    def work() -> None:
        with httpx.Client(base_url=url) as http:
            while after_an_edit and not stop.is_set():
                if any(video["edits"] for video in http.get("/v1/videos").json()["data"]):
                    break
                time.sleep(0.05)
        while not stop.is_set():
            hand.finish()
            time.sleep(0.01)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


@pytest.mark.parametrize(
    "code",
    [pytest.param(code, id=f"{page.stem}-{number}") for page in _PAGES for number, code in enumerate(examples(page))],
)
def test_each_example_runs(
    code: str, farm_url: str, hand: Hand, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Word for word; FARM_URL, or the address in its place, leads to the test's farm."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").mkdir()
    (tmp_path / "out").mkdir()
    for name in ("cat.jpg", "photos/1.jpg", "photos/2.jpg"):
        shutil.copy(ROOT / "examples/cat.jpg", tmp_path / name)
    program = compile(code.replace("http://127.0.0.1:8000", farm_url), "example", "exec")
    with worker(hand, farm_url, after_an_edit=".edit(" in code):
        exec(program, {"__name__": "__main__"})


def test_each_page_has_an_example() -> None:
    """A page whose blocks are not recognized would be tested no more."""
    found = {page.name: len(examples(page)) for page in _PAGES}
    assert all(found.values()), found
    assert sum(found.values()) >= 7, found
