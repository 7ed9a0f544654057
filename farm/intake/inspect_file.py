"""The settings that a file holds: an mp4 of a farm, FramePack-Studio's PNG, JSON and queue, eichi's PNG.

Users choose these files, so nothing in them is believed: a picture's texts, JSON and a zip's directory are read with
limits, nothing is unpacked to the disk, and each setting passes the checks of a request. A setting without a
counterpart in a request is named in `left_out`.
"""

from __future__ import annotations

import io
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath
from typing import Any, NamedTuple

from PIL import Image

from farm.contract import Planner
from farm.errors import InvalidRequest, TooLarge, UnsupportedImage
from farm.intake.body import checked
from farm.intake.images import pixels_of
from farm.intake.prepare import Tools
from farm.intake.studio import LeftOut, from_eichi, from_studio
from farm.intake.uploads import Upload, checked_picture
from farm.request import LoraUse, VideoRequest, read_json
from farm.settings import FarmSettings

_PNG, _ZIP, _MP4 = b"\x89PNG\r\n\x1a\n", b"PK\x03\x04", b"ftyp"
_ENTRY = b"PK\x01\x02"  #: begins an entry of a zip's directory
_PACKED = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_MOST_ENTRIES, _MOST_JOBS = 2000, 50
_JSON_BYTES = 8 << 20
_PICTURES_PIXELS = 4  #: times FARM_MAX_PIXELS, of all pictures of a queue
_PICTURES_BYTES = 2  #: times FARM_MAX_UPLOAD_MB
_SEND_IT = "send this one as the request's start or end image, or inspect a smaller queue"
#: of what a video leaves out, so that a foreign file cannot make a large answer
_MOST_LEFT, _MOST_CHARS, _MOST_DEPTH, _MOST_NUMBER = 100, 4000, 4, 1e300
_QUEUE = "queue.json"
_PICTURES = {"input_reference": "queue_images/{}_input.png", "end_image": "queue_images/{}_end_frame.png"}
#: fields of a request that a file never sets, and why
_NOT_TAKEN = {
    "metadata": "it belongs to the video that the file tells of",
    "keyframes": "the file does not hold their pictures",
    "webhook_url": "a file must not choose who learns of a new video",
    "webhook_secret": "a file must not choose who learns of a new video",
}


class Found(NamedTuple):
    """The settings of one video."""

    fields: dict[str, Any]  #: as a request takes them
    images: dict[str, Upload]  #: "input_reference", "end_image" …
    left_out: list[LeftOut]


class Inspection(NamedTuple):
    """The settings and pictures of a file."""

    origin: str  #: which program wrote it
    found: list[Found]
    video: str = ""  #: the farm's video that the file says it is


def inspect_file(data: bytes, tools: Tools) -> Inspection:
    """Read the settings of a file. Raises: InvalidRequest if it holds none; TooLarge; UnsupportedImage; Unavailable."""
    try:
        return _inspection(data, tools)
    except RecursionError as err:
        raise _nothing("its JSON is nested too deep") from err


def _inspection(data: bytes, tools: Tools) -> Inspection:
    if data.startswith(_PNG):
        return _of_png(data, tools)
    if data.startswith(_ZIP):
        return Inspection("FramePack-Studio, queue", list(_of_queue(data, tools)))
    if data[4:8] == _MP4:
        return _of_mp4(data, tools)
    if data.lstrip()[:1] == b"{":
        return Inspection("FramePack-Studio, JSON", list(_of_json(data, tools)))
    raise _nothing("it is no mp4, PNG, JSON or zip file")


def _of_png(data: bytes, tools: Tools) -> Inspection:
    try:
        with Image.open(io.BytesIO(data), formats=["PNG"]) as image:
            texts = {str(name): text for name, text in image.info.items() if isinstance(text, str)}
    except Exception as err:  # border: Pillow raises many types on foreign bytes
        raise UnsupportedImage(f"file is not a readable PNG: {err}", param="file") from err
    if "total_second_length" in texts or "model_type" in texts:
        origin, (fields, left_out) = "FramePack-Studio, PNG", from_studio(texts)
    elif "parameters" in texts or "section_prompt" in texts:
        origin, (fields, left_out) = "FramePack-eichi, PNG", from_eichi(texts)
    else:
        raise _nothing("the picture's texts are those of neither FramePack-Studio nor FramePack-eichi")
    return Inspection(
        origin, [_checked(fields, {"input_reference": checked_picture(data, "settings.png", tools)}, left_out, tools)]
    )


