"""The body of a request: multipart and urlencoded forms, JSON, and images as data: URLs become fields and files."""

from __future__ import annotations

import base64
import binascii
import contextlib
import re
from collections.abc import Mapping
from typing import IO, Any, NamedTuple
from urllib.parse import unquote_to_bytes

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import UploadFile
from starlette.requests import ClientDisconnect, Request
from starlette.types import Message, Receive

from farm.contract import Planner
from farm.errors import InvalidRequest, TooLarge
from farm.intake.forms import FORMS, read_form
from farm.intake.images import MIN_SIDE_PX
from farm.intake.prompt_settings import settings_in
from farm.intake.texts import check_texts
from farm.request import Move, VideoEdit, VideoRequest, read_json, validated
from farm.settings import FarmSettings

_IMAGE = re.compile(r"input_reference|end_image|keyframe_\d{1,3}")
_VIDEO = "video"
SMALL_BYTES = 1 << 20  #: the most for a body without pictures
_BRACKETS = re.compile(r"([^\[\]]+)\[([^\[\]]*)\]")
_SIZE = re.compile(r"([0-9]{1,5})x([0-9]{1,5})")
_SPACES = b" \t\r\n"  #: programs break base64 into lines, of 76 characters by custom
_SPOOL_BYTES = 1 << 20  #: written at once: a call into a thread costs more than writing one piece of a body


class Intake(NamedTuple):
    """A checked request and its images."""

    request: VideoRequest
    images: dict[str, bytes]  #: "input_reference", "end_image", "keyframe_0" … -> the file as the client sent it
    image_size: tuple[int, int] | None = None  #: (height, width) of a start image that a dry run does without


class Body(NamedTuple):
    """An HTTP body that is read but not checked."""

    fields: dict[str, Any]  #: texts, in a form
    images: dict[str, bytes]  #: as Intake has them
    video: bytes | None = None  #: the file "video", on a path that accepts one
    files: Mapping[str, str] = {}  #: as images, but file -> the id of a file that was sent before


class SentFile(NamedTuple):
    """The file of a form, and the form's texts."""

    data: bytes
    name: str  #: as the client calls it; may be empty
    fields: dict[str, Any]


def checked(
    fields: Mapping[str, Any],
    images: dict[str, bytes],
    planner: Planner,
    *,
    kept: Mapping[str, Any] | None = None,
    may_be_blank: bool = False,
) -> Intake:
    """Check each field, and take the settings out of the prompt.

    kept: the values that another video's request gives to the fields that were not sent. may_be_blank: the prompt.
    Raises: InvalidRequest naming each bad field.
    """
    given = {**(kept or {}), **fields}
    request = validated(planner.request_type, given)
    if found := settings_in(request, fields, planner):
        request = validated(planner.request_type, {**given, **found})
    check_texts(request, may_be_blank=may_be_blank or (kept is not None and "prompt" not in fields))
    return Intake(VideoRequest.model_construct(request.model_fields_set, **dict(request)), images)


def checked_edit(body: Body) -> VideoEdit:
    """Check the changes to a video. Raises: InvalidRequest naming each bad field, or if there is no change."""
    unknown = dict.fromkeys([*body.images, *body.files], "not a field of an edit")
    edit = validated(VideoEdit, body.fields | unknown)
    check_texts(edit)
    if not edit.changes():
        raise InvalidRequest(f"the request changes nothing; send {', '.join(VideoEdit.model_fields)}")
    return edit


def checked_move(body: Body) -> Move:
    """Check where a video shall go. Raises: InvalidRequest naming each bad field, or unless it names one place."""
    return validated(Move, body.fields | dict.fromkeys([*body.images, *body.files], "not a field of a move"))


def take_image_size(body: Body, settings: FarmSettings) -> tuple[int, int] | None:
    """Take `image_size`, which stands for a dry run's start image, out of a body's fields. Raises: InvalidRequest."""
    text = body.fields.pop("image_size", None)
    if text is None or text == "":
        return None
    found = _SIZE.fullmatch(text) if isinstance(text, str) else None
    if found is None or min(width := int(found[1]), height := int(found[2])) < MIN_SIDE_PX:
        raise InvalidRequest.of(
            "image_size", f'need "WIDTHxHEIGHT" of the image in px, such as "1200x800", each side {MIN_SIDE_PX} or more'
        )
    if width * height > settings.max_pixels:
        raise InvalidRequest.of("image_size", f"the farm takes images of at most {settings.max_pixels:,} px")
    if "input_reference" in body.images:
        raise InvalidRequest.of("image_size", "the request has an image, so leave its size out")
    return height, width


