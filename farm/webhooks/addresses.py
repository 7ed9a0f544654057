"""The addresses that a webhook may connect to: this machine and private networks only if the farm allows them."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence
from typing import TYPE_CHECKING

from farm.receiver import Resolve, is_public

if TYPE_CHECKING:
    import httpx


class Refused(Exception):
    """The farm does not connect to the receiver's address."""


async def resolve(host: str, port: int) -> Sequence[str]:
    """Ask the system for the host's addresses. Raises: OSError."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(info[4][0]) for info in found))


async def addresses_of(url: httpx.URL, *, allow_private: bool, resolve: Resolve) -> Sequence[str]:
    """Look up the receiver's addresses. Connect to one of these; another look-up could give others.

    Raises: Refused if the farm must not connect to one of them; OSError if there is none.
    """
    port = url.port or (443 if url.scheme == "https" else 80)
    found = await resolve(url.raw_host.decode("ascii"), port)
    if not allow_private and not all(is_public(address) for address in found):
        raise Refused("its host leads to this machine or a private network (see FARM_WEBHOOK_ALLOW_PRIVATE)")
    return found