def _of_mp4(data: bytes, tools: Tools) -> Inspection:
    with tempfile.NamedTemporaryFile(prefix="framefarm-inspect-") as file:
        file.write(data)
        file.flush()
        facts = tools.media.provenance(file.name)
    request = facts.get("request")
    if not isinstance(request, dict):
        raise _nothing("the mp4 does not say how it was made: no farm made it, or no_metadata was set")
    left_out = list[LeftOut]()
    inputs, why = facts.get("inputs"), "the mp4 names this picture, but does not hold it"
    if isinstance(inputs, dict):
        left_out += [LeftOut(f"inputs.{name}", inputs[name], why) for name in sorted(inputs)]
    return Inspection("framepack-farm", [_checked(request, {}, left_out, tools)], str(facts.get("id", "")))


def _of_json(data: bytes, tools: Tools) -> Iterator[Found]:
    """Read one video's settings, or a queue without its pictures."""
    told = _json(data)
    if "total_second_length" in told or "model_type" in told:
        fields, left_out = from_studio(told)
        yield _checked(fields, {}, left_out, tools)
        return
    for _, (fields, left_out) in _jobs(told):
        yield _checked(fields, {}, left_out, tools)


def _of_queue(data: bytes, tools: Tools) -> Iterator[Found]:
    if data.count(_ENTRY) > _MOST_ENTRIES:  # before the directory is read: an entry of 50 bytes takes ten times that
        raise TooLarge(f"file holds more than {_MOST_ENTRIES} files", param="file")
    try:
        archive = zipfile.ZipFile(io.BytesIO(data))
    except Exception as err:  # border: zipfile raises many types on foreign bytes
        raise _nothing(f"the zip file cannot be read: {err}") from err
    with archive:
        names = _directory(archive, tools.settings)
        if _QUEUE not in names:
            raise _nothing(f"the zip file holds no {_QUEUE}")
        told = _json(_unpacked(archive, names[_QUEUE], most=_JSON_BYTES))
        pictures = _Pictures(archive, names, tools)
        for name, (fields, left_out) in _jobs(told):
            images, missing = pictures.of(name)
            yield _checked(fields, images, left_out + missing, tools)


def _directory(archive: zipfile.ZipFile, settings: FarmSettings) -> dict[str, zipfile.ZipInfo]:
    """Return the entries by name. Raises: InvalidRequest, TooLarge."""
    entries, most = archive.infolist(), settings.max_import_mb << 20
    for entry in entries:
        path = PurePosixPath(entry.filename.replace("\\", "/"))
        if path.is_absolute() or ".." in path.parts or ":" in entry.filename:
            raise _nothing(f"the zip file names {entry.filename[:80]!r}, which leads out of its folder")
    if sum(entry.file_size for entry in entries) > most:
        raise TooLarge(f"file unpacks to more than {most >> 20} MiB (FARM_MAX_IMPORT_MB)", param="file")
    return {entry.filename: entry for entry in entries}


def _unpacked(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, *, most: int) -> bytes:
    """Unpack a file of at most `most` bytes. Raises: TooLarge; InvalidRequest if it is damaged."""
    if entry.compress_type not in _PACKED:  # zipfile unpacks the others without a limit
        raise _nothing(f"{entry.filename[:80]!r} is packed in an unusual way; pack the zip file again with deflate")
    data = b""
    if entry.file_size <= most:
        try:
            with archive.open(entry) as file:
                data = file.read(most + 1)
        except Exception as err:  # border: as in _of_queue
            raise _nothing(f"{entry.filename[:80]!r} in the zip file is damaged: {err}") from err
    if max(entry.file_size, len(data)) > most:
        raise TooLarge(f"{entry.filename[:80]!r} in the zip file has more than {most >> 20} MiB", param="file")
    return data


class _Pictures:
    """The pictures of a queue, as long as the farm has room for them."""

    def __init__(self, archive: zipfile.ZipFile, names: Mapping[str, zipfile.ZipInfo], tools: Tools) -> None:
        self._archive, self._names, self._tools = archive, names, tools
        self._pixels = _PICTURES_PIXELS * tools.settings.max_pixels
        self._bytes = _PICTURES_BYTES * tools.settings.max_upload_mb << 20

    def of(self, job: str) -> tuple[dict[str, Upload], list[LeftOut]]:
        """Return a job's pictures, and those that are left out."""
        images, left_out = dict[str, Upload](), list[LeftOut]()
        for part, form in _PICTURES.items():
            if (entry := self._names.get(form.format(job))) is None:
                continue
            try:
                images[part] = self._picture(entry)
            except (InvalidRequest, TooLarge, UnsupportedImage) as err:
                left_out.append(LeftOut(part, entry.filename, str(err)))
        return images, left_out

    def _picture(self, entry: zipfile.ZipInfo) -> Upload:
        settings = self._tools.settings
        data = _unpacked(self._archive, entry, most=settings.max_upload_mb << 20)
        pixels = pixels_of(data, max_pixels=settings.max_pixels, name="file")
        if pixels > self._pixels:
            raise TooLarge(f"the queue's pictures have too many pixels together; {_SEND_IT}")
        self._pixels -= pixels
        if len(data) > self._bytes:
            raise TooLarge(f"the queue's pictures have too many bytes together; {_SEND_IT}")
        self._bytes -= len(data)
        return checked_picture(data, entry.filename, self._tools)


