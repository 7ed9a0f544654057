"""The object store that the farm needs: immutable objects, each created at most once."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Protocol

from farm.errors import Damaged, StoreError
from framefarm_client.names import is_key

_NAMES = 1000  #: in one LIST


class ObjectMissing(Damaged):
    """No object has this key."""


def check_key(key: str) -> str:
    """Return `key` if its segments are of [A-Za-z0-9._-] and do not begin with a dot. Raises: StoreError."""
    if not is_key(key):
        raise StoreError(f"not an object key: {key!r}; need segments of letters, digits, '.', '_', '-' joined by '/'")
    return key


class Store(Protocol):
    """Immutable objects under keys. Several processes and threads may call every method at once.

    Raises: StoreError if the store cannot answer; ObjectMissing if a key has no object.
    """

    def put_if_absent(self, key: str, data: bytes | Path) -> bool:
        """Create the object durably, unless the key has one; tell whether this call created it.

        Pass big data as a file. If an answer got lost, the existing object may be ours although this returns
        False: compare before giving up.
        """

    def get(self, key: str) -> bytes:
        """Return the whole object."""

    def open_read(self, key: str, *, start: int = 0, length: int | None = None) -> Iterator[bytes]:
        """Yield the object's bytes from `start` in pieces. Read the first piece before returning."""

    def size(self, key: str) -> int:
        """Return the object's length in bytes."""

    def existing(self, keys: Collection[str]) -> set[str]:
        """Return those of the keys that have an object."""

    def modified(self, key: str) -> float:
        """Return when the object was created, in unix seconds by the store's clock."""

    def download(self, key: str, path: Path) -> None:
        """Write the object to `path`."""

    def list(self, prefix: str, *, after: str = "", limit: int | None = None) -> list[str]:
        """Return the keys below the folder `prefix` (it ends in "/") that sort after `after`, in order."""

    def delete(self, key: str) -> None:
        """Remove the object if there is one."""

    def prove(self) -> None:
        """Try out whether exactly one of many writers wins. Each farm calls this once, before it uses the store.

        Raises: ConfigError if the store lets several win: it cannot hold a farm.
        """


def keys_below(store: Store, prefix: str, *, after: str = "") -> Iterator[str]:
    """Yield the keys below a prefix that sort after `after`; list a thousand at a time."""
    while keys := store.list(prefix, after=after, limit=_NAMES):
        yield from keys
        after = keys[-1]
