"""What only the folder store does; what every store does is in tests/integration/test_store_suite.py."""

from __future__ import annotations

from pathlib import Path

import pytest

from farm.errors import StoreError
from farm.store import FolderStore


def test_deleting_leaves_no_empty_folders(store: FolderStore) -> None:
    """The last object of a folder takes the folder with it, and the key can be used again."""
    store.put_if_absent("a/b/c", b"1")
    store.delete("a/b/c")
    assert not (store.root / "a").exists()
    assert store.put_if_absent("a/b/c", b"2")


def test_a_folder_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    """A file where the folder should be is an error that names it."""
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match="file"):
        FolderStore(tmp_path / "file")
