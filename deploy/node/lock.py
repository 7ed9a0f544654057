"""The lock of a storage: one farm (or one fsck) at a time uses it from this machine, and says where it answers."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import time
from collections.abc import Iterator
from typing import IO, Any

from farm.errors import ConfigError
from farm.settings import FarmSettings
from framefarm_client.address import LOCK


@contextlib.contextmanager
def locked(settings: FarmSettings, *, holder: str = "a farm", wait_s: float = 0.0) -> Iterator[IO[str]]:
    """Hold the storage for this process.

    holder: what this process is, for others. wait_s: how long to wait for another holder to end.
    Raises: ConfigError if another process holds the storage.
    """
    folder = settings.storage_path
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = (folder / LOCK).open("a+")
    except OSError as err:
        msg = f"cannot use {folder} as storage: {err.strerror}; choose another with --storage or FARM_STORAGE"
        raise ConfigError(msg) from err
    with file:
        until = time.monotonic() + wait_s
        while not _taken(file):
            if time.monotonic() >= until:
                file.seek(0)
                found = _words(json.loads(file.read() or "{}"))
                msg = f"{settings.storage} is in use by {found}; stop that process, or choose another with --storage"
                raise ConfigError(msg)
            time.sleep(0.1)
        write_lock(file, None, holder=holder)
        yield file
        file.truncate(0)


def write_lock(file: IO[str], url: str | None, *, holder: str = "a farm") -> None:
    """Tell others who holds the storage, and where it answers."""
    file.seek(0)
    file.truncate()
    file.write(json.dumps({"pid": os.getpid(), "url": url, "holder": holder}))
    file.flush()


def _taken(file: IO[str]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _words(lock: dict[str, Any]) -> str:
    at = f" at {lock['url']}" if lock.get("url") else ""
    return f"{lock.get('holder', 'a farm')}{at}" + (f" (process {lock['pid']})" if "pid" in lock else "")
