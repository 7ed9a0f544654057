"""A file as an HTTP answer: whole or a range of it, with its ETag and how long it may be kept."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Iterator
from typing import NamedTuple

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from farm.contract import Artifact
from farm.errors import Damaged
from farm.ingress.problems import problem
from farm.jobs import Jobs
from farm.ledger.damage import checked

_TYPE = {
    "mp4": "video/mp4",
    "png": "image/png",
    "webp": "image/webp",
    "jpeg": "image/jpeg",
    "avif": "image/avif",
    "gif": "image/gif",
    "bmp": "image/bmp",
    "safetensors": "application/octet-stream",
    "zip": "application/zip",
}
_RANGE = re.compile(r"bytes=([0-9]*)-([0-9]*)")
_KEEP_S = 365 * 86400


class Span(NamedTuple):
    """Bytes [start, start + length) of an object."""

    start: int
    length: int


class Body(NamedTuple):
    """Bytes that can be read from any position."""

    size: int
    etag: str
    read: Callable[[Span], Iterator[bytes]]


def stored(artifact: Artifact, jobs: Jobs, *, filename: str, request: Request) -> Response:
    """Serve an object of the store; its sha256 is its ETag. A damaged object that is sent whole breaks off early.

    Raises: Damaged if it is missing or has another length.
    """
    if _unchanged(artifact.sha256, request) is None and jobs.store.size(artifact.key) != artifact.bytes:
        raise Damaged(f"{artifact.key} is damaged: its length is not the one in the ledger", key=artifact.key)

    def read(span: Span) -> Iterator[bytes]:
        pieces = jobs.store.open_read(artifact.key, start=span.start, length=span.length)
        return checked(pieces, artifact) if span == Span(0, artifact.bytes) else pieces

    answer = send(Body(artifact.bytes, artifact.sha256, read), filename=filename, request=request)
    if answer.status_code < 300:
        answer.headers["Repr-Digest"] = f"sha-256=:{base64.b64encode(bytes.fromhex(artifact.sha256)).decode()}:"
    return answer


def drawn(etag: str, draw: Callable[[], bytes], *, filename: str, request: Request) -> Response:
    """Serve bytes that are made on request; make none for a client that has them."""
    return _unchanged(etag, request) or send(_in_memory(etag, draw()), filename=filename, request=request)


def send(body: Body, *, filename: str, request: Request) -> Response:
    """Serve the whole body or the requested range."""
    if (unchanged := _unchanged(body.etag, request)) is not None:
        return unchanged
    etag, headers, answer = f'"{body.etag}"', request.headers, _kept(body.etag, request)
    answer["Content-Disposition"] = f'inline; filename="{filename}"'
    wanted = headers.get("range", "") if headers.get("if-range", etag) == etag else ""
    span, status = requested_span(wanted, size=body.size), 200
    if wanted and span is None and _RANGE.fullmatch(wanted):
        unsatisfiable = {"Content-Range": f"bytes */{body.size}"}
        return problem(416, "invalid_request", f"the file has {body.size} bytes", param="Range", headers=unsatisfiable)
    if span is None:
        span = Span(0, body.size)
    else:
        status = 206
        answer["Content-Range"] = f"bytes {span.start}-{span.start + span.length - 1}/{body.size}"
    answer["Content-Length"] = str(span.length)
    kind = _TYPE[filename.rpartition(".")[2]]
    if request.method == "HEAD":
        return Response(None, status, answer, kind)
    return StreamingResponse(body.read(span), status, answer, kind)


def _unchanged(etag: str, request: Request) -> Response | None:
    """Return 304 for a client that has the file; None for any other."""
    has_it = f'"{etag}"' in request.headers.get("if-none-match", "")
    return Response(status_code=304, headers=_kept(etag, request)) if has_it else None


def _kept(etag: str, request: Request) -> dict[str, str]:
    """Return the headers of every answer. An address that names the file's ETag (v=) means these bytes for ever."""
    names_it = request.query_params.get("v") == etag
    keep = f"private, max-age={_KEEP_S}, immutable" if names_it else "private, no-cache"
    return {"ETag": f'"{etag}"', "Accept-Ranges": "bytes", "Cache-Control": keep}


def _in_memory(etag: str, data: bytes) -> Body:
    return Body(len(data), etag, lambda span: iter([data[span.start : span.start + span.length]]))


def requested_span(header: str, *, size: int) -> Span | None:
    """Return the span that a Range header requests, or None if it requests several, or none that exists."""
    match = _RANGE.fullmatch(header)
    if not match or match.groups() == ("", "") or len(header) > 50:
        return None
    first, last = match.groups()
    if not first:
        start, stop = max(size - int(last), 0), size
    else:
        start, stop = int(first), min(int(last) + 1, size) if last else size
    return Span(start, stop - start) if start < stop else None
