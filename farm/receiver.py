"""The receiver of a webhook: which URLs the farm accepts, which addresses it connects to, which secrets can sign.

Users choose these URLs, so the farm must not let them reach into its own network: it resolves a host once, checks every
address, and connects to a checked address.
"""

from __future__ import annotations

import base64
import binascii
import socket
from collections.abc import Awaitable, Callable, Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import TYPE_CHECKING, NamedTuple

from pydantic import BaseModel, ConfigDict, Field

if TYPE_CHECKING:
    import httpx

MAX_URL_CHARS = 2048
_SECRET_PREFIX = "whsec_"  # noqa: S105 - Standard Webhooks' own prefix, no secret
_SECRET_BYTES = range(24, 65)  #: as the specification of Standard Webhooks demands
_PORTS = frozenset({80, 443})  #: and those from _FREE_PORTS on; mail servers, SSH and the like listen below
_FREE_PORTS = 1024
_OWN_NAMES = ("localhost", "local", "localdomain", "internal", "intranet", "lan", "home.arpa")
_NAT64 = ip_network("64:ff9b::/96")
_UNICAST = ip_network("2000::/3")  #: no IPv6 address of another block leads to the internet
#: special blocks that `ipaddress` takes for public: IETF's own, 6to4 relays, documentation
_SPECIAL = tuple(ip_network(block) for block in ("192.0.0.0/24", "192.88.99.0/24", "2001::/23", "3fff::/20"))

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]  #: (host, port) -> addresses, best first


class Receiver(BaseModel):
    """A URL that gets a POST when a video ends."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    url: str = Field(repr=False)  #: its path may be a secret too
    secret: str | None = Field(default=None, repr=False)  #: signs the POST; None: FARM_WEBHOOK_SECRET signs


class Hooks(NamedTuple):
    """The receivers of one video's end."""

    hosts: dict[str, str]  #: "request" and "farm" -> the host of that URL, which is all that users may see of it
    receiver: Receiver | None  #: the request's; the farm's is in its settings


NO_HOOKS = Hooks({}, None)


def checked_url(text: str, *, allow_private: bool) -> httpx.URL:
    """Parse a receiver's URL. This resolves no names; `addresses_of` does.

    allow_private: accept this machine and private networks.
    Raises: ValueError with a message that does not quote the URL, since it may hold a secret.
    """
    import httpx  # `framefarm --help` does not wait for it

    try:
        url = httpx.URL(text)
        port = url.port
    except (httpx.InvalidURL, ValueError) as err:
        raise ValueError("this is not a URL; need http:// or https://") from err
    host = url.raw_host.decode("ascii").rstrip(".").lower()
    if len(text) > MAX_URL_CHARS or url.scheme not in {"http", "https"} or not host:
        raise ValueError(f"need a URL with http:// or https:// and a host, of at most {MAX_URL_CHARS} characters")
    if url.userinfo:
        raise ValueError("a URL with a user or a password is not accepted; check the signature instead")
    if port is not None and port not in _PORTS and not _FREE_PORTS <= port <= 65535:
        raise ValueError(f"port {port} is not accepted; need 80, 443 or one from {_FREE_PORTS} on")
    if not allow_private and _is_own(host):
        raise ValueError(
            "it leads to this machine or a private network; the farm accepts it with FARM_WEBHOOK_ALLOW_PRIVATE=1"
        )
    return url


def check_secret(text: str) -> str:
    """Return `text` if it can sign. Raises: ValueError, which does not quote it."""
    try:
        key = base64.b64decode(text.removeprefix(_SECRET_PREFIX), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if not text.startswith(_SECRET_PREFIX) or len(key) not in _SECRET_BYTES:
        how = f"echo {_SECRET_PREFIX}$(openssl rand -base64 32)"
        raise ValueError(f"need {_SECRET_PREFIX} and the base64 of 24 to 64 random bytes: {how}")
    return text


def is_public(address: str) -> bool:
    """Tell whether an address is on the internet: not on this machine, in a private network, or reserved."""
    ip = ip_address(address)
    if isinstance(ip, IPv6Address):
        inner = ip.ipv4_mapped or ip.sixtofour
        if ip in _NAT64:
            inner = IPv4Address(int(ip) & 0xFFFFFFFF)
        if inner is not None:
            return is_public(str(inner))
        if ip not in _UNICAST:
            return False
    if any(ip in block for block in _SPECIAL):
        return False
    return ip.is_global and not (ip.is_multicast or ip.is_reserved or ip.is_unspecified)


def _is_own(host: str) -> bool:
    """Tell whether a host name alone shows that it is on this machine or its network, as "127.1" and "0x7f.1" do."""
    try:
        return not is_public(socket.inet_ntoa(socket.inet_aton(host)))
    except OSError:
        pass
    try:
        return not is_public(host)
    except ValueError:  # a name; one without a dot is in this network
        return "." not in host or any(host == name or host.endswith(f".{name}") for name in _OWN_NAMES)
