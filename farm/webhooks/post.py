"""One signed POST to a receiver, at an address that the farm has checked.

It may connect to this machine and to private networks only if the farm allows them.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import cache
from typing import NamedTuple

import httpx

from farm.receiver import Receiver, Resolve, checked_url, is_public
from farm.webhooks.message import Signed

_GONE = 410  #: "do not come back"


class Refused(Exception):
    """The farm does not connect to the receiver's address."""


class Answer(NamedTuple):
    """The outcome of one try."""

    ok: bool
    reason: str
    final: bool = False  #: another try would not help


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


@asynccontextmanager
async def http_client(connections: int) -> AsyncIterator[httpx.AsyncClient]:
    """Open a client that uses no proxy and follows no redirect."""
    # keep no connection: it could belong to another name at the same address
    limits = httpx.Limits(max_connections=connections, max_keepalive_connections=0)
    async with httpx.AsyncClient(
        verify=_certificates(), trust_env=False, follow_redirects=False, limits=limits
    ) as http:
        yield http


async def post(
    signed: Signed, receiver: Receiver, http: httpx.AsyncClient, *, allow_private: bool, resolve: Resolve, try_s: float
) -> Answer:
    """Send the message; give the receiver `try_s` seconds. Never raises for what the receiver does."""
    try:
        async with asyncio.timeout(try_s):
            status = await _post(signed, receiver.url, http, allow_private=allow_private, resolve=resolve)
    except Refused as err:
        return Answer(ok=False, reason=str(err), final=True)
    except (httpx.HTTPError, httpx.InvalidURL, OSError, TimeoutError, ValueError) as err:
        # ValueError: the rules for URLs have changed since the request. Only the name: the text could hold the URL.
        return Answer(ok=False, reason=type(err).__name__)
    return Answer(ok=200 <= status < 300, reason=f"HTTP {status}", final=status == _GONE)


async def _post(signed: Signed, text: str, http: httpx.AsyncClient, *, allow_private: bool, resolve: Resolve) -> int:
    """Connect to a checked address; return the status of the answer, whose body is not read."""
    url = checked_url(text, allow_private=allow_private)
    headers = {**signed.headers, "host": url.netloc.decode("ascii"), "user-agent": "framepack-farm"}
    names = {"sni_hostname": url.raw_host.decode("ascii")}  # the name that the certificate must have
    lost: httpx.TransportError = httpx.ConnectError("no address")
    for address in await addresses_of(url, allow_private=allow_private, resolve=resolve):
        there = url.copy_with(host=address)
        try:
            async with http.stream("POST", there, content=signed.body, headers=headers, extensions=names) as answer:
                return answer.status_code
        except (httpx.ConnectError, httpx.ConnectTimeout) as err:
            lost = err
    raise lost


@cache
def _certificates() -> ssl.SSLContext:
    """Return the certificate authorities for https; reading the list takes longer than a POST."""
    return httpx.create_ssl_context(trust_env=False)