async def read_body(
    request: Request, *, max_bytes: int, takes_video: bool = False, setting: str = "FARM_MAX_UPLOAD_MB"
) -> Body:
    """Read a form or a JSON body. Raises: InvalidRequest; TooLarge, naming the setting, for more than `max_bytes`."""
    limited = Request(request.scope, _limited(request, max_bytes, setting=setting))
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind in FORMS:
        fields, images = await _read_form(limited, kind, max_bytes, takes_video=takes_video)
    else:  # in threads, here and below: megabytes of JSON and base64 would block the event loop
        fields, images = await run_in_threadpool(_read_json, await limited.body(), kind), {}
    files = dict[str, str]()
    if any(_IMAGE.fullmatch(name) for name in fields):
        files = await run_in_threadpool(_take_named, fields, images)
    return Body(fields, images, images.pop(_VIDEO, None), files)


async def read_file(request: Request, *, max_bytes: int) -> SentFile:
    """Read the file `file` of a form, and its texts. Raises: InvalidRequest; TooLarge for more than `max_bytes`."""
    return (await read_files(request, "file", max_bytes=max_bytes))[0]


async def read_files(request: Request, part: str, *, max_bytes: int) -> list[SentFile]:
    """Read the files of this name of a form, at least one, each with the form's texts. Raises: as `read_file`."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    limited = Request(request.scope, _limited(request, max_bytes, setting="FARM_MAX_UPLOAD_MB"))
    if kind not in FORMS:
        raise InvalidRequest.of(part, f"send multipart/form-data with the file as its part `{part}`")
    form = await read_form(limited, kind, max_bytes=max_bytes)
    try:
        files = [file for file in form.getlist(part) if isinstance(file, UploadFile)]
        if not files:
            raise InvalidRequest.of(part, "the form has no such file")
        fields = dict[str, Any]()
        for name, value in form.multi_items():
            if isinstance(value, str):
                _take_text(fields, name, value)
        return [SentFile(await file.read(), file.filename or "", fields) for file in files]
    finally:
        await form.close()


async def spool_body(request: Request, file: IO[bytes], *, max_bytes: int, setting: str) -> None:
    """Write the whole body into `file`, in threads, so that a slow disk does not block the event loop.

    Raises: TooLarge, naming the setting; InvalidRequest if the body breaks off; OSError.
    """
    pieces = bytearray()
    try:
        async for piece in Request(request.scope, _limited(request, max_bytes, setting=setting)).stream():
            pieces += piece
            if len(pieces) >= _SPOOL_BYTES:
                await run_in_threadpool(file.write, bytes(pieces))
                pieces.clear()
    except ClientDisconnect as err:
        raise InvalidRequest("the body breaks off") from err
    await run_in_threadpool(file.write, bytes(pieces))
    file.seek(0)


def _limited(request: Request, max_bytes: int, *, setting: str) -> Receive:
    """Return a `receive` that raises TooLarge for a longer body.

    It first reads and discards up to as much again: a client that is still sending would see a broken connection
    instead of the answer.
    """
    length = request.headers.get("content-length", "")
    announced = int(length) if length.isdecimal() else 0
    seen = 0

    async def receive() -> Message:
        nonlocal seen
        message = await request.receive()
        seen += len(message.get("body", b""))
        if max(seen, announced) > max_bytes:
            while message.get("more_body") and seen < 2 * max_bytes:
                message = await request.receive()
                seen += len(message.get("body", b""))
            raise TooLarge(f"the request is larger than {max_bytes >> 20} MiB ({setting}); send less")
        return message

    return receive


def _read_json(body: bytes, kind: str) -> dict[str, Any]:
    """Read a JSON object. An empty body counts as {}, so that the answer names the missing fields."""
    if not body.strip():
        return {}
    if kind and kind != "application/json":
        raise InvalidRequest(f"the body's type is {kind[:60]}; send multipart/form-data or application/json")
    try:
        fields = read_json(body)
    except (ValueError, RecursionError) as err:
        raise InvalidRequest(f"the body is not JSON: {err}") from err
    if not isinstance(fields, dict):
        raise InvalidRequest("the body must be a JSON object")
    return fields


async def _read_form(
    request: Request, kind: str, max_bytes: int, *, takes_video: bool
) -> tuple[dict[str, Any], dict[str, bytes]]:
    fields: dict[str, Any] = {}
    images: dict[str, bytes] = {}
    form = await read_form(request, kind, max_bytes=max_bytes)
    try:
        for name, value in form.multi_items():
            if isinstance(value, UploadFile):
                await _take_file(images, name, value, takes_video=takes_video)
            else:
                _take_text(fields, name, value)
    finally:
        await form.close()
    return fields, images


async def _take_file(images: dict[str, bytes], name: str, file: UploadFile, *, takes_video: bool) -> None:
    if not _IMAGE.fullmatch(name) and not (takes_video and name == _VIDEO):
        hint = "send this field as text" if name in VideoRequest.model_fields else "no file has this name"
        raise InvalidRequest.of(name, f"{hint}; the files are input_reference, end_image, keyframe_0 …")
    data = await file.read()
    if not file.filename and not data:  # a browser sends this if the user chose no file
        return
    if name in images:
        raise InvalidRequest.of(name, "the request has it more than once")
    images[name] = data


def _take_text(fields: dict[str, Any], name: str, value: str) -> None:
    """Add a form field. The openai package sends objects as `metadata[key]` and `input_reference[image_url]`."""
    bracketed = _BRACKETS.fullmatch(name)
    if not bracketed:
        if name in fields:
            raise InvalidRequest.of(name, "the request has it more than once")
        fields[name] = value
        return
    outer, inner = bracketed.groups()
    members = fields.setdefault(outer, {})
    if not isinstance(members, dict) or inner in members:
        raise InvalidRequest.of(outer, "the request has it more than once")
    members[inner] = value


def _take_named(fields: dict[str, Any], images: dict[str, bytes]) -> dict[str, str]:
    """Move images that are data: URLs from the fields to the images. Take out and return those named by a file's id."""
    files = dict[str, str]()
    for name in [name for name in fields if _IMAGE.fullmatch(name)]:
        value = fields.pop(name)
        if value in (None, ""):
            continue
        if name in images:
            raise InvalidRequest.of(name, "the request has it more than once")
        if isinstance(value, str) and value.lstrip().startswith("{"):
            with contextlib.suppress(ValueError, RecursionError):  # refused by _image_of
                value = read_json(value)
        if isinstance(value, Mapping) and set(value) == {"file_id"} and isinstance(value["file_id"], str):
            files[name] = value["file_id"]
        else:
            images[name] = _image_of(value, name)
    return files


