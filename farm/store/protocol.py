"""What the farm asks of an object store: immutable objects, each created at most once."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from farm.errors import Damaged, StoreError

_KEY = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]*(/[A-Za-z0-9_-][A-Za-z0-9._-]*)*")


class ObjectMissing(Damaged):
    """No object has this key."""


def check_key(key: str) -> str:
    """`key` itself, if it is made of [A-Za-z0-9._-] segments that do not begin with a dot. Raises: StoreError."""
    if not is_key(key):
        raise StoreError(f"not an object key: {key!r}; need segments of letters, digits, '.', '_', '-' joined by '/'")
    return key


def is_key(text: str) -> bool:
    """Whether `text` could be a key of ours; a bucket may hold other things too."""
    return _KEY.fullmatch(text) is not None


class Store(Protocol):
    """Immutable objects under keys. Every method may be called from several processes and threads at once.

    Raises: StoreError where the store cannot answer; ObjectMissing where a key has no object.
    """

    def put_if_absent(self, key: str, data: bytes | Path) -> bool:
        """Create the object, durably, unless the key has one; True: it was created now. Big data: give a file.

        False: the key has an object. It may be ours all the same, where an answer was lost: compare before giving up.
        """

    def get(self, key: str) -> bytes:
        """The whole object."""

    def open_read(self, key: str, *, start: int = 0, length: int | None = None) -> Iterator[bytes]:
        """The object's bytes from `start`, in pieces; the first piece is read before this returns."""

    def size(self, key: str) -> int:
        """The object's length in bytes."""

    def modified(self, key: str) -> float:
        """When the object was created, unix seconds by the store's clock."""

    def download(self, key: str, path: Path) -> None:
        """Write the object to `path`."""

    def list(self, prefix: str, *, after: str = "", limit: int | None = None) -> list[str]:
        """Keys that begin with `prefix` (a folder: it ends in '/') and sort after `after`, in order, subfolders too."""

    def delete(self, key: str) -> None:
        """Remove the object; nothing happens where there is none."""

    def prove(self) -> None:
        """Try, on the store itself, that of many writers one wins. Called once, before a farm uses it.

        Raises: ConfigError where it is not so: such a store must not hold a farm.
        """
