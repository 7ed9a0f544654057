"""An object store in a local folder: crash-safe, for several processes on one host.

The store writes an object to a temporary file, syncs it and links it to its key. `link` fails if the key exists, so
exactly one of many writers wins (300 of 300 races of 20 processes, docs/decisions/0004). NFS is not tested.
"""

from __future__ import annotations

import os
import shutil
import threading
import time
from bisect import bisect_right
from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress
from itertools import islice, takewhile
from pathlib import Path
from typing import NamedTuple
from uuid import uuid4

from typing_extensions import override

from farm.errors import StoreError
from farm.store.protocol import ObjectMissing, Store, check_key
from framefarm_client.names import is_key

_TEMPORARY = ".tmp"  #: not a key: no segment of a key begins with a dot
_PIECE_BYTES = 1 << 20
_STALE_S = 24 * 3600.0
_LARGE = 200  #: names: a folder of fewer is read again each time
_LISTINGS = 4  #: large folders whose names are remembered: the index of an owner with 10,000 videos takes 1 MB
_SETTLED_NS = 2_000_000_000  #: a folder that has not changed for this long shows its next change by another time


class _Listing(NamedTuple):
    """The names in a folder at its time of change."""

    changed_ns: int
    keys: Sequence[str]


class FolderStore(Store):
    """Objects as files below `root`, which is created if necessary."""

    def __init__(self, root: Path) -> None:
        """Raises: StoreError if the folder cannot be created or its file system has no hard links."""
        self.root = root
        self._listings: dict[str, _Listing] = {}
        self._noting = threading.Lock()
        try:
            (root / _TEMPORARY).mkdir(parents=True, exist_ok=True)
            self._check_links()
            self._sweep()
        except OSError as err:
            raise StoreError(
                f"cannot use the folder {root} as a store: {err.strerror}; choose another with --storage"
            ) from err

    @override
    def put_if_absent(self, key: str, data: bytes | Path) -> bool:
        target = self._path(key)
        temporary = self.root / _TEMPORARY / uuid4().hex
        try:
            with temporary.open("xb") as file:
                if isinstance(data, bytes):
                    file.write(data)
                else:
                    with data.open("rb") as source:
                        shutil.copyfileobj(source, file, _PIECE_BYTES)
                file.flush()
                os.fsync(file.fileno())
            return self._link(temporary, target)
        except OSError as err:
            raise _failed("write", key, err) from err
        finally:
            with suppress(OSError):
                temporary.unlink()

    @override
    def get(self, key: str) -> bytes:
        try:
            return self._path(key).read_bytes()
        except OSError as err:
            raise _failed("read", key, err) from err

    @override
    def open_read(self, key: str, *, start: int = 0, length: int | None = None) -> Iterator[bytes]:
        try:
            file = self._path(key).open("rb")
            file.seek(start)
        except OSError as err:
            raise _failed("read", key, err) from err

        def pieces() -> Iterator[bytes]:
            left = length
            with file:
                while left is None or left > 0:
                    piece = file.read(_PIECE_BYTES if left is None else min(left, _PIECE_BYTES))
                    if not piece:
                        return
                    left = None if left is None else left - len(piece)
                    yield piece

        return pieces()

    @override
    def size(self, key: str) -> int:
        try:
            return self._path(key).stat().st_size
        except OSError as err:
            raise _failed("read", key, err) from err

    @override
    def existing(self, keys: Collection[str]) -> set[str]:
        found, root = set[str](), f"{self.root}/"
        for key in keys:
            try:
                os.stat(root + check_key(key))  # noqa: PTH116  # lists ask for hundreds, and a Path costs more than this
            except (FileNotFoundError, NotADirectoryError):
                continue
            except OSError as err:
                raise _failed("read", key, err) from err
            found.add(key)
        return found

    @override
    def modified(self, key: str) -> float:
        try:
            return self._path(key).stat().st_mtime
        except OSError as err:
            raise _failed("read", key, err) from err

    @override
    def download(self, key: str, path: Path) -> None:
        try:
            shutil.copyfile(self._path(key), path)
        except OSError as err:
            raise _failed("read", key, err) from err

    @override
    def list(self, prefix: str, *, after: str = "", limit: int | None = None) -> list[str]:
        folder = check_key(prefix.removesuffix("/"))
        try:
            return list(islice(self._walk(f"{folder}/", after), limit))
        except OSError as err:
            raise _failed("list", prefix, err) from err

    @override
    def delete(self, key: str) -> None:
        path = self._path(key)
        try:
            path.unlink(missing_ok=True)
        except NotADirectoryError:
            return
        except OSError as err:
            raise _failed("delete", key, err) from err
        with suppress(OSError):  # leave no empty folders behind; one in use refuses
            for folder in takewhile(lambda parent: parent != self.root, path.parents):
                folder.rmdir()

    @override
    def prove(self) -> None:
        """Do nothing: opening the store has already tried hard links."""

    def _walk(self, folder: str, after: str) -> Iterator[str]:
        """Yield the keys below `folder` after `after`, in order; open a subfolder when its turn comes."""
        keys = self._keys(folder)
        first = bisect_right(keys, after)
        if first and keys[first - 1].endswith("/") and after.startswith(keys[first - 1]):
            first -= 1  # `after` lies in this subfolder
        for key in islice(keys, first, None):
            if key.endswith("/"):
                yield from self._walk(key, after)
            else:
                yield key

    def _keys(self, folder: str) -> Sequence[str]:
        """Return what lies in `folder` (it ends in '/'), in order: keys, and subfolders, which end in '/' too.

        A file system lists a folder's names in no order, so this reads all of them, but nothing about their files. It
        remembers the names of a large folder while its time of change stays. The clocks of file systems tick in
        milliseconds, so a folder that changed just now is read again.
        """
        path = self.root / folder
        try:
            changed_ns = path.stat().st_mtime_ns
            known = self._listings.get(folder)
            if known is not None and known.changed_ns == changed_ns:
                return known.keys
            with os.scandir(path) as found:
                names = [f"{entry.name}/" if entry.is_dir() else entry.name for entry in found]
        except (FileNotFoundError, NotADirectoryError):  # it was deleted while we looked
            return []
        keys = sorted(folder + name for name in names if name.endswith("/") or is_key(name))
        if len(keys) >= _LARGE and time.time_ns() - changed_ns > _SETTLED_NS:
            with self._noting:
                self._listings.pop(folder, None)
                while len(self._listings) >= _LISTINGS:
                    del self._listings[next(iter(self._listings))]
                self._listings[folder] = _Listing(changed_ns, keys)
        return keys

    def _path(self, key: str) -> Path:
        return self.root / check_key(key)

    def _link(self, temporary: Path, target: Path) -> bool:
        """Give `temporary` its final name, durably; return False if the name is taken."""
        while True:
            try:
                _make_folders(target.parent)
                os.link(temporary, target)
            except FileExistsError:
                return False
            except FileNotFoundError:
                if not temporary.exists():
                    raise
                continue  # another process has just removed the empty folder
            _sync_folder(target.parent)
            return True

    def _check_links(self) -> None:
        """Refuse a file system without hard links (exFAT, some mounts): it has no create-if-absent."""
        probe = self.root / _TEMPORARY / uuid4().hex
        probe.touch()
        twin = probe.with_suffix(".link")
        try:
            os.link(probe, twin)
        except OSError as err:
            raise StoreError(
                f"the file system of {self.root} has no hard links ({err.strerror}), so it cannot hold a store"
            ) from err
        finally:
            probe.unlink(missing_ok=True)
            twin.unlink(missing_ok=True)

    def _sweep(self) -> None:
        """Remove old temporary files of killed writers; other processes may still be writing the recent ones."""
        for path in (self.root / _TEMPORARY).iterdir():
            with suppress(FileNotFoundError):  # its writer has just removed it
                if time.time() - path.stat().st_mtime > _STALE_S:
                    path.unlink()


def _make_folders(folder: Path) -> None:
    """Create `folder` and its parents, each durably in its own parent."""
    missing = []
    while not folder.exists():
        missing.append(folder)
        folder = folder.parent
    for path in reversed(missing):
        path.mkdir(exist_ok=True)
        _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    try:
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except FileNotFoundError:  # another process has just removed the empty folder
        return
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _failed(verb: str, key: str, err: OSError) -> StoreError:
    if isinstance(err, FileNotFoundError | NotADirectoryError):
        return ObjectMissing(f"no object {key}", key=key)
    return StoreError(f"cannot {verb} {key}: {err.strerror}", key=key)
