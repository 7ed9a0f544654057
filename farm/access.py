"""Who may ask. This version has no API keys: only this machine may connect, and all videos have one owner."""

from __future__ import annotations

from ipaddress import ip_address
from typing import Annotated

from fastapi import Depends, Request

from farm.errors import Unauthorized

LOCAL_OWNER = "local"


def _owner(request: Request) -> str:
    """The caller's name. Raises: Unauthorized for a caller from elsewhere."""
    if request.client is None:  # a Unix socket
        return LOCAL_OWNER
    address = ip_address(request.client.host.partition("%")[0])
    mapped = getattr(address, "ipv4_mapped", None)
    if not (mapped or address).is_loopback:
        raise Unauthorized("this farm has no API keys, so it answers only to its own machine; use an SSH tunnel")
    return LOCAL_OWNER


OwnerDep = Annotated[str, Depends(_owner)]
