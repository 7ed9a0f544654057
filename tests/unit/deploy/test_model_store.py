"""Models in a store of one's own: what a push sends, and what a pull then finds."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from typing_extensions import override

from deploy.node import model_store
from farm.errors import ConfigError
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


def pull(store: CountingStore) -> None:
    """Pull to the machine where one is."""
    model_store.pull([REPO], store, say=lambda _: None, bar=no_bar)


def rewrite(store: CountingStore, **changes: str) -> None:
    """Put a newer list into the store, of which the first file's fields or the commit are changed."""
    newest = store.list("lists/")[-1]
    listed = json.loads(store.get(newest))
    for field, value in changes.items():
        (listed if field == "commit" else listed["files"][0])[field] = value
    number = int(Path(newest).stem) + 1
    assert store.put_if_absent(f"{newest.rpartition('/')[0]}/{number:020d}.json", json.dumps(listed).encode())


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
    pull(store)
    found = {path.name: path.read_bytes() for path in hub.files_of(REPO)}
    assert found == {"two.safetensors": b"22", "three.safetensors": b"333"}
    assert hub.snapshot(*REPO[:2]) == there / "snapshots" / ("b" * 40)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("path", "../../outside.safetensors"),
        ("path", "/tmp/outside.safetensors"),
        ("blob", "../../../outside"),
        ("sha256", "../outside"),
        ("commit", "../../outside"),
    ],
)
def test_a_name_that_leads_out_of_the_cache_is_refused(
    store: CountingStore, machine: Callable[[str], Path], tmp_path: Path, field: str, value: str
) -> None:
    """Nothing is written. A push of the right files mends the store."""
    fetch(machine("here"), "a" * 40, one=b"1")
    push(store)
    rewrite(store, **{field: value})
    there = machine("there")
    with pytest.raises(ConfigError, match=f"{field}: "):
        pull(store)
    assert not there.exists()
    assert not list(tmp_path.rglob("outside*"))

    machine("here")
    assert push(store) == ["lists"]
    machine("there")
    pull(store)
    assert [path.read_bytes() for path in hub.files_of(REPO)] == [b"1"]


def test_a_file_must_be_what_both_of_its_names_say(store: CountingStore, machine: Callable[[str], Path]) -> None:
    """A wrong name in the cache would pass as a download of the hub."""
    fetch(machine("here"), "a" * 40, one=b"1")
    push(store)
    rewrite(store, blob="b" * 64)
    machine("there")
    with pytest.raises(ConfigError, match=r"one\.safetensors in the store is damaged"):
        pull(store)
    assert hub.files_of(REPO) == []