def _image_of(value: object, name: str) -> bytes:
    """Decode `{"image_url": "data:…"}`, or the bare data: URL."""
    url = value.get("image_url") if isinstance(value, Mapping) else value
    if isinstance(value, Mapping) and (set(value) != {"image_url"} or not isinstance(url, str)):
        raise InvalidRequest.of(name, 'need {"image_url": "data:…"} or {"file_id": "file-…"}, and nothing else')
    head, comma, data = url.partition(",") if isinstance(url, str) else ("", "", "")
    head = head.strip().lower()
    if not head.startswith("data:") or not comma:
        raise InvalidRequest.of(
            name, 'need a file, {"file_id": "file-…"} or a data: URL; the farm fetches no other addresses'
        )
    body = unquote_to_bytes(data)
    if not head.endswith(";base64"):
        return body
    try:
        return _from_base64(body)
    except binascii.Error as err:
        raise InvalidRequest.of(name, f"the data: URL is not base64: {err}") from err


def _from_base64(text: bytes) -> bytes:
    """Decode base64 in either alphabet. It may be broken into lines, and lack its padding. Raises: binascii.Error."""
    packed = text.translate(bytes.maketrans(b"-_", b"+/"), delete=_SPACES).rstrip(b"=")
    return base64.b64decode(packed + b"=" * (-len(packed) % 4), validate=True)
