"""The folder store: created once, durable, and clear about what is missing."""

from __future__ import annotations

import multiprocessing
from pathlib import Path

import pytest

from farm.errors import StoreError
from farm.store import FolderStore, ObjectMissing


def test_an_object_is_created_once(store: FolderStore) -> None:
    """The second writer of a key learns that it lost, and the first one's bytes stay."""
    assert store.put_if_absent("a/b.json", b"first")
    assert not store.put_if_absent("a/b.json", b"second")
    assert store.get("a/b.json") == b"first"


def _race(root: Path, key: str, start: multiprocessing.synchronize.Barrier, size: int, wins: Path) -> None:
    store = FolderStore(root)
    start.wait()
    name = multiprocessing.current_process().name
    if store.put_if_absent(key, name.encode().ljust(size)):
        (wins / name).touch()


@pytest.mark.parametrize("size", [20, 5_000_000])
def test_one_of_many_processes_wins(tmp_path: Path, size: int) -> None:
    """Eight processes create the same key at once: exactly one is told that it did, and its bytes are there."""
    wins = tmp_path / "wins"
    wins.mkdir()
    context = multiprocessing.get_context("spawn")
    start = context.Barrier(8)
    processes = [
        context.Process(target=_race, args=(tmp_path / "storage", "jobs/x/log/00000000.json", start, size, wins))
        for _ in range(8)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    (winner,) = wins.iterdir()
    assert FolderStore(tmp_path / "storage").get("jobs/x/log/00000000.json").rstrip() == winner.name.encode()


def test_files_and_ranges(store: FolderStore, tmp_path: Path) -> None:
    """An object made from a file is read whole, in part, and back into a file."""
    data = bytes(range(256)) * 9000
    (tmp_path / "in").write_bytes(data)
    assert store.put_if_absent("video.mp4", tmp_path / "in")
    assert store.size("video.mp4") == len(data)
    assert b"".join(store.open_read("video.mp4")) == data
    assert b"".join(store.open_read("video.mp4", start=100, length=1_500_000)) == data[100:1_500_100]
    store.download("video.mp4", tmp_path / "out")
    assert (tmp_path / "out").read_bytes() == data


def test_lists_are_sorted_and_paged(store: FolderStore) -> None:
    """A list is in key order, below one prefix only, from a key on, up to a limit."""
    for key in ("p/c", "p/a", "p/sub/b", "q/a"):
        store.put_if_absent(key, b"")
    assert store.list("p/") == ["p/a", "p/c", "p/sub/b"]
    assert store.list("p/", after="p/a", limit=1) == ["p/c"]
    assert store.list("none/") == []


def test_what_is_missing_has_a_name(store: FolderStore) -> None:
    """Reading a key without an object is ObjectMissing, deleting it is nothing."""
    for read in (store.get, store.size, store.open_read):
        with pytest.raises(ObjectMissing, match="no object a/b"):
            read("a/b")
    store.delete("a/b")


def test_deleting_leaves_no_empty_folders(store: FolderStore) -> None:
    """The last object of a folder takes the folder with it, and the key can be used again."""
    store.put_if_absent("a/b/c", b"1")
    store.delete("a/b/c")
    assert not (store.root / "a").exists()
    assert store.put_if_absent("a/b/c", b"2")


@pytest.mark.parametrize("key", ["", "../x", "a/../b", "/etc/passwd", "a//b", ".tmp/x", "a/.hidden", "a b", "ä"])
def test_keys_cannot_leave_the_store(store: FolderStore, key: str) -> None:
    """A key that could name a file outside the store, or the store's own files, is refused."""
    with pytest.raises(StoreError, match="not an object key"):
        store.put_if_absent(key, b"")


def test_a_folder_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    """A file where the folder should be is an error that names it."""
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match="file"):
        FolderStore(tmp_path / "file")
