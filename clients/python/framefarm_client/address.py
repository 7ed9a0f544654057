"""The address of a farm as people type it, and the proxy on the way there."""

from __future__ import annotations

import ipaddress
import re
from typing import NamedTuple
from urllib.request import getproxies, proxy_bypass

import httpx

from framefarm_client.errors import ConfigError

_HOST = re.compile(r"[^\s%/]+")


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
