"""Files that the farm keeps: checked like a request's images when they come, and read where a request names them."""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from typing import NamedTuple

from farm.errors import InvalidRequest, NotFound, TooLarge
from farm.intake.body import Body, SentFile
from farm.intake.images import clean_image
from farm.intake.prepare import Tools
from farm.jobs.files import Files
from farm.ledger.notes import FileNote
from farm.settings import FarmSettings

_PURPOSE = "vision"
_NAME_CHARS = 200


class Upload(NamedTuple):
    """A file that may be kept."""

    data: bytes
    note: FileNote
    most_s: float | None = None  #: the client wants it erased after so many seconds


def checked_upload(sent: SentFile, tools: Tools) -> Upload:
    """Check the fields of a form, and its file like an image of a request.

    Raises: InvalidRequest, UnsupportedImage, TooLarge, Unavailable.
    """
    fields = dict(sent.fields)
    purpose, most_s = fields.pop("purpose", _PURPOSE), _seconds(fields.pop("expires_after", None))
    if not isinstance(purpose, str) or not re.fullmatch(r"[A-Za-z0-9_-]{1,64}", purpose):
        raise InvalidRequest.of("purpose", f'need a word of at most 64 letters, such as "{_PURPOSE}"')
    if fields:
        raise InvalidRequest.naming(dict.fromkeys(fields, "there is no such field"))
    return checked_picture(sent.data, sent.name, tools, purpose=purpose)._replace(most_s=most_s)


def checked_picture(data: bytes, filename: str, tools: Tools, *, purpose: str = _PURPOSE) -> Upload:
    """Decode a picture, so that nothing else is kept. Raises: UnsupportedImage, TooLarge, Unavailable."""
    settings, _, media = tools
    clean = clean_image(data, max_pixels=settings.max_pixels, upright_rgb=media.upright_rgb, name="file")
    note = FileNote(
        filename=_plain(filename),
        purpose=purpose,
        media_type=clean.media_type,
        bytes=len(data),
        width=clean.width,
        height=clean.height,
    )
    return Upload(data, note)


def with_files(body: Body, files: Files, settings: FarmSettings, *, owner: str) -> Body:
    """Return the body with the bytes of the files that it names among its images.

    Raises: InvalidRequest naming each field with a file that the owner does not have; TooLarge; Damaged.
    """
    faults, sizes = dict[str, str](), dict[str, int]()
    for name, file_id in body.files.items():
        try:
            sizes[file_id] = files.get(file_id, owner=owner).note.bytes
        except NotFound as err:
            faults[name] = str(err)
    if faults:
        raise InvalidRequest.naming(faults)
    if sum(sizes.values()) + sum(map(len, body.images.values())) > settings.max_upload_mb << 20:
        most = f"{settings.max_upload_mb} MiB (FARM_MAX_UPLOAD_MB)"
        raise TooLarge(f"the images of the request have more than {most} together; send smaller pictures")
    try:
        found = {file_id: files.read(file_id, owner=owner)[1] for file_id in sizes}
    except NotFound as err:  # it expired just now
        raise InvalidRequest.of(next(iter(body.files)), str(err)) from err
    images = body.images | {name: found[file_id] for name, file_id in body.files.items()}
    return body._replace(images=images, files={})


def _seconds(sent: object) -> float | None:
    """Read OpenAI's `expires_after` {anchor, seconds}."""
    if sent is None:
        return None
    seconds = sent.get("seconds") if isinstance(sent, dict) else None
    if not isinstance(sent, dict) or not re.fullmatch(r"[1-9][0-9]{0,9}", str(seconds)):
        raise InvalidRequest.of("expires_after", "need expires_after[seconds], a whole number from 1 on")
    if sent.keys() - {"anchor", "seconds"} or sent.get("anchor", "created_at") != "created_at":
        raise InvalidRequest.of("expires_after", "the farm counts from created_at only")
    return float(str(seconds))


def _plain(filename: str) -> str:
    """Return the last part of a file's name, without what cannot be printed."""
    name = PurePosixPath(filename.replace("\\", "/")).name
    return "".join(char for char in name if char.isprintable())[:_NAME_CHARS] or "unnamed"
