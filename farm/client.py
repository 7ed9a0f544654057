"""A farm over HTTP, for scripts and the command line. Errors come back as the farm's own exceptions."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, Self, TypeVar
from urllib.parse import quote
from uuid import uuid4

import httpx
from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_exponential

from farm.errors import (
    Busy,
    Conflict,
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
from farm.transfer.archive import pack, packed_bytes, read_folder, unpack


class Event(NamedTuple):
    """One event of a video's stream."""

    id: str
    name: str  #: status, progress, section or end
    data: dict[str, Any]


def read_events(lines: Iterable[str]) -> Iterator[Event]:
    """Events from the lines of a stream; comments (pings) and what a broken connection cut short are left out."""
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
        *(NotFound, Conflict, NotReady, Quota, Overloaded, Busy, Unavailable),
    )
}
_LOST = (httpx.TransportError, Unavailable, Busy)  #: worth another try
_WISHED = {  #: what a video is once the wish was heard
    "pause": {"paused"},
    "resume": {"queued", "in_progress", "completed"},
    "cancel": {"cancelled"},
    "retry": {"queued", "in_progress", "completed"},
}
_FIRST_S = 5.0  #: patience with a farm that has not answered yet: its address may be wrong
_IMPORT_S = 3600.0  #: until a farm has stored a large archive
_READ_S = 40.0  #: the farm pings an idle event stream every 15 s

T = TypeVar("T")


