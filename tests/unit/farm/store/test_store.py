"""Tests of the folder store alone; tests/integration/test_store_suite.py tests every kind of store."""

from __future__ import annotations

import errno
import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from farm.errors import StoreError
from farm.store import FolderStore
from tests.unit.conftest import Hand


def test_deleting_leaves_no_empty_folders(store: FolderStore) -> None:
    """Deleting the last object of a folder removes the folder, and the key can be used again."""
    store.put_if_absent("a/b/c", b"1")
    store.delete("a/b/c")
    assert not (store.root / "a").exists()
    assert store.put_if_absent("a/b/c", b"2")


def test_deleting_what_others_write_at_the_same_time(store: FolderStore) -> None:
    """A key that comes back between a deletion and the look at its folder is no failure."""

    def write_and_delete(_: int) -> None:
        for _ in range(20):
            store.put_if_absent("presets/ann/00000001.json", b"{}")
            store.delete("presets/ann/00000001.json")

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(write_and_delete, range(8)))
    assert store.list("presets/") == []


@pytest.fixture
def scans(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the folders that are read."""
    found, scandir = list[str](), os.scandir

    def counting(path: Path) -> object:
        found.append(Path(path).name)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", counting)
    return found


def test_a_large_folder_is_read_when_it_changed(store: FolderStore, scans: list[str]) -> None:
    """A folder that rests is read once. The next list has the changes of other processes."""
    for number in range(250):
        store.put_if_absent(f"index/{number:03}", b"x")
    path, other = store.root / "index", FolderStore(store.root)
    os.utime(path, (time.time() - 60, time.time() - 60))
    whole = store.list("index/")
    assert (len(whole), store.list("index/", after="index/100", limit=2)) == (250, ["index/101", "index/102"])
    assert scans.count("index") == 1
    other.put_if_absent("index/1005", b"x")
    assert store.list("index/", after="index/100", limit=2) == ["index/1005", "index/101"]
    other.delete("index/1005")
    assert store.list("index/") == whole
    assert scans.count("index") == 3


def test_a_folder_that_changed_just_now_is_read_again(store: FolderStore, scans: list[str]) -> None:
    """A second change within one tick of the file system's clock would leave the folder's time as it is."""
    for number in range(250):
        store.put_if_absent(f"index/{number:03}", b"x")
    assert store.list("index/") == store.list("index/")
    assert scans.count("index") == 2


def test_a_folder_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    """If a file stands where the folder should be, the error names it."""
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match="file"):
        FolderStore(tmp_path / "file")


def test_a_file_system_without_hard_links_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The store refuses file systems such as exFAT, where `link` does not work, and leaves nothing behind."""

    def link(*_: object) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", link)
    with pytest.raises(StoreError, match="has no hard links"):
        FolderStore(tmp_path)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_a_write_lasts_before_it_counts(store: FolderStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """The bytes reach the disk before the key, and the key before the call returns, including new folders."""
    did: list[str] = []
    fsync, link = os.fsync, os.link

    def synced(handle: int) -> None:
        path = Path(f"/proc/self/fd/{handle}").readlink()
        did.append(f"sync {path.relative_to(store.root).parts[0] if path.parent.name == '.tmp' else path.name}")
        fsync(handle)

    def linked(source: Path, target: Path) -> None:
        did.append("link")
        link(source, target)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(os, "link", linked)
    assert store.put_if_absent("jobs/a/x", b"1")
    assert did == ["sync .tmp", "sync storage", "sync jobs", "link", "sync a"]


def test_a_write_that_breaks_off_leaves_no_object(store: FolderStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a write to a full disk, the key is free and no temporary file is left."""

    def fsync(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as full:
        full.setattr(os, "fsync", fsync)
        with pytest.raises(StoreError, match="No space left"):
            store.put_if_absent("a/b", b"1")
    assert [path for path in store.root.rglob("*") if path.is_file()] == []
    assert store.put_if_absent("a/b", b"2")


def test_what_killed_writers_left_goes_by_age(store: FolderStore) -> None:
    """Opening the store removes old temporary files and keeps recent ones, which a writer may still need."""
    old, young = (store.root / ".tmp" / name for name in ("old", "young"))
    for path in (old, young):
        path.write_bytes(b"half")
    long_ago = time.time() - 25 * 3600
    os.utime(old, (long_ago, long_ago))
    FolderStore(store.root)
    assert (old.exists(), young.exists()) == (False, True)


def test_no_key_is_the_folder_of_another(http: TestClient, hand: Hand, store: FolderStore, png: bytes) -> None:
    """No key that a farm writes is the folder of another key; a bucket could hold both, a folder cannot."""
    keys = set[str]()
    put = store.put_if_absent

    def noted(key: str, data: bytes | Path) -> bool:
        keys.add(key)
        return put(key, data)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(store, "put_if_absent", noted)
        hook = {"webhook_url": "https://example.org/x", "webhook_secret": f"whsec_{'QUJD' * 10}"}
        fields = {"prompt": "a cat", "seconds": "2", "n": "2", **hook}
        first = http.post(
            "/v1/videos",
            data=fields,
            files={"input_reference": ("a.png", png)},
            headers={"Idempotency-Key": "k"},
        ).json()
        hand.finish()
        path = f"/v1/videos/{first['id']}"
        assert http.post(f"{path}/remix", json={"prompt": "a dog", "from_section": 1}).status_code == 200
        archive = http.get(f"{path}/export").content
        assert http.post("/v1/videos/import?new_id=1", content=archive).status_code == 200
        assert http.delete(path).status_code == 200
    assert {"jobs", "open", "owners", "idempotency", "batches", "hooks", "imports"} <= {
        key.partition("/")[0] for key in keys
    }
    folders = {"/".join(key.split("/")[:depth]) for key in keys for depth in range(1, key.count("/") + 1)}
    assert keys & folders == set()
