"""Who may ask: the holder of an API key, or, where the farm has none, this machine alone."""

from __future__ import annotations

from ipaddress import ip_address
from typing import Annotated

from fastapi import Depends, Request

from farm.errors import Unauthorized
from farm.keys import owner_of, parse_keys
from farm.parts import PartsDep

LOCAL_OWNER = "local"


def _owner(request: Request, parts: PartsDep) -> str:
    """The caller's name. Raises: Unauthorized."""
    if keys := parse_keys(parts.settings.api_keys):
        return owner_of(request.headers.get("authorization", ""), keys)
    if request.client is None:  # a Unix socket
        return LOCAL_OWNER
    address = ip_address(request.client.host.partition("%")[0])
    mapped = getattr(address, "ipv4_mapped", None)
    if not (mapped or address).is_loopback:
        raise Unauthorized(
            "this farm has no API keys (FARM_API_KEYS), so it answers only to its own machine; use an SSH tunnel"
        )
    return LOCAL_OWNER


OwnerDep = Annotated[str, Depends(_owner)]