class FarmClient:
    """One farm. Safe to ask again: whatever a broken connection interrupts is retried for `patience_s`."""

    def __init__(
        self,
        url: str,
        *,
        api_key: str | None = None,
        patience_s: float = 60.0,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        """`transport`: another way to the farm than the network (tests)."""
        headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
        timeout = httpx.Timeout(_READ_S, connect=5.0)
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=20)  # one for each video that is watched
        self._http = httpx.Client(base_url=url, headers=headers, timeout=timeout, limits=limits, transport=transport)
        self._patience_s, self._answered = patience_s, False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def submit(
        self, fields: Mapping[str, Any], images: Mapping[str, Path], *, key: str | None = None
    ) -> dict[str, Any]:
        """Ask for a video; the same call is never stored twice. `images`: "input_reference", "end_image" … -> file.

        key: an Idempotency-Key under which another call, or another process, gets the same video; None: a new one.
        Raises: InvalidRequest, UnsupportedImage, TooLarge, Quota, Overloaded; Unavailable where no farm answers.
        """
        return self._send("/v1/videos", fields, images, key=key)

    def estimate(self, fields: Mapping[str, Any], images: Mapping[str, Path]) -> dict[str, Any]:
        """What would be made, and how long each worker would take; nothing is stored. Raises: as `submit`."""
        return self._send("/v1/videos", fields, images, query={"dry_run": "1"})

    def remix(self, video_id: str, fields: Mapping[str, Any], images: Mapping[str, Path]) -> dict[str, Any]:
        """A new video with other `fields`; it shares the sections before `fields["from_section"]` (none: 0).

        Raises: NotFound; NotReady where those sections are not made; as `submit`.
        """
        return self._send(f"/v1/videos/{_segment(video_id)}/remix", fields, images)

    def extend(self, video: str | Path, fields: Mapping[str, Any]) -> dict[str, Any]:
        """A new video that goes on where `video`, an id or a file, ends. Raises: NotFound, NotReady; as `submit`."""
        if isinstance(video, Path):
            return self._send("/v1/videos/extensions", fields, {"video": video})
        return self._send("/v1/videos/extensions", {**fields, "video": {"id": video}}, {})

    def get(self, video_id: str) -> dict[str, Any]:
        """The video object. Raises: NotFound."""
        return self._ask("GET", f"/v1/videos/{_segment(video_id)}")

    def list(
        self,
        *,
        limit: int = 20,
        status: str | None = None,
        after: str | None = None,
        order: str = "desc",
        batch: str | None = None,
    ) -> dict[str, Any]:
        """A page of videos, newest first (or with order="asc" last): {data, has_more, last_id …}.

        Raises: NotFound for an unknown batch, or where there is no video `after`.
        """
        query = {"limit": limit, "status": status, "after": after, "order": order, "batch": batch}
        return self._ask(
            "GET", "/v1/videos", params={name: value for name, value in query.items() if value is not None}
        )

    def every(self, *, status: str | None = None) -> Iterator[dict[str, Any]]:
        """All videos, newest first, page by page."""
        after = None
        while True:
            page = self.list(limit=100, status=status, after=after)
            yield from page["data"]
            after = page["last_id"]
            if not page["has_more"]:
                return

    def wish(self, video_id: str, wish: str) -> dict[str, Any]:
        """pause, resume, cancel or retry. Raises: Conflict where the video's state forbids it."""
        path, lost = f"/v1/videos/{_segment(video_id)}", False

        def once() -> dict[str, Any]:
            nonlocal lost
            if lost:  # the second of two pauses is a conflict: look whether the first arrived
                video = self._once("GET", path)
                if video["status"] in _WISHED[wish]:
                    return video
            lost = True
            return self._once("POST", f"{path}/{wish}")

        return self._patiently(once)

    def edit(self, video_id: str, changes: Mapping[str, Any]) -> dict[str, Any]:
        """Change prompt, priority or name. Raises: InvalidRequest; Conflict where the video no longer waits."""
        return self._ask("PATCH", f"/v1/videos/{_segment(video_id)}", json=dict(changes))

    def delete(self, video_id: str) -> dict[str, Any]:
        """Erase an ended video. Raises: NotFound; Conflict where it has not ended."""
        self.get(video_id)  # it is there: where an answer is lost and it is gone then, it was erased
        lost = False

        def once() -> dict[str, Any]:
            nonlocal lost
            try:
                return self._once("DELETE", f"/v1/videos/{_segment(video_id)}")
            except NotFound:
                if lost:  # the first try erased it
                    return {"id": video_id, "object": "video.deleted", "deleted": True}
                raise
            except _LOST:
                lost = True
                raise

        return self._patiently(once)

    def models(self) -> dict[str, Any]:
        """What can be asked for."""
        return self._ask("GET", "/v1/models")

    def workers(self) -> dict[str, Any]:
        """Who renders."""
        return self._ask("GET", "/v1/workers")

    def worker_wish(self, worker_id: str, wish: str) -> dict[str, Any]:
        """Pause, resume or drain a worker, named by its id or its slot. Raises: Forbidden, NotFound, Conflict."""
        # not sent again once it may have arrived: the second of two pauses is a conflict
        return self._ask("POST", f"/v1/workers/{_segment(worker_id)}/{wish}", again=(httpx.ConnectError,))

    def watch(self, video_id: str) -> Iterator[Event]:
        """Every event up to `end`; a lost connection is taken up where it broke.

        Raises: NotFound; Unavailable where the farm stays away for `patience_s`.
        """
        last_id: str | None = None
        while True:
            response = self._patiently(partial(self._open_events, video_id, last_id))
            with contextlib.closing(response):
                if response.status_code == httpx.codes.NO_CONTENT:
                    return
                with contextlib.suppress(httpx.TransportError):  # the connection broke: come back with the last id
                    for event in read_events(response.iter_lines()):
                        last_id = event.id or last_id
                        yield event
                        if event.name == "end":
                            return

    def fetch(self, video_id: str, out: Path, *, variant: str = "video") -> Path:
        """Write a video's content to `out`, going on with what an earlier call began.

        The part lies beside `out` until it is complete and its sha256 is right.
        Raises: NotReady, NotFound; StoreError where the bytes are not those that the farm announced.
        """
        out.parent.mkdir(parents=True, exist_ok=True)
        part = out.with_name(f".{out.name}.{video_id}.{variant}.part")
        self._patiently(partial(self._fetch_once, video_id, part, variant))
        part.replace(out)
        _tag_of(part).unlink()
        return out

    def export(self, video_id: str, out: Path) -> Path:
        """Write a video with everything to `out`: a file *.tar, else a new folder. It is there only when it is whole.

        Raises: NotFound; StoreError where an object of it is damaged; InvalidRequest where the farm sent no archive.
        """
        out.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{out.name}.", dir=out.parent) as name:
            part, folder = Path(name, "archive.tar"), Path(name, "folder")
            self._patiently(partial(self._export_once, video_id, part))
            with part.open("rb") as file:
                if out.suffix == ".tar":
                    unpack(file, None)  # to see that it is whole
                else:
                    folder.mkdir()
                    unpack(file, folder)
            (part if out.suffix == ".tar" else folder).replace(out)
        return out

    def import_archive(self, source: Path, *, new_id: bool = False) -> dict[str, Any]:
        """Give the farm a video that was exported to `source`, a file or a folder; the video object.

        Raises: InvalidRequest where it is none, or is damaged; Conflict where its id is taken; TooLarge.
        """

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
        """Ask for a video, under a key by which asking again stores nothing twice."""
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
                part.unlink()  # whole already, or longer than the file: begin again
                raise httpx.ReadError("the part on disk does not fit")
            _check(response)
            tag.write_text(response.headers.get("etag", ""))
            with part.open("ab" if response.status_code == httpx.codes.PARTIAL_CONTENT else "wb") as file:
                for piece in response.iter_bytes():
                    file.write(piece)
            _check_digest(part, response.headers.get("repr-digest", ""))

    def _open_events(self, video_id: str, last_id: str | None) -> httpx.Response:
        headers = {"Last-Event-ID": last_id} if last_id else {}
        request = self._http.build_request("GET", f"/v1/videos/{_segment(video_id)}/events", headers=headers)
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
            raise Unavailable(f"what answers at {self._http.base_url} is no farm; is --url (FARM_URL) right?")
        return answer

    def _patiently(self, call: Callable[[], T], *, again: tuple[type[Exception], ...] = _LOST) -> T:
        """`call` until it does not fail by `again`; a farm that never answered is given up soon."""
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
            raise Unavailable(f"no farm answers at {self._http.base_url}: {err or type(err).__name__}") from err
        self._answered = True
        return answer


