"""Where a program finds its farm: FARM_URL, or the farm that runs on this machine."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

from framefarm_client.errors import ConfigError

LOCK = (
    ".farm.lock"  #: in a farm's storage folder; the farm holds a lock on it while it runs, and writes where it answers
)


def url_of(env: Mapping[str, str]) -> str:
    """Return FARM_URL, or else the address of the farm that uses FARM_STORAGE on this machine.

    Raises: ConfigError if none runs.
    """
    if url := env.get("FARM_URL"):
        return url
    folder = storage_folder(env)
    if (found := running_at(folder)) is None:
        raise ConfigError(
            f"no farm runs on {folder}; start one with `framefarm up`, set FARM_URL, or pass its address: "
            'Farm("http://HOST:PORT")'
        )
    return found


def storage_folder(env: Mapping[str, str]) -> Path:
    """Return the folder on this machine that a farm with these settings locks. Raises: ConfigError without a home."""
    storage = env.get("FARM_STORAGE", "")
    if storage and not storage.startswith("s3://"):
        return Path(storage.removeprefix("file://")).expanduser().absolute()
    try:
        data = Path(env.get("XDG_DATA_HOME", "").strip() or "~/.local/share").expanduser() / "framepack-farm"
    except RuntimeError as err:
        raise ConfigError("this user has no home folder: set FARM_URL, FARM_STORAGE or HOME") from err
    return data / "s3" / s3_name(storage, env.get("FARM_S3_ENDPOINT")) if storage else data / "storage"


def s3_name(storage: str, endpoint: str | None) -> str:
    """Return the name of the folder that stands for a bucket on this machine."""
    return hashlib.sha256(f"{storage} {endpoint or ''}".encode()).hexdigest()[:16]


def running_at(folder: Path) -> str | None:
    """Return the address of the farm that holds the lock of this storage folder now."""
    try:
        import fcntl
    except ImportError:  # no farm runs on this system
        return None
    try:
        with (folder / LOCK).open("r") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                url: str | None = json.loads(file.read() or "{}").get("url")
                return url
    except (FileNotFoundError, NotADirectoryError):
        pass
    return None
