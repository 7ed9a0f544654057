"""Downloads files from the hub into its own cache, and resumes and checks them.

huggingface_hub (2.4) starts a file again in each process and checks only its length. Here a file resumes where it
stopped, and gets its name in the cache only if its hash is the one that the hub names.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, NamedTuple

_CHUNK = 1 << 20
_AT_ONCE = 4  #: files


class DownloadError(Exception):
    """The hub did not deliver what it announced; the bytes that arrived are kept."""


class HubFile(NamedTuple):
    """A file of a repository. digest: sha256 of large files (64 hex digits), git's object id of others (40)."""

    path: str
    size: int
    digest: str
    url: str


def fetch_blobs(
    files: Sequence[HubFile], folder: Path, *, headers: dict[str, str], on_bytes: Callable[[int], None]
) -> None:
    """Download each file into `folder` under its digest, four at a time; skip files that exist.

    on_bytes: hears how many bytes came or existed already; a negative number if some must come again.
    Raises: DownloadError, which names the file; OSError (a full disk, say). The next call resumes the partial file.
    """
    folder.mkdir(parents=True, exist_ok=True)
    stop = threading.Event()
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        tasks = [
            pool.submit(_fetch, file, folder, headers=headers, on_bytes=on_bytes, stop=stop)
            for file in sorted(files, key=lambda file: -file.size)
        ]
        try:
            for task in tasks:
                task.result()
        except BaseException:  # Ctrl-C too: without this the other threads go on for gigabytes
            stop.set()
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def bytes_here(file: HubFile, folder: Path) -> int:
    """Return how many bytes of `file` are in `folder`."""
    for path in (folder / file.digest, _partial(file, folder)):
        if path.is_file():
            return min(path.stat().st_size, file.size)
    return 0


def digest_of(path: Path, *, like: str) -> str:
    """Return the file's hash, of the same kind as `like`: sha256, or git's object id."""
    if len(like) == 64:
        digest = hashlib.sha256()
    else:
        digest = hashlib.sha1(f"blob {path.stat().st_size}\0".encode(), usedforsecurity=False)  # so git names a file
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


class _Counted:
    """A file that reports each write, and can be stopped."""

    def __init__(self, file: IO[bytes], on_bytes: Callable[[int], None], stop: threading.Event) -> None:
        self._file, self._on_bytes, self._stop = file, on_bytes, stop

    def write(self, data: bytes) -> int:
        """Append. Raises: DownloadError if stopped."""
        if self._stop.is_set():
            raise DownloadError("stopped")
        self._on_bytes(len(data))
        return self._file.write(data)

    def tell(self) -> int:
        """Return the position of the next byte."""
        return self._file.tell()

    def seek(self, position: int) -> int:
        """Move to a byte: only backwards, before `truncate`."""
        return self._file.seek(position)

    def truncate(self) -> int:
        """Drop what follows: the server does not support ranges, so the file comes again from its beginning."""
        end = os.fstat(self._file.fileno()).st_size
        self._on_bytes(self._file.tell() - end)
        return self._file.truncate()


def _fetch(
    file: HubFile, folder: Path, *, headers: dict[str, str], on_bytes: Callable[[int], None], stop: threading.Event
) -> None:
    from huggingface_hub.file_download import http_get
    from huggingface_hub.utils import silent_tqdm

    final, partial = folder / file.digest, _partial(file, folder)
    with _locked(partial) as out:
        if final.is_file():
            partial.unlink()
            on_bytes(file.size)
            return
        begun = out.seek(0, os.SEEK_END)
        if begun > file.size:
            begun = out.truncate(0)
        on_bytes(begun)
        counted: Any = _Counted(out, on_bytes, stop)
        try:
            http_get(
                file.url,
                counted,
                resume_size=begun,
                headers={**headers, "Accept-Encoding": "identity"},
                expected_size=file.size,
                displayed_filename=file.path,
                tqdm_class=silent_tqdm,
            )
        except DownloadError:
            raise
        except Exception as err:  # border: the hub's client changes its HTTP library between versions
            raise DownloadError(f"{file.path}: {type(err).__name__}: {err}") from err
        out.flush()
        found = digest_of(partial, like=file.digest)
        if found != file.digest:
            partial.unlink()
            raise DownloadError(
                f"{file.path} is not what the hub announced: its hash is {found}, wanted {file.digest}. It was removed"
            )
        partial.rename(final)


@contextmanager
def _locked(path: Path) -> Iterator[IO[bytes]]:
    """Open `path` for appending, exclusively for one process and thread."""
    while True:
        with path.open("ab") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            # the process that held the lock before may have renamed or removed the file
            if path.exists() and path.stat().st_ino == os.fstat(file.fileno()).st_ino:
                yield file
                return


def _partial(file: HubFile, folder: Path) -> Path:
    return folder / f"{file.digest}.incomplete"
