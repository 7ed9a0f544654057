"""A connection to one farm: asks again while the network or the farm is away, and raises the farm's own errors."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Iterator, Mapping
from contextlib import AsyncExitStack, aclosing, asynccontextmanager, contextmanager, suppress
from functools import partial
from numbers import Integral, Real
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, TypeVar
from urllib.parse import quote
from uuid import uuid4

from framefarm_client.errors import BY_CODE, Busy, ConfigError, FarmError, StoreError, Unavailable
from framefarm_client.events import Event, EventParser
from framefarm_client.part_file import tag_of
from framefarm_client.wires import Wire

if TYPE_CHECKING:
    import httpx

T = TypeVar("T")
ImageFile: TypeAlias = str | os.PathLike[str] | bytes  #: the path of a picture, or its bytes
SentFile: TypeAlias = Mapping[str, Any]  #: a picture that was sent before: a file object, or {"file_id": …}

_FIRST_S = 5.0  #: patience while nothing has ever taken a connection: the address may be wrong
_READ_S = 40.0  #: the farm pings an idle event stream every 15 s
_PAUSES_S = (0.2, 2.0)  #: before a call is repeated: the first, and the longest of those that double


class Lost(Exception):
    """A connection broke, or could not be made; its cause is httpx's error."""


class NotSent(Lost):
    """No connection could be made, so the farm heard nothing."""


LOST: tuple[type[Exception], ...] = (Lost, Unavailable, Busy)  #: worth another attempt


class Connected(Protocol):
    """An object that has a connection."""

    @property
    def connection(self) -> Connection:
        """Return it."""


class Connection:
    """Asks one farm. It repeats every call that a broken connection interrupts, for `patience_s`."""

    def __init__(
        self, wire: Callable[..., Wire], url: str, *, api_key: str | None, patience_s: float, transport: Any = None
    ) -> None:
        """Raises: ConfigError for an address, or a proxy of the environment, that cannot be used."""
        import httpx

        from framefarm_client.address import farm_url, proxy_to

        address = farm_url(url)
        self.url, self._proxy = str(address).rstrip("/"), proxy_to(address)
        self._patience_s, self._answered = patience_s, False
        try:
            self.wire = wire(
                base_url=address,
                headers={"Authorization": f"Bearer {api_key}"} if api_key else {},
                timeout=httpx.Timeout(_READ_S, connect=5.0),
                limits=httpx.Limits(max_connections=None, max_keepalive_connections=20),  # a watched video holds one
                transport=transport,
                proxy=self._proxy.url if self._proxy else None,
                trust_env=False,  # `proxy_to` chooses the proxy
                verify=httpx.create_ssl_context(),  # with the certificates that SSL_CERT_FILE names
            )
        except (ImportError, ValueError) as err:  # a SOCKS proxy without socksio; a scheme that is no proxy's
            raise ConfigError(f"the proxy {self._proxy} cannot be used: {_proxy_help(err)}") from err

    async def ask(
        self, method: str, path: str, *, again: tuple[type[Exception], ...] = LOST, **options: Any
    ) -> dict[str, Any]:
        """Return the object that the farm answers. again: after which errors to repeat the call."""
        return await self.patiently(partial(self.once, method, path, **options), again=again)

    async def once(self, method: str, path: str, **options: Any) -> dict[str, Any]:
        """Ask a single time."""
        if "json" in options:
            headers = {"Content-Type": "application/json", **(options.get("headers") or {})}
            options |= {"content": _json(options.pop("json")), "headers": headers}
        async with self.stream(method, path, **options) as response:
            with _naming_losses():
                await self.wire.read(response)
        try:
            found = response.json()
        except ValueError:
            found = None
        if not isinstance(found, dict):
            raise Unavailable(f"the server at {self.url} is not a farm; check --url (FARM_URL)")
        return found

    async def send(
        self,
        path: str,
        fields: Mapping[str, Any],
        files: Mapping[str, ImageFile | SentFile],
        *,
        key: str | None = None,
        query: Mapping[str, str] | None = None,
    ) -> dict[str, Any]:
        """Ask for a video under a key, so that a retry stores nothing twice."""
        data = {name: value if isinstance(value, str) else _json(value) for name, value in fields.items()}
        sent = {name: file for name, file in files.items() if isinstance(file, Mapping)}
        data |= {name: json.dumps({"file_id": file.get("file_id") or file["id"]}) for name, file in sent.items()}
        new = {name: file for name, file in files.items() if not isinstance(file, Mapping)}
        parts = await self.wire.aside(lambda: {name: part_of(file) for name, file in new.items()})
        headers = {"Idempotency-Key": key or uuid4().hex}
        return await self.ask("POST", path, data=data, files=parts, headers=headers, params=query)

    @asynccontextmanager
    async def stream(self, method: str, path: str, **options: Any) -> AsyncIterator[httpx.Response]:
        """Give the answer, its body unread. Raises: Lost; the farm's error that it carries, but for a 416."""
        with _naming_losses():
            response = await self.wire.send(method, path, stream=True, **options)
        try:
            if not response.is_success and response.status_code != 416:
                with _naming_losses():
                    await self.wire.read(response)
                raise _error_of(response)
            yield response
        finally:
            await self.wire.drop(response)

    async def follow(self, path: str) -> AsyncGenerator[Event, None]:
        """Iterate over the events of a stream, up to the answer that there are no more; resume where it broke."""
        last_id: str | None = None
        while True:
            headers = {"Last-Event-ID": last_id} if last_id else {}
            async with AsyncExitStack() as held:

                async def opened(held: AsyncExitStack = held, headers: dict[str, str] = headers) -> httpx.Response:
                    return await held.enter_async_context(self.stream("GET", path, headers=headers))

                response = await self.patiently(opened)
                if response.status_code == 204:
                    return
                parser = EventParser()
                with suppress(Lost):  # the connection broke: connect again with the last id
                    async with aclosing(self._lines(response)) as lines:
                        async for line in lines:
                            if event := parser.take(line):
                                last_id = event.id or last_id
                                yield event

    async def download(self, video_id: str, variant: str, part: Path) -> None:
        """Write a file of a video to `part`, from where an earlier attempt broke off. Checks its sha256."""
        tag = tag_of(part)
        have = part.stat().st_size if part.exists() and tag.exists() else 0
        headers = {"Range": f"bytes={have}-", "If-Range": tag.read_text()} if have else {}
        path = f"/v1/videos/{segment(video_id)}/content"
        async with self.stream("GET", path, params={"variant": variant}, headers=headers) as response:
            if response.status_code == 416:
                os.truncate(part, 0)  # complete already, or longer than the file: start over
                raise Lost("the partial file does not match")
            tag.write_text(response.headers.get("etag", ""))
            await self.write(response, part, append=response.status_code == 206)
            await self.wire.aside(lambda: _check_digest(part, response.headers.get("repr-digest", "")))

    async def write(self, response: httpx.Response, path: Path, *, append: bool = False) -> None:
        """Write a streamed body to a file. Raises: Lost."""
        with path.open("ab" if append else "wb") as file, _naming_losses():
            async for piece in self.wire.pieces(response):
                file.write(piece)

    async def patiently(
        self, call: Callable[[], Coroutine[Any, Any, T]], *, again: tuple[type[Exception], ...] = LOST
    ) -> T:
        """Repeat `call` while it raises one of `again`. Give up soon if nothing ever took a connection."""
        begun, (pause_s, longest_s) = time.monotonic(), _PAUSES_S
        while True:
            try:
                answer = await call()
            except Exception as err:
                is_there = self._answered or not isinstance(err, NotSent)
                patience_s = self._patience_s if is_there else min(self._patience_s, _FIRST_S)
                if not isinstance(err, again) or time.monotonic() >= begun + patience_s:
                    if isinstance(err, Lost):
                        raise self._away(err) from err
                    raise
            else:
                self._answered = True
                return answer
            await self.wire.sleep(pause_s)
            pause_s = min(2 * pause_s, longest_s)

    async def _lines(self, response: httpx.Response) -> AsyncGenerator[str, None]:
        with _naming_losses():
            async for line in self.wire.lines(response):
                yield line

    def _away(self, err: Lost) -> Unavailable:
        way = f" through the proxy {self._proxy}" if self._proxy else ""
        return Unavailable(f"no farm answers at {self.url}{way}: {err}")


