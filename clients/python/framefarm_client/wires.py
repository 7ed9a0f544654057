"""All that differs between programs with `await` and without: how bytes travel, and how to wait.

Everything above is written once, as coroutines over a wire. Over a `BlockingWire` they never wait, so `blocking` turns
each into a plain function. httpx is loaded with the first wire, and not before.
"""

from __future__ import annotations

import inspect
import time
import weakref
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Generator
from contextlib import suppress
from functools import update_wrapper
from typing import TYPE_CHECKING, Any, ParamSpec, Protocol, TypeVar

if TYPE_CHECKING:
    import httpx

P = ParamSpec("P")
T = TypeVar("T")


class Wire(Protocol):
    """Carries requests to one server."""

    async def send(self, method: str, path: str, *, stream: bool = False, **options: Any) -> httpx.Response:
        """Send a request. stream: return before the body has come."""

    async def read(self, response: httpx.Response) -> None:
        """Read a streamed body whole."""

    def pieces(self, response: httpx.Response) -> AsyncIterator[bytes]:
        """Read a streamed body piece by piece."""

    def lines(self, response: httpx.Response) -> AsyncIterator[str]:
        """Read a streamed body line by line."""

    async def drop(self, response: httpx.Response) -> None:
        """Close a streamed answer, read or not."""

    async def sleep(self, seconds: float) -> None:
        """Wait."""

    async def aside(self, work: Callable[[], T]) -> T:
        """Run what takes the disk's or the processor's time, without keeping other tasks from theirs.

        When it is cancelled, the work ends first.
        """

    async def close(self) -> None:
        """Close all connections."""


class BlockingWire:
    """Blocks the thread that asks."""

    def __init__(self, **options: Any) -> None:
        """options: of httpx.Client."""
        import httpx

        self._http = httpx.Client(**options)
        weakref.finalize(self, self._http.close)  # `Farm().render(…)` closes nothing by itself

    async def send(self, method: str, path: str, *, stream: bool = False, **options: Any) -> httpx.Response:
        """See Wire."""
        return self._http.send(self._http.build_request(method, path, **options), stream=stream)

    async def read(self, response: httpx.Response) -> None:
        """See Wire."""
        response.read()

    async def pieces(self, response: httpx.Response) -> AsyncIterator[bytes]:
        """See Wire."""
        for piece in response.iter_bytes():
            yield piece

    async def lines(self, response: httpx.Response) -> AsyncIterator[str]:
        """See Wire."""
        for line in response.iter_lines():
            yield line

    async def drop(self, response: httpx.Response) -> None:
        """See Wire."""
        response.close()

    async def sleep(self, seconds: float) -> None:
        """See Wire."""
        time.sleep(seconds)  # noqa: ASYNC251 - it is meant to block

    async def aside(self, work: Callable[[], T]) -> T:
        """See Wire."""
        return work()

    async def close(self) -> None:
        """See Wire."""
        self._http.close()


class AsyncWire:
    """Lets other tasks of the event loop run meanwhile."""

    def __init__(self, **options: Any) -> None:
        """options: of httpx.AsyncClient."""
        import httpx

        self._http = httpx.AsyncClient(**options)

    async def send(self, method: str, path: str, *, stream: bool = False, **options: Any) -> httpx.Response:
        """See Wire."""
        return await self._http.send(self._http.build_request(method, path, **options), stream=stream)

    async def read(self, response: httpx.Response) -> None:
        """See Wire."""
        await response.aread()

    def pieces(self, response: httpx.Response) -> AsyncIterator[bytes]:
        """See Wire."""
        return response.aiter_bytes()

    def lines(self, response: httpx.Response) -> AsyncIterator[str]:
        """See Wire."""
        return response.aiter_lines()

    async def drop(self, response: httpx.Response) -> None:
        """See Wire."""
        await response.aclose()

    async def sleep(self, seconds: float) -> None:
        """See Wire."""
        import asyncio

        await asyncio.sleep(seconds)

    async def aside(self, work: Callable[[], T]) -> T:
        """See Wire."""
        import asyncio

        done = asyncio.ensure_future(asyncio.to_thread(work))
        try:
            return await asyncio.shield(done)
        finally:
            while not done.done():  # a thread cannot be stopped, and its caller closes what it works on
                with suppress(asyncio.CancelledError):
                    await asyncio.wait([done])
            done.exception()  # seen, so that asyncio does not report it where the caller was cancelled

    async def close(self) -> None:
        """See Wire."""
        await self._http.aclose()


def now(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine over a BlockingWire to its end."""
    try:
        work.send(None)
    except StopIteration as end:
        result: T = end.value
        return result
    work.close()
    raise RuntimeError("a coroutine over a BlockingWire waits for an event loop")


def blocking(work: Callable[P, Coroutine[Any, Any, T]]) -> Callable[P, T]:
    """Make a plain function of a coroutine function; its owner has a BlockingWire."""

    def run(*args: P.args, **kwargs: P.kwargs) -> T:
        return now(work(*args, **kwargs))

    return _described(run, work)


def blocking_each(work: Callable[P, AsyncGenerator[T, None]]) -> Callable[P, Generator[T, None, None]]:
    """Make a plain generator function of an asynchronous one; its owner has a BlockingWire."""

    async def following(items: AsyncGenerator[T, None]) -> T:
        return await anext(items)

    def run(*args: P.args, **kwargs: P.kwargs) -> Generator[T, None, None]:
        items = work(*args, **kwargs)
        try:
            while True:
                yield now(following(items))
        except StopAsyncIteration:
            return
        finally:
            now(items.aclose())

    return _described(run, work)


def _described(run: Callable[P, T], work: Callable[P, Any]) -> Callable[P, T]:
    """Give a plain function name, docstring and signature of the coroutine function that it runs, for `help`."""
    update_wrapper(run, work)
    del run.__wrapped__  # type: ignore[attr-defined]  # else it would be shown as a coroutine function
    signature = inspect.signature(work)
    returned = signature.return_annotation  # a text, since annotations are not evaluated
    if returned.startswith("AsyncGenerator["):
        returned = returned.removeprefix("Async").replace(", None]", ", None, None]")
    run.__signature__ = signature.replace(return_annotation=returned)  # type: ignore[attr-defined]
    return run
