"""What the farm asks of an object store: immutable objects, each created at most once."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from farm.errors import StoreError

_KEY = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]*(/[A-Za-z0-9_-][A-Za-z0-9._-]*)*")


class ObjectMissing(StoreError):
    """No object has this key."""


def check_key(key: str) -> str:
    """`key` itself, if it is made of [A-Za-z0-9._-] segments that do not begin with a dot. Raises: StoreError."""
    if not _KEY.fullmatch(key):
        msg = f"not an object key: {key!r}; need segments of letters, digits, '.', '_', '-' joined by '/'"
        raise StoreError(msg)
    return key


class Store(Protocol):
    """Immutable objects under keys. Every method may be called from several processes and threads at once.

    Raises: StoreError where the store cannot answer; ObjectMissing where a key has no object.
    """

    def put_if_absent(self, key: str, data: bytes | Path) -> bool:
        """Create the object, durably, unless the key has one; True: it was created now. Big data: give a file."""

    def get(self, key: str) -> bytes:
        """The whole object."""

    def open_read(self, key: str, *, start: int = 0, length: int | None = None) -> Iterator[bytes]:
        """The object's bytes from `start`, in pieces; the first piece is read before this returns."""

    def size(self, key: str) -> int:
        """The object's length in bytes."""

    def download(self, key: str, path: Path) -> None:
        """Write the object to `path`."""

    def list(self, prefix: str, *, after: str = "", limit: int | None = None) -> list[str]:
        """Keys that begin with `prefix` (a folder: it ends in '/') and sort after `after`, in order, subfolders too."""

    def delete(self, key: str) -> None:
        """Remove the object; nothing happens where there is none."""
