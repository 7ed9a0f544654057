"""A client of a farm, for scripts and the command line. It raises the farm's own exceptions.

Importing it loads httpx, farm.errors and farm.address, and nothing else of the farm.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import tempfile
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, Self, TypeVar
from urllib.parse import quote, urlencode
from uuid import uuid4

import httpx
from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_exponential

from farm.address import farm_url, proxy_to
from farm.errors import (
    Busy,
    ConfigError,
    Conflict,
    Damaged,
    FarmError,
    Forbidden,
    InvalidRequest,
    NotFound,
    NotReady,
    Overloaded,
    Quota,
    StoreError,
    TooLarge,
    Unauthorized,
    Unavailable,
    UnsupportedImage,
)


class Event(NamedTuple):
    """An event of a stream."""

    id: str
    name: str  #: of a video's stream: status, progress, section or end
    data: dict[str, Any]


def read_events(lines: Iterable[str]) -> Iterator[Event]:
    """Read events from the lines of a stream. Skip comments (pings) and an event that a broken connection cut short."""
    fields: dict[str, list[str]] = {}
    for line in lines:
        if line.startswith(":"):
            continue
        if line:
            name, _, value = line.partition(":")
            fields.setdefault(name, []).append(value.removeprefix(" "))
            continue
        if "data" in fields:
            data = json.loads("\n".join(fields["data"]))
            yield Event(fields.get("id", [""])[-1], fields.get("event", ["message"])[-1], data)
        fields = {}


_ERRORS: dict[str, type[FarmError]] = {
    error.code: error
    for error in (
        *(InvalidRequest, UnsupportedImage, TooLarge, Unauthorized, Forbidden),
        *(NotFound, Conflict, NotReady, Quota, Overloaded, Busy, Unavailable, Damaged),
    )
}
_LOST = (httpx.TransportError, Unavailable, Busy)  #: worth another attempt
_WISHED = {  #: wish -> the statuses that show that the farm heard it
    "pause": {"paused"},
    "resume": {"queued", "in_progress", "completed"},
    "cancel": {"cancelled"},
    "retry": {"queued", "in_progress", "completed"},
}
_FIRST_S = 5.0  #: patience with a farm that has never answered: its address may be wrong
_IMPORT_S = 3600.0  #: time for the farm to store a large archive
_READ_S = 40.0  #: the farm pings an idle event stream every 15 s

T = TypeVar("T")


class FarmClient:
    """A connection to one farm. It retries every call that a broken connection interrupts, for `patience_s`."""

    def __init__(
        self,
        url: str,
        *,
        api_key: str | None = None,
        patience_s: float = 60.0,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        """Raises: ConfigError for an address, or a proxy of the environment, that cannot be used.

        url: with or without its scheme and `/v1`. transport: replaces the network in tests.
        """
        address = farm_url(url)
        self._address, self._proxy = str(address).rstrip("/"), proxy_to(address)
        headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
        timeout = httpx.Timeout(_READ_S, connect=5.0)
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=20)  # each watched video holds one
        try:
            self._http = httpx.Client(
                base_url=address,
                headers=headers,
                timeout=timeout,
                limits=limits,
                transport=transport,
                proxy=self._proxy.url if self._proxy else None,
                trust_env=False,  # `proxy_to` chooses the proxy
                verify=httpx.create_ssl_context(),  # with the certificates that SSL_CERT_FILE names
            )
        except (ImportError, ValueError) as err:  # a SOCKS proxy without socksio; a scheme that is no proxy's
            raise ConfigError(f"the proxy {self._proxy} cannot be used: {_proxy_help(err)}") from err
        self._patience_s, self._answered = patience_s, False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def submit(
        self, fields: Mapping[str, Any], images: Mapping[str, Path], *, key: str | None = None
    ) -> dict[str, Any]:
        """Ask for a video; a retry never stores it twice. images: "input_reference", "end_image" … -> file.

        key: an Idempotency-Key. Another call, even of another process, gets the same video with it. None: a new key.
        Raises: InvalidRequest, UnsupportedImage, TooLarge, Quota, Overloaded; Unavailable if no farm answers.
        """
        return self._send("/v1/videos", fields, images, key=key)

    def estimate(self, fields: Mapping[str, Any], images: Mapping[str, Path]) -> dict[str, Any]:
        """Return what would be made and how long each worker would take; store nothing. Raises: as `submit`.

        The field `image_size` ("WIDTHxHEIGHT" in px) may stand for the start image.
        """
        return self._send("/v1/videos", fields, images, query={"dry_run": "1"})

    def remix(self, video_id: str, fields: Mapping[str, Any], images: Mapping[str, Path]) -> dict[str, Any]:
        """Make a new video with other `fields`. It shares the sections before `fields["from_section"]` (default: 0).

        Raises: NotFound; NotReady if those sections are not made yet; as `submit`.
        """
        return self._send(f"/v1/videos/{_segment(video_id)}/remix", fields, images)

    def extend(self, video: str | Path, fields: Mapping[str, Any]) -> dict[str, Any]:
        """Make a new video that continues `video`, an id or a file. Raises: NotFound, NotReady; as `submit`."""
        if isinstance(video, Path):
            return self._send("/v1/videos/extensions", fields, {"video": video})
        return self._send("/v1/videos/extensions", {**fields, "video": {"id": video}}, {})

    def get(self, video_id: str) -> dict[str, Any]:
        """Return the video object. Raises: NotFound."""
        return self._ask("GET", f"/v1/videos/{_segment(video_id)}")

    def list(
        self,
        *,
        limit: int = 20,
        status: str | None = None,
        after: str | None = None,
        order: str = "desc",
        batch: str | None = None,
        q: str | None = None,
        starred: bool | None = None,
    ) -> dict[str, Any]:
        """Return a page of videos: {data, has_more, last_id …}. order: "desc" puts the newest first.

        With `status`, `q` (letters of prompt or name) or `starred`, a page may be short although there are more.
        Raises: NotFound for an unknown `batch` or `after`.
        """
        query = {"limit": limit, "status": status, "after": after, "order": order, "batch": batch}
        query |= {"q": q, "starred": starred}
        return self._ask(
            "GET", "/v1/videos", params={name: value for name, value in query.items() if value is not None}
        )

    def every(
        self, *, status: str | None = None, q: str | None = None, starred: bool | None = None
    ) -> Iterator[dict[str, Any]]:
        """Iterate over all videos, newest first."""
        after = None
        while True:
            page = self.list(limit=100, status=status, after=after, q=q, starred=starred)
            yield from page["data"]
            after = page["last_id"]
            if not page["has_more"]:
                return

    def wish(self, video_id: str, wish: str) -> dict[str, Any]:
        """Pause, resume, cancel or retry a video. Raises: Conflict if its state forbids that."""
        path, lost = f"/v1/videos/{_segment(video_id)}", False

        def once() -> dict[str, Any]:
            nonlocal lost
            if lost:  # pausing twice is a conflict, so look first whether the first call arrived
                video = self._once("GET", path)
                if video["status"] in _WISHED[wish]:
                    return video
            lost = True
            return self._once("POST", f"{path}/{wish}")

        return self._patiently(once)

    def edit(self, video_id: str, changes: Mapping[str, Any]) -> dict[str, Any]:
        """Change prompt, priority, name or labels. Raises: InvalidRequest; Conflict if the state forbids it."""
        return self._ask("PATCH", f"/v1/videos/{_segment(video_id)}", json=dict(changes))

    def move(self, video_id: str, **place: str) -> dict[str, Any]:
        """Move a queued video: `before` or `after` another of yours, or `to` "first" or "last". Raises: Conflict."""
        return self._ask("POST", f"/v1/videos/{_segment(video_id)}/move", json=place)

    def delete(self, video_id: str) -> dict[str, Any]:
        """Erase an ended video. Raises: NotFound; Conflict if it has not ended."""
        self.get(video_id)  # it exists now, so if it is gone after a lost answer, the first attempt erased it
        lost = False

        def once() -> dict[str, Any]:
            nonlocal lost
            try:
                return self._once("DELETE", f"/v1/videos/{_segment(video_id)}")
            except NotFound:
                if lost:
                    return {"id": video_id, "object": "video.deleted", "deleted": True}
                raise
            except _LOST:
                lost = True
                raise

        return self._patiently(once)

    def models(self) -> dict[str, Any]:
        """List the models that a request may name."""
        return self._ask("GET", "/v1/models")

    def farm(self) -> dict[str, Any]:
        """Return what a form must know: who asks, the default model, whether it can be rendered now, the limits."""
        return self._ask("GET", "/v1/farm")

    def inspect(self, file: Path) -> dict[str, Any]:
        """Return the settings that a file holds: `from`, and `data` with {fields, images, left_out} of each video.

        Raises: InvalidRequest if it holds none; UnsupportedImage, TooLarge.
        """
        return self._ask("POST", "/v1/inspect", files={"file": (file.name, file.read_bytes())})

    def presets(self) -> dict[str, Any]:
        """List the built-in presets, then your own; `start` names the one that a form begins with."""
        return self._ask("GET", "/v1/presets")

    def save_preset(self, name: str, fields: Mapping[str, Any], *, start: bool = False) -> dict[str, Any]:
        """Save fields of a request under a name. Raises: InvalidRequest; Conflict for a built-in preset's name."""
        return self._ask("PUT", f"/v1/presets/{_segment(name)}", json={"fields": dict(fields), "start": start})

    def delete_preset(self, name: str) -> dict[str, Any]:
        """Forget one of your presets. Raises: NotFound; Conflict for a built-in one."""
        # not sent twice once it may have arrived: the second answer would be NotFound
        return self._ask("DELETE", f"/v1/presets/{_segment(name)}", again=(httpx.ConnectError,))

    def loras(self) -> dict[str, Any]:
        """List the LoRAs of the farm."""
        return self._ask("GET", "/v1/loras")

    def workers(self) -> dict[str, Any]:
        """List the workers."""
        return self._ask("GET", "/v1/workers")

    def worker_wish(self, worker_id: str, wish: str) -> dict[str, Any]:
        """Pause, resume or drain a worker, by its id or slot. Raises: Forbidden, NotFound, Conflict."""
        # not sent twice once it may have arrived: pausing twice is a conflict
        return self._ask("POST", f"/v1/workers/{_segment(worker_id)}/{wish}", again=(httpx.ConnectError,))

    def watch(self, video_id: str) -> Iterator[Event]:
        """Iterate over the events up to `end`. After a lost connection, resume where it broke.

        Raises: NotFound; Unavailable if the farm does not answer for `patience_s`.
        """
        with contextlib.closing(self._follow(f"/v1/videos/{_segment(video_id)}/events")) as events:
            for event in events:
                yield event
                if event.name == "end":
                    return

    def events(self, *, previews: Iterable[str] = ()) -> Generator[Event, None, None]:
        """Iterate without end over the events of all your videos, the queue, the workers and the farm.

        previews: ids of videos to look into while they are made, at most 4.
        After a lost connection, resume where it broke. On `reset`, list your videos again: events may be missing.
        Raises: Unavailable if the farm does not answer for `patience_s`.
        """
        return self._follow("/v1/events?" + urlencode([("preview", video_id) for video_id in previews]))

    def fetch(self, video_id: str, out: Path, *, variant: str = "video") -> Path:
        """Write a video's content to `out`. Resume a download that an earlier call began.

        The partial file lies beside `out` until it is complete and its sha256 is right.
        Raises: NotReady, NotFound; StoreError if the bytes differ from those that the farm announced.
        """
        out.parent.mkdir(parents=True, exist_ok=True)
        part = out.with_name(f".{out.name}.{video_id}.{variant}.part")
        self._patiently(partial(self._fetch_once, video_id, part, variant))
        part.replace(out)
        _tag_of(part).unlink()
        return out

    def export(self, video_id: str, out: Path) -> Path:
        """Write everything stored of a video to `out`: a file *.tar, or else a new folder. Write all or nothing.

        Raises: NotFound; StoreError if an object is damaged; InvalidRequest if the farm sent no archive.
        """
        from farm.transfer.archive import unpack

        out.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{out.name}.", dir=out.parent) as name:
            part, folder = Path(name, "archive.tar"), Path(name, "folder")
            self._patiently(partial(self._export_once, video_id, part))
            with part.open("rb") as file:
                if out.suffix == ".tar":
                    unpack(file, None)  # only checks it
                else:
                    folder.mkdir()
                    unpack(file, folder)
            (part if out.suffix == ".tar" else folder).replace(out)
        return out

    def import_archive(self, source: Path, *, new_id: bool = False) -> dict[str, Any]:
        """Import the exported video in `source`, a file or a folder. Return the video object.

        Raises: InvalidRequest if it is damaged or no exported video; Conflict if its id is taken; TooLarge.
        """
        from farm.transfer.archive import pack, packed_bytes, read_folder

        def once() -> dict[str, Any]:
            with contextlib.ExitStack() as held:
                if source.is_dir():
                    manifest, read = read_folder(source)
                    body, size = pack(manifest, read), packed_bytes(manifest)
                else:
                    file = held.enter_context(source.open("rb"))
                    body, size = iter(partial(file.read, 1 << 20), b""), source.stat().st_size
                headers = {"Content-Type": "application/x-tar", "Content-Length": str(size)}
                timeout = httpx.Timeout(_IMPORT_S, connect=5.0)
                options = {"params": {"new_id": new_id}, "headers": headers, "timeout": timeout}
                return self._once("POST", "/v1/videos/import", content=body, **options)

        return self._patiently(once)

    def _export_once(self, video_id: str, part: Path) -> None:
        with self._http.stream("GET", f"/v1/videos/{_segment(video_id)}/export") as response:
            _check(response)
            with part.open("wb") as file:
                for piece in response.iter_bytes():
                    file.write(piece)

    def _send(
        self,
        path: str,
        fields: Mapping[str, Any],
        files: Mapping[str, Path],
        *,
        key: str | None = None,
        query: Mapping[str, str] | None = None,
    ) -> dict[str, Any]:
        """Ask for a video under a key, so that a retry stores nothing twice."""
        data = {name: value if isinstance(value, str) else json.dumps(value) for name, value in fields.items()}
        parts = {name: (file.name, file.read_bytes()) for name, file in files.items()}
        headers = {"Idempotency-Key": key or uuid4().hex}
        return self._ask("POST", path, data=data, files=parts, headers=headers, params=query)

    def _fetch_once(self, video_id: str, part: Path, variant: str) -> None:
        tag = _tag_of(part)
        have = part.stat().st_size if part.exists() and tag.exists() else 0
        headers = {"Range": f"bytes={have}-", "If-Range": tag.read_text()} if have else {}
        path = f"/v1/videos/{_segment(video_id)}/content"
        with self._http.stream("GET", path, params={"variant": variant}, headers=headers) as response:
            if response.status_code == httpx.codes.REQUESTED_RANGE_NOT_SATISFIABLE:
                part.unlink()  # complete already, or longer than the file: start over
                raise httpx.ReadError("the partial file does not match")
            _check(response)
            tag.write_text(response.headers.get("etag", ""))
            with part.open("ab" if response.status_code == httpx.codes.PARTIAL_CONTENT else "wb") as file:
                for piece in response.iter_bytes():
                    file.write(piece)
            _check_digest(part, response.headers.get("repr-digest", ""))

    def _follow(self, path: str) -> Generator[Event, None, None]:
        """Iterate over the events of a stream, up to the answer that there are no more."""
        last_id: str | None = None
        while True:
            response = self._patiently(partial(self._open_events, path, last_id))
            with contextlib.closing(response):
                if response.status_code == httpx.codes.NO_CONTENT:
                    return
                with contextlib.suppress(httpx.TransportError):  # the connection broke: reconnect with the last id
                    for event in read_events(response.iter_lines()):
                        last_id = event.id or last_id
                        yield event

    def _open_events(self, path: str, last_id: str | None) -> httpx.Response:
        headers = {"Last-Event-ID": last_id} if last_id else {}
        request = self._http.build_request("GET", path, headers=headers)
        response = self._http.send(request, stream=True)
        with contextlib.ExitStack() as undo:
            undo.callback(response.close)
            _check(response)
            undo.pop_all()
        return response

    def _ask(
        self, method: str, path: str, *, again: tuple[type[Exception], ...] = _LOST, **options: Any
    ) -> dict[str, Any]:
        return self._patiently(partial(self._once, method, path, **options), again=again)

    def _once(self, method: str, path: str, **options: Any) -> dict[str, Any]:
        response = self._http.request(method, path, **options)
        _check(response)
        try:
            answer = response.json()
        except ValueError:
            answer = None
        if not isinstance(answer, dict):
            raise Unavailable(f"the server at {self._address} is not a farm; check --url (FARM_URL)")
        return answer

    def _patiently(self, call: Callable[[], T], *, again: tuple[type[Exception], ...] = _LOST) -> T:
        """Repeat `call` while it raises one of `again`. Give up soon on a farm that has never answered."""
        patience_s = self._patience_s if self._answered else min(self._patience_s, _FIRST_S)
        retrying = Retrying(
            retry=retry_if_exception_type(again),
            stop=stop_after_delay(patience_s),
            wait=wait_exponential(multiplier=0.2, max=2.0),
            reraise=True,
        )
        try:
            answer = retrying(call)
        except httpx.TransportError as err:
            way = f" through the proxy {self._proxy}" if self._proxy else ""
            raise Unavailable(f"no farm answers at {self._address}{way}: {err or type(err).__name__}") from err
        self._answered = True
        return answer


