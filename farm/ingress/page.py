"""The page at /ui/, and the documentation of the API at /docs: files of packages, served from memory."""

from __future__ import annotations

import gzip
import hashlib
import mimetypes
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from fastapi import APIRouter, Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response

from farm.errors import NotFound

PAGE = Path(__file__).with_name("web")  #: `make web` builds it
_INDEX = "index.html"
_A_YEAR = "public, max-age=31536000, immutable"
_NO_PAGE = "this package has no page: build it with `make web`, or install a released package; /docs shows the API\n"
_DOCS = (  #: names of Swagger UI's files
    "swagger-ui-bundle.js",
    "swagger-ui.css",
)
_DOCS_PAGE = b"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>framepack-farm: the API</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="/docs/swagger-ui.css">
<script src="/docs/swagger-ui-bundle.js" defer></script>
<script src="/docs/start.js" defer></script>
</head>
<body><div id="docs"></div></body>
</html>
"""
_DOCS_START = b"""SwaggerUIBundle({
  url: "/openapi.json",
  dom_id: "#docs",
  deepLinking: true,
  validatorUrl: null,
  presets: [SwaggerUIBundle.presets.apis, SwaggerUIBundle.SwaggerUIStandalonePreset],
});
"""


class File(NamedTuple):
    """A file in memory. zipped: None where gzip does not make it smaller."""

    body: bytes
    zipped: bytes | None
    kind: str
    etag: str


def page_router(page: Path) -> APIRouter:
    """Return the calls that serve the built page in the folder `page`, and the documentation of the API."""
    router = APIRouter(include_in_schema=False)
    shown, manual = read_folder(page), _docs()  # now: reading and zipping would block the event loop

    @router.api_route("/", methods=["GET", "HEAD"])
    async def root(request: Request) -> Response:
        """Lead a browser to the page."""
        if "text/html" not in request.headers.get("accept", ""):
            raise NotFound("there is nothing here: the page is at /ui/, the API below /v1, and /docs describes it")
        return RedirectResponse("/ui/", headers={"Vary": "Accept"})

    @router.api_route("/ui", methods=["GET", "HEAD"])
    async def bare() -> Response:
        """Lead to the page: its links are below /ui/."""
        return RedirectResponse("/ui/")

    @router.api_route("/ui/{path:path}", methods=["GET", "HEAD"])
    async def ui(path: str, request: Request) -> Response:
        """Answer with a file of the page, or with the page itself for a place in it, such as /ui/videos/ID."""
        if _INDEX not in shown:
            return PlainTextResponse(_NO_PAGE, 404)
        is_place = "." not in PurePosixPath(path).name and not path.startswith("assets/")
        file = shown.get(path) or (shown[_INDEX] if is_place else None)
        if file is None:
            raise NotFound(f"the page has no file {path[:80]!r}")
        return _answer(file, request, keep=_A_YEAR if path.startswith("assets/") else "no-cache")

    @router.api_route("/docs", methods=["GET", "HEAD"])
    @router.api_route("/docs/{name}", methods=["GET", "HEAD"])
    async def docs(request: Request, name: str = _INDEX) -> Response:
        """Answer with Swagger UI, which shows /openapi.json."""
        file = manual.get(name)
        if file is None:
            raise NotFound(f"the documentation has no file {name[:80]!r}")
        return _answer(file, request, keep="no-cache")

    return router


@cache
def read_folder(folder: Path) -> Mapping[str, File]:
    """Read all files below a folder into memory, by their path there. Empty if the folder is missing."""
    paths = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    return {path.relative_to(folder).as_posix(): _file(path.name, path.read_bytes()) for path in paths}


@cache
def _docs() -> Mapping[str, File]:
    static = files("fastapi_offline") / "static"
    found = {name: _file(name, (static / name).read_bytes()) for name in _DOCS}
    return found | {_INDEX: _file(_INDEX, _DOCS_PAGE), "start.js": _file("start.js", _DOCS_START)}


def _file(name: str, body: bytes) -> File:
    kind = mimetypes.guess_type(name)[0] or "application/octet-stream"
    zipped = gzip.compress(body, mtime=0)
    return File(body, zipped if len(zipped) < len(body) else None, kind, hashlib.sha256(body).hexdigest()[:32])


def _answer(file: File, request: Request, *, keep: str) -> Response:
    """Serve a file, as gzip to those that read it. keep: the Cache-Control."""
    zipped = file.zipped if "gzip" in request.headers.get("accept-encoding", "") else None
    etag = f'"{file.etag}{"-gzip" if zipped else ""}"'
    headers = {"ETag": etag, "Cache-Control": keep, "Vary": "Accept-Encoding"}
    if etag in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    body = zipped or file.body
    headers |= {"Content-Length": str(len(body))} | ({"Content-Encoding": "gzip"} if zipped else {})
    return Response(b"" if request.method == "HEAD" else body, headers=headers, media_type=file.kind)
