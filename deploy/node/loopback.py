"""A relay on 127.0.0.1 to the farm, when it listens on one of this machine's other addresses."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from functools import partial

from farm.errors import ConfigError
from farm.settings import FarmSettings
from framefarm_client.address import is_loopback

LOOPBACK = "127.0.0.1"
_ALL = {"0.0.0.0", "::", ""}  # noqa: S104 - compared, not bound
_BYTES = 65_536


def listens_elsewhere(settings: FarmSettings) -> bool:
    """Tell whether the farm listens on an address that is not this machine's own."""
    if settings.host in _ALL or is_loopback(settings.host):
        return False
    try:
        found = socket.getaddrinfo(settings.host, None, type=socket.SOCK_STREAM)
    except OSError:
        return True  # the port's check says what is wrong with it
    return not all(is_loopback(str(address[0])) for *_, address in found)


def check_someone_may_ask(settings: FarmSettings) -> None:
    """Raises: ConfigError if the farm would reject everyone: it has no API keys, and this machine cannot reach it."""
    if listens_elsewhere(settings) and not settings.api_keys:
        raise ConfigError(
            f"FARM_HOST={settings.host}: without API keys a farm answers only 127.0.0.1, so nobody could use this one;"
            " make a key with `framefarm keys new NAME` and put its second line into FARM_API_KEYS, or leave out --host"
        )


@contextlib.contextmanager
def also_on_loopback(settings: FarmSettings, url: str) -> Iterator[str]:
    """Give the URL for this machine's command line: `url`, or that of a relay on 127.0.0.1."""
    if not listens_elsewhere(settings):
        yield url
        return
    port, opened = int(url.rpartition(":")[2]), Future[Callable[[], object]]()
    relay = threading.Thread(target=lambda: asyncio.run(_serve(settings.host, port, opened)), name="loopback")
    relay.start()
    try:
        close = opened.result()
    except OSError as err:
        raise ConfigError(f"cannot listen on {LOOPBACK}:{port}: {err.strerror}; choose another with --port") from err
    try:
        yield f"http://{LOOPBACK}:{port}"
    finally:
        close()
        relay.join()


async def _serve(host: str, port: int, opened: Future[Callable[[], object]]) -> None:
    """Listen until the function that `opened` gives is called."""
    closing = asyncio.Event()
    try:
        server = await asyncio.start_server(partial(_pass_on, host, port), LOOPBACK, port)
    except OSError as err:
        opened.set_exception(err)
        return
    opened.set_result(partial(asyncio.get_running_loop().call_soon_threadsafe, closing.set))
    await closing.wait()
    server.close()


async def _pass_on(host: str, port: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Carry one connection's bytes both ways until either side ends it."""
    with contextlib.closing(writer), contextlib.suppress(OSError):
        there, out = await asyncio.open_connection(host, port)
        with contextlib.closing(out):
            ways = [asyncio.ensure_future(_carry(reader, out)), asyncio.ensure_future(_carry(there, writer))]
            _, open_ways = await asyncio.wait(ways, return_when=asyncio.FIRST_EXCEPTION)
            for way in open_ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)


async def _carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Copy to the end, then say that no more comes."""
    while data := await reader.read(_BYTES):
        writer.write(data)
        await writer.drain()
    writer.write_eof()