def _jobs(told: dict[str, Any]) -> Iterator[tuple[str, tuple[dict[str, Any], list[LeftOut]]]]:
    """Yield the name of each job of a queue, its fields and what has no counterpart."""
    jobs = {name: job for name, job in told.items() if isinstance(job, dict)}
    if not jobs:
        raise _nothing("it holds no job of FramePack-Studio")
    if len(jobs) > _MOST_JOBS:
        raise _nothing(f"it holds {len(jobs)} jobs; split the queue into files of at most {_MOST_JOBS}")
    for name, job in jobs.items():
        yield name, from_studio({**job, **job["params"]} if isinstance(job.get("params"), dict) else job)


def _checked(fields: dict[str, Any], images: dict[str, Upload], left_out: list[LeftOut], tools: Tools) -> Found:
    """Check each field like a request's; move what this farm refuses to `left_out`, with the reason."""
    planner, left_out = tools.planner, list(left_out)
    known = {name: value for name, value in fields.items() if name in planner.request_type.model_fields}
    left_out += [LeftOut(name, fields[name], "there is no such field") for name in fields if name not in known]
    left_out += [LeftOut(name, found, why) for name, why in _NOT_TAKEN.items() if (found := known.pop(name, None))]
    model = known.get("model")
    if model is not None and not (isinstance(model, str) and model in planner.models()):
        left_out.append(LeftOut("model", known.pop("model"), "this farm has no such model"))
    request, refused = _accepted(known, planner)
    left_out += refused
    loras = list[LoraUse]()
    for use in request.loras:
        try:
            loras += planner.pin_loras((use,))
        except InvalidRequest as err:
            left_out.append(LeftOut("loras", use.model_dump(exclude_none=True), str(err).removeprefix("loras: ")))
    kept = set(known) | ({"loras", "prompts"} & request.model_fields_set)
    if not loras:
        kept.discard("loras")
    settled = request.model_copy(update={"loras": tuple(loras)})
    return Found(settled.model_dump(mode="json", include=kept), images, _told(left_out))


def _accepted(fields: dict[str, Any], planner: Planner) -> tuple[VideoRequest, list[LeftOut]]:
    """Return the request of those fields that this farm accepts; take the others out of `fields`."""
    left_out = list[LeftOut]()
    while True:
        try:
            return checked(fields if "prompt" in fields else {"prompt": "any", **fields}, {}, planner).request, left_out
        except InvalidRequest as err:
            faults = err.facts.get("fields")
            if not fields or not isinstance(faults, dict):
                raise
            why = {str(name).partition(".")[0]: str(text) for name, text in faults.items()}
            # a rule may name a field that was not sent: then all that were go
            for name in [name for name in fields if name in why] or list(fields):
                left_out.append(LeftOut(name, fields.pop(name), why.get(name, str(err))))


def _told(left_out: list[LeftOut]) -> list[LeftOut]:
    """Return what is left out as an answer can hold it."""
    told = [LeftOut(str(_shown(name)), _shown(value), str(_shown(why))) for name, value, why in left_out[:_MOST_LEFT]]
    if more := len(left_out) - len(told):
        told.append(LeftOut("…", more, f"{more} further settings are left out"))
    return told


def _shown(value: object, depth: int = 0) -> Any:
    """Return a foreign value as JSON of a modest size."""
    if isinstance(value, bool | None) or (isinstance(value, int | float) and abs(value) < _MOST_NUMBER):
        return value
    if isinstance(value, list | tuple) and depth < _MOST_DEPTH:
        return [_shown(inner, depth + 1) for inner in value[:_MOST_LEFT]]
    if isinstance(value, Mapping) and depth < _MOST_DEPTH:
        inside = list(value.items())[:_MOST_LEFT]
        return {str(_shown(str(name))): _shown(inner, depth + 1) for name, inner in inside}
    text = "…" if isinstance(value, list | tuple | Mapping) else str(value)
    return text[:_MOST_CHARS].encode("utf-8", "replace").decode()


def _json(data: bytes) -> dict[str, Any]:
    if len(data) > _JSON_BYTES:
        raise TooLarge(f"the file's JSON has more than {_JSON_BYTES >> 20} MiB", param="file")
    try:
        told = read_json(data)
    except (ValueError, RecursionError) as err:
        raise _nothing(f"its JSON cannot be read: {err}") from err
    if not isinstance(told, dict):
        raise _nothing("its JSON is no object")
    return told


def _nothing(why: str) -> InvalidRequest:
    return InvalidRequest.of("file", f"it holds no settings: {why}")
