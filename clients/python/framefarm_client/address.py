"""Where a farm is: its address as people type it, the one that runs on this machine, and the proxy on the way there."""

from __future__ import annotations

import hashlib
import ipaddress
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from urllib.request import getproxies, proxy_bypass

from framefarm_client.errors import ConfigError

if TYPE_CHECKING:
    import httpx

_HOST = re.compile(r"[^\s%/]+")
#: in a farm's storage folder; the farm holds a lock on it while it runs, and writes where it answers
LOCK = ".farm.lock"


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


class Proxy(NamedTuple):
    """A proxy of the environment."""

    url: httpx.URL
    setting: str  #: the variable that names it

    def __str__(self) -> str:
        """Return its address without a password, and the variable."""
        return f"{self.url.copy_with(userinfo=b'')} ({self.setting})"


def farm_url(text: str) -> httpx.URL:
    """Read a farm's address. The scheme may be missing, and `/v1` may follow, as OpenAI's package wants it.

    Raises: ConfigError.
    """
    import httpx

    typed = text.strip()
    try:
        url = httpx.URL(typed if "://" in typed else f"http://{typed}")
    except httpx.InvalidURL as err:
        raise _no_address(text) from err
    if url.scheme not in {"http", "https"} or not _HOST.fullmatch(url.host) or not 0 < (url.port or 1) < 1 << 16:
        raise _no_address(text)
    return url.copy_with(path=url.path.rstrip("/").removesuffix("/v1") or "/", query=None, fragment=None)


def _no_address(text: str) -> ConfigError:
    return ConfigError(f"--url (FARM_URL) {text[:80]!r} is not an address; write http://HOST:PORT")


def proxy_to(url: httpx.URL) -> Proxy | None:
    """Return the environment's proxy for `url`; None if it names none, or for this machine. Raises: ConfigError."""
    import httpx

    if is_loopback(url.host) or proxy_bypass(url.netloc.decode("ascii").rpartition("@")[2]):
        return None
    proxies = getproxies()
    for setting in (url.scheme, "all"):
        if address := proxies.get(setting):
            name = f"{setting}_proxy"
            try:
                return Proxy(httpx.URL(address if "://" in address else f"http://{address}"), name)
            except httpx.InvalidURL as err:
                raise ConfigError(f"{name} is not an address: {err}; write http://HOST:PORT, or unset it") from err
    return None


def is_loopback(host: str) -> bool:
    """Tell whether a host is this machine, and no other machine reaches it by that name."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
