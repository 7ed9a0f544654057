"""A worker's requests to the store: each one that waits for another costs a round trip on a far link."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from farm.contract import Order
from farm.ledger import Entry
from farm.store import FolderStore
from framepack_engine import Models, Renderer
from tests.engine_worker import Worker, made
from tests.unit.conftest import Hand

pytestmark = pytest.mark.usefixtures("one_thread")
END = ["list", "get log", "put_if_absent log"]  #: how an order's end is written
CALLS = ("put_if_absent", "get", "list", "existing", "size", "modified", "open_read", "download", "delete")


@pytest.fixture
def asked(hand: Hand, tiny_models: Models, http: TestClient, monkeypatch: pytest.MonkeyPatch) -> dict[str, list[str]]:
    """Order -> what the worker asked of the store, while a small video of two sections was made."""
    asked, now = dict[str, list[str]](), list[str]()

    def counted(name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def count(self: FolderStore, key: str, *args: Any, **kwargs: Any) -> Any:
            if now:
                where = "" if name == "list" else Path(str(key)).parent.name
                asked[now[0]].append(f"{name} {where}".rstrip())
            return call(self, key, *args, **kwargs)

        return count

    for name in CALLS:
        monkeypatch.setattr(FolderStore, name, counted(name, getattr(FolderStore, name)))
    worker = Worker(hand, Renderer(tiny_models))
    run = worker.runner.run

    def watched(order: Order, on_step: Callable[[int], None]) -> Entry:
        now.append(str(order.key))
        asked[now[0]] = []
        try:
            return run(order, on_step)
        finally:
            now.clear()

    monkeypatch.setattr(worker.runner, "run", watched)
    made(http, worker)
    return asked


def test_a_section_costs_five_requests(asked: dict[str, list[str]]) -> None:
    """Its inputs are still in the worker's memory; the first two requests go together. There were six before 0184."""
    sections = [each for order, each in asked.items() if order.startswith("section/")]
    assert len(sections) == 2
    for each in sections:
        assert sorted(each[:2]) == ["put_if_absent previews", "put_if_absent sections"]
        assert each[2:] == END


def test_a_decode_costs_four_requests(asked: dict[str, list[str]]) -> None:
    """Beside the clip it writes one entry, and reads one that a list names."""
    decodes = [each for order, each in asked.items() if order.startswith("decode/")]
    assert decodes
    for each in decodes:
        assert each == ["put_if_absent clips", *END]
