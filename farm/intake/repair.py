"""Picture files that are sound but for what lies around the pixels."""

from __future__ import annotations

import hashlib
import io
import struct

from PIL import Image

_PNG = b"\x89PNG\r\n\x1a\n"
_NEEDED = frozenset({b"tRNS", b"eXIf", b"acTL", b"fcTL", b"fdAT"})  #: ancillary chunks that change what is shown
_XMP = b"XML:com.adobe.xmp\0\0"  #: how a PNG's XMP begins; it may hold the orientation
_MAX_TEXT_BYTES = 1 << 20  #: Pillow reads no longer text
_JPEG, _END = b"\xff\xd8\xff", b"\xff\xd9"
_FILLERS = (bytes(64), b"\x55" * 64)


def picture_only(data: bytes) -> bytes:
    """Return a PNG without its texts, profiles and other chunks that the farm does not use; anything else unchanged.

    Programs save whole workflows there, and Pillow rejects a picture whose texts or profile are too large.
    """
    if not data.startswith(_PNG):
        return data
    view, kept, at = memoryview(data), [memoryview(_PNG)], len(_PNG)
    while at + 12 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, at)
        is_ancillary = bool(kind[0] & 0x20)
        if not is_ancillary or kind in _NEEDED or (kind == b"iTXt" and _is_xmp(view[at + 8 : at + 8 + length])):
            kept.append(view[at : at + 12 + length])
        at += 12 + length
    kept.append(view[at:])
    return b"".join(kept)


def _is_xmp(text: memoryview) -> bool:
    return len(text) < _MAX_TEXT_BYTES and bytes(text[: len(_XMP)]) == _XMP


def end_marked(data: bytes) -> bytes | None:
    """Return a JPEG that lacks only its end marker with that marker; None if pixels are missing too.

    If the pixels are complete, the decoder ignores what follows them: two different fillers give the same picture.
    """
    if not data.startswith(_JPEG) or data.endswith(_END):
        return None
    pictures = set[str]()
    for filler in _FILLERS:
        with Image.open(io.BytesIO(data + filler + _END), formats=["JPEG"]) as image:
            pictures.add(hashlib.sha256(image.tobytes()).hexdigest())
    return data + _END if len(pictures) == 1 else None