def _check(response: httpx.Response) -> None:
    """Raise the farm's error that the answer carries."""
    if response.is_success:
        return
    response.read()
    try:
        problem = response.json()
        code, detail = str(problem["code"]), str(problem["detail"])
    except (ValueError, KeyError, TypeError):  # not our farm, or Ray Serve's proxy: it starts, or has no room just now
        code, detail = "", f"the farm answered {response.status_code} {response.reason_phrase}"
        if response.status_code in {httpx.codes.NOT_FOUND, httpx.codes.TOO_MANY_REQUESTS} or response.is_server_error:
            code = Unavailable.code
    if response.status_code == httpx.codes.SERVICE_UNAVAILABLE:
        code = Unavailable.code
    raise _ERRORS.get(code, FarmError)(detail, status=response.status_code)


def _check_digest(path: Path, header: str) -> None:
    """Compare with the sha256 of a Repr-Digest header (RFC 9530). Raises: StoreError; `path` is removed then."""
    if not header.startswith("sha-256=:"):
        return
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").digest()
    if base64.b64encode(found).decode() != header.removeprefix("sha-256=:").rstrip(":"):
        path.unlink()
        raise StoreError("the file that arrived is not the one that the farm announced; fetch it again")


def _tag_of(part: Path) -> Path:
    """Where a part's ETag is kept."""
    return part.with_suffix(".etag")


def _segment(video_id: str) -> str:
    """An id as one segment of a path, whatever was typed."""
    return quote(video_id, safe="")
