"""The addresses that a webhook may connect to: never this machine or a private network unless allowed."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence
from typing import TYPE_CHECKING

from farm.receiver import Resolve, is_public

if TYPE_CHECKING:
    import httpx


class Refused(Exception):
    """The receiver's address is none that the farm connects to."""


async def resolve(host: str, port: int) -> Sequence[str]:
    """The host's addresses, as the system knows them. Raises: OSError."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(info[4][0]) for info in found))


async def addresses_of(url: httpx.URL, *, allow_private: bool, resolve: Resolve) -> Sequence[str]:
    """The receiver's addresses: connect to one of these, and do not ask again.

    Raises: Refused where one of them must not be connected to; OSError where there is none.
    """
    port = url.port or (443 if url.scheme == "https" else 80)
    found = await resolve(url.raw_host.decode("ascii"), port)
    if not allow_private and not all(is_public(address) for address in found):
        raise Refused("its host leads to this machine or a private network (FARM_WEBHOOK_ALLOW_PRIVATE)")
    return found