def _proxy_help(err: Exception) -> str:
    if isinstance(err, ImportError):
        return "install httpx[socks], or unset the variable"
    return f"{err}; correct the variable, or unset it"


def _check(response: httpx.Response) -> None:
    """Raise the farm's error that the response carries."""
    if response.is_success:
        return
    response.read()
    try:
        problem = response.json()
        code, detail = str(problem["code"]), str(problem["detail"])
    except (ValueError, KeyError, TypeError):  # Ray Serve's proxy while it starts or is full, or another server
        code, detail = "", f"the farm answered {response.status_code} {response.reason_phrase}"
        if response.status_code in {httpx.codes.NOT_FOUND, httpx.codes.TOO_MANY_REQUESTS} or response.is_server_error:
            code = Unavailable.code
    if response.status_code == httpx.codes.SERVICE_UNAVAILABLE:
        code = Unavailable.code
    raise _ERRORS.get(code, FarmError)(detail, status=response.status_code)


def _check_digest(path: Path, header: str) -> None:
    """Compare `path` with a Repr-Digest header (RFC 9530). On a mismatch, remove it. Raises: StoreError."""
    if not header.startswith("sha-256=:"):
        return
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").digest()
    if base64.b64encode(found).decode() != header.removeprefix("sha-256=:").rstrip(":"):
        path.unlink()
        raise StoreError("the downloaded file differs from what the farm announced; fetch it again")


def _tag_of(part: Path) -> Path:
    """Return the file that keeps a partial file's ETag."""
    return part.with_suffix(".etag")


def _segment(video_id: str) -> str:
    """Quote an id as a single segment of a path."""
    return quote(video_id, safe="")
