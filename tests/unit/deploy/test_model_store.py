"""Models in a store of one's own: what a push sends, and what a pull then finds."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from typing_extensions import override

from deploy.node import model_store
from farm.store import FolderStore
from framepack_engine.models import hub

pytestmark = pytest.mark.unit
REPO = hub.Repo("somebody/style", "main", ("*.safetensors",))


class CountingStore(FolderStore):
    """A folder that knows what it was sent."""

    sent: list[str]

    @override
    def put_if_absent(self, key: str, data: bytes | Path) -> bool:
        self.sent.append(key)
        return super().put_if_absent(key, data)


@pytest.fixture
def store(tmp_path: Path) -> CountingStore:
    """An empty one."""
    store = CountingStore(tmp_path / "store")
    store.sent = []
    return store


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """Go to a machine by its name: its cache of the hub, empty at first."""
    from huggingface_hub import constants

    def go(name: str) -> Path:
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / name))
        return hub.folder_of(REPO.name)

    return go


def fetch(home: Path, commit: str, **files: bytes) -> None:
    """Put files into a cache as the hub's client does, as those of a new commit."""
    named = []
    for name, content in files.items():
        blob = home / "blobs" / hashlib.sha256(content).hexdigest()
        blob.parent.mkdir(parents=True, exist_ok=True)
        blob.write_bytes(content)
        named.append((f"{name}.safetensors", blob.name))
    hub.give_names(REPO, commit, named)


@contextlib.contextmanager
def no_bar(_: int) -> Iterator[Callable[[int], None]]:
    """Show nothing."""
    yield lambda _: None


def push(store: CountingStore) -> list[str]:
    """Push from the machine where one is; return the folders of what was sent."""
    store.sent = []
    model_store.push([REPO], store, say=lambda _: None, bar=no_bar)
    return sorted(key.partition("/")[0] for key in store.sent)


def test_a_push_sends_what_the_store_lacks(store: CountingStore, machine: Callable[[str], Path]) -> None:
    """All at first, then nothing, then what is new; each list stays, and a pull takes the newest."""
    here = machine("here")
    fetch(here, "a" * 40, one=b"1", two=b"22")
    assert push(store) == ["blobs", "blobs", "lists"]
    first = store.list("lists/")
    assert push(store) == []

    fetch(here, "b" * 40, two=b"22", three=b"333")
    assert push(store) == ["blobs", "lists"]
    assert store.list("lists/")[: len(first)] == first
    assert push(store) == []

    there = machine("there")
    model_store.pull([REPO], store, say=lambda _: None, bar=no_bar)
    found = {path.name: path.read_bytes() for path in hub.files_of(REPO)}
    assert found == {"two.safetensors": b"22", "three.safetensors": b"333"}
    assert hub.snapshot(*REPO[:2]) == there / "snapshots" / ("b" * 40)
