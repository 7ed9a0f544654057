"""A large body does not block other requests: the event loop neither writes nor parses it."""

from __future__ import annotations

import base64
import io
import json
import random
import threading
from typing import Any

import pytest
from starlette.requests import Request
from starlette.types import Message
from typing_extensions import override

from farm.errors import InvalidRequest
from farm.intake.body import read_body, spool_body


def sent(body: bytes, kind: str = "") -> Request:
    """A request that receives its body in pieces, as from a server."""
    pieces = [body[at : at + 65536] for at in range(0, len(body), 65536)]

    async def receive() -> Message:
        return {"type": "http.request", "body": pieces.pop(0), "more_body": bool(pieces)}

    return Request({"type": "http", "headers": [(b"content-type", kind.encode())]}, receive)


class Watched(io.BytesIO):
    """A file that notes which threads write to it."""

    def __init__(self) -> None:
        super().__init__()
        self.writers = set[int]()

    @override
    def write(self, data: Any) -> int:
        self.writers.add(threading.get_ident())
        return super().write(data)


async def test_a_slow_disk_holds_up_nobody_else() -> None:
    """Other threads write an archive, piece by piece and completely."""
    body, file = random.Random(1).randbytes(3_000_001), Watched()
    await spool_body(sent(body), file, max_bytes=1 << 22, setting="FARM_X")
    assert file.read() == body
    assert threading.get_ident() not in file.writers


async def test_a_large_picture_in_json_holds_up_nobody_else(monkeypatch: pytest.MonkeyPatch) -> None:
    """Other threads parse the text and decode the base64."""
    picture = random.Random(1).randbytes(1_000_000)
    where = set[int]()

    def noted(call: Any) -> Any:
        def run(*args: Any, **options: Any) -> Any:
            where.add(threading.get_ident())
            return call(*args, **options)

        return run

    url = f"data:image/png;base64,{base64.b64encode(picture).decode()}"
    body = json.dumps({"prompt": "a cat", "input_reference": {"image_url": url}}).encode()
    monkeypatch.setattr(json, "loads", noted(json.loads))
    monkeypatch.setattr(base64, "b64decode", noted(base64.b64decode))
    read = await read_body(sent(body, "application/json"), max_bytes=1 << 22)
    assert (read.fields, read.images) == ({"prompt": "a cat"}, {"input_reference": picture})
    assert where
    assert threading.get_ident() not in where


def data_url(kind: str, text: bytes) -> Request:
    """A JSON request with this data: URL."""
    url = f"data:{kind};base64,{text.decode()}"
    return sent(json.dumps({"input_reference": {"image_url": url}}).encode(), "application/json")


PICTURE = bytes(range(256)) * 3 + b"?"


@pytest.mark.parametrize("kind", ["image/png", "application/octet-stream", "", "IMAGE/JPEG;name=a.jpg"])
@pytest.mark.parametrize(
    "text",
    [
        base64.encodebytes(PICTURE),
        base64.b64encode(PICTURE).replace(b"A", b"%41"),
        base64.b64encode(PICTURE).rstrip(b"="),
        base64.urlsafe_b64encode(PICTURE),
    ],
    ids=["lines of 76", "quoted", "unpadded", "urlsafe"],
)
async def test_data_urls_are_judged_by_their_bytes(kind: str, text: bytes) -> None:
    """Programs name many types or none, break the text into lines, and spell base64 in several ways."""
    read = await read_body(data_url(kind, text), max_bytes=1 << 20)
    assert read.images == {"input_reference": PICTURE}


def part(*headers: str, data: bytes = PICTURE) -> bytes:
    """One part of a form with the boundary "x"."""
    return b"--x\r\n" + "\r\n".join(headers).encode() + b"\r\n\r\n" + data + b"\r\n"


NAMED = 'Content-Disposition: form-data; name="input_reference"'


@pytest.mark.parametrize(
    "headers",
    [
        (f"{NAMED}; filename*=utf-8''a%20b.jpg",),
        (NAMED, "Content-Type: image/jpeg"),
        ("content-type: application/octet-stream", NAMED),
        (f"{NAMED}; filename=\"a.jpg\"; filename*=utf-8''a.jpg", "Content-Type: image/jpeg"),
    ],
)
async def test_a_file_is_known_by_its_type_or_either_name(headers: tuple[str, ...]) -> None:
    """Clients send files with `filename*` only, or with a type and no name."""
    form = part(*headers) + part('Content-Disposition: form-data; name="prompt"', data=b"a cat") + b"--x--"
    read = await read_body(sent(form, "multipart/form-data; boundary=x"), max_bytes=1 << 20)
    assert (read.fields, read.images) == ({"prompt": "a cat"}, {"input_reference": PICTURE})


@pytest.mark.parametrize("end", [b"", b"--", b"--x", b"--x\r\n"])
async def test_a_form_without_its_end_breaks_off(end: bytes) -> None:
    """A lost tail may hold fields, so the farm takes none."""
    with pytest.raises(InvalidRequest, match="the form breaks off"):
        await read_body(sent(part(NAMED) + end, "multipart/form-data; boundary=x"), max_bytes=1 << 20)