@contextmanager
def _naming_losses() -> Iterator[None]:
    """Raise Lost for an error of the network."""
    import httpx

    try:
        yield
    except (httpx.ConnectError, httpx.ConnectTimeout) as err:
        raise NotSent(str(err) or type(err).__name__) from err
    except httpx.TransportError as err:
        raise Lost(str(err) or type(err).__name__) from err


def _error_of(response: httpx.Response) -> FarmError:
    """Return the farm's error that a response carries, with the facts that `framefarm_client.errors` promises."""
    facts: dict[str, object] = {"status": response.status_code}
    with suppress(KeyError, ValueError):  # without the header, or with a date in it, which no farm sends
        facts["retry_after_s"] = float(response.headers["retry-after"])
    try:
        problem = response.json()
        code, detail = str(problem["code"]), str(problem["detail"])
        with suppress(KeyError, TypeError):  # a list that no farm sends
            if fields := {error["field"]: error["message"] for error in problem.get("errors", ())}:
                facts["fields"] = fields
    except (ValueError, KeyError, TypeError):  # a proxy before the farm, or another server
        code, detail = "", f"the farm answered {response.status_code} {response.reason_phrase}"
        if response.status_code in {404, 429} or response.is_server_error:
            code = Unavailable.code
    if response.status_code == 503:
        code = Unavailable.code
    return BY_CODE.get(code, FarmError)(detail, **facts)


def _proxy_help(err: Exception) -> str:
    if isinstance(err, ImportError):
        return "install httpx[socks], or unset the variable"
    return f"{err}; correct the variable, or unset it"


def _json(value: object) -> str:
    return json.dumps(value, default=_plain)


def _plain(number: object) -> int | float:
    """Return a number of another library, such as numpy's, as Python's own. Raises: TypeError for what is none."""
    if isinstance(number, Integral):
        return int(number)
    if isinstance(number, Real):
        return float(number)
    raise TypeError(f"cannot be sent to a farm: {number!r}")


def part_of(file: ImageFile) -> tuple[str, bytes]:
    """Return a part of a form: name and bytes. Raises: OSError."""
    if isinstance(file, bytes):
        return "picture", file
    path = Path(file)
    return path.name, path.read_bytes()


def _check_digest(path: Path, header: str) -> None:
    """Compare `path` with a Repr-Digest header (RFC 9530). On a mismatch, remove it and its tag. Raises: StoreError."""
    if not header.startswith("sha-256=:"):
        return
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").digest()
    if base64.b64encode(found).decode() != header.removeprefix("sha-256=:").rstrip(":"):
        path.unlink()
        tag_of(path).unlink()
        raise StoreError("the downloaded file differs from what the farm announced; fetch it again")


def segment(text: str) -> str:
    """Quote an id as a single segment of a path."""
    return quote(text, safe="")
