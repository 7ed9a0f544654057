"""Multipart forms, where Starlette's parser is stricter or laxer than the farm's clients need."""

from __future__ import annotations

from starlette.datastructures import FormData
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request
from typing_extensions import override

from farm.errors import InvalidRequest

_MAX_PARTS = 200
_FILE_TYPES = (b"image/", b"video/", b"application/octet-stream")
_MULTIPART = "multipart/form-data"
FORMS = frozenset({_MULTIPART, "application/x-www-form-urlencoded"})


async def read_form(request: Request, kind: str, *, max_bytes: int) -> FormData:
    """Read a form of type `kind`, one of FORMS. Raises: InvalidRequest if it breaks off or cannot be read."""
    try:
        if kind != _MULTIPART:
            return await request.form(max_files=_MAX_PARTS, max_fields=_MAX_PARTS, max_part_size=max_bytes)
        parser = _Multipart(
            request.headers, request.stream(), max_files=_MAX_PARTS, max_fields=_MAX_PARTS, max_part_size=max_bytes
        )
        form = await parser.parse()
    except (HTTPException, MultiPartException, ValueError) as err:  # ValueError: an urlencoded body that is not UTF-8
        reason = getattr(err, "message", None) or getattr(err, "detail", err)
        raise InvalidRequest(f"the form cannot be read: {reason}") from err
    if not parser.is_complete:
        await form.close()
        raise InvalidRequest("the form breaks off: its closing boundary is missing; send it again")
    return form


class _Multipart(MultiPartParser):
    """A parser that notices a form's end, and files whose part has no plain `filename`."""

    is_complete = False  #: the closing boundary has arrived

    @override
    def on_headers_finished(self) -> None:
        """Name a file without a name, so that Starlette does not decode its bytes as text."""
        part = self._current_part
        disposition = part.content_disposition or b""
        kinds = [value.lower() for name, value in part.item_headers if name == b"content-type"]
        spelled = disposition.lower().replace(b" ", b"")
        is_file = b"filename*" in spelled or any(kind.startswith(_FILE_TYPES) for kind in kinds)
        if is_file and b"filename=" not in spelled:
            part.content_disposition = disposition + b'; filename="unnamed"'
        super().on_headers_finished()

    @override
    def on_end(self) -> None:
        self.is_complete = True
