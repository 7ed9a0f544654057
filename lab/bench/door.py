"""A door before a farm: it passes bytes on, both ways, and notes when each request came."""

from __future__ import annotations

import asyncio
import contextlib
import re
import threading
import time
from collections.abc import Iterator
from urllib.parse import urlsplit

_BEGINS = re.compile(rb"^(?:GET|POST|PUT|PATCH|DELETE|HEAD) \S+ HTTP/1\.1\r\n", re.MULTILINE)


class Door:
    """Passes on what comes to `url`."""

    def __init__(self, farm: str) -> None:
        """farm: its address. `opened` opens it."""
        self._farm = urlsplit(farm)
        self.url = ""
        self.requests = list[tuple[float, str]]()  #: when it began, and its first line

    async def serve(self, ready: threading.Event, over: asyncio.Event) -> None:
        """Pass on until `over`."""
        server = await asyncio.start_server(self._pass_on, "127.0.0.1", 0)
        async with server:
            self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
            ready.set()
            await over.wait()

    async def _pass_on(self, ours: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
        theirs, on = await asyncio.open_connection(self._farm.hostname, self._farm.port)
        try:
            await asyncio.gather(self._copy(ours, on, noting=True), self._copy(theirs, back))
        except OSError:
            pass  # one of them left
        finally:
            for end in (on, back):
                end.close()

    async def _copy(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, *, noting: bool = False) -> None:
        while data := await source.read(65536):
            if noting:
                lines = [line.decode("latin-1").split(" HTTP/")[0] for line in _BEGINS.findall(data)]
                self.requests += [(time.time(), line) for line in lines]
            sink.write(data)
            await sink.drain()
        with contextlib.suppress(OSError):
            sink.write_eof()


@contextlib.contextmanager
def opened(farm: str) -> Iterator[Door]:
    """Open a door before a farm."""
    door, ready = Door(farm), threading.Event()
    loop, over = asyncio.new_event_loop(), asyncio.Event()
    thread = threading.Thread(target=loop.run_until_complete, args=(door.serve(ready, over),))
    thread.start()
    try:
        ready.wait()
        yield door
    finally:
        loop.call_soon_threadsafe(over.set)
        thread.join()
        _end(loop)


def _end(loop: asyncio.AbstractEventLoop) -> None:
    """Let the connections that are left go."""
    left = asyncio.all_tasks(loop)
    for task in left:
        task.cancel()
    if left:
        loop.run_until_complete(asyncio.wait(left))
    loop.close()
