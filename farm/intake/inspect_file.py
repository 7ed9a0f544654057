"""The settings that a file holds: an mp4 of a farm, FramePack-Studio's PNG, JSON and queue, eichi's PNG.

Users choose these files, so nothing in them is believed: a picture's texts, JSON and a zip's directory are read with
limits, nothing is unpacked to the disk, and each setting passes the checks of a request. What a request has no
counterpart for is named in `left_out`.
"""

from __future__ import annotations

import io
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath
from typing import Any, NamedTuple

from PIL import Image
from pydantic import ValidationError

from farm.errors import InvalidRequest, TooLarge, UnsupportedImage
from farm.intake.body import checked
from farm.intake.images import clean_image
from farm.intake.prepare import Tools
from farm.intake.studio import LeftOut, from_eichi, from_studio
from farm.request import LoraUse, read_json

_PNG, _ZIP, _MP4 = b"\x89PNG\r\n\x1a\n", b"PK\x03\x04", b"ftyp"
_MOST_ENTRIES, _MOST_JOBS = 2000, 500
_QUEUE = "queue.json"
_PICTURES = {"input_reference": "queue_images/{}_input.png", "end_image": "queue_images/{}_end_frame.png"}
#: facts of a farm's own request that are no settings of a new one
_NOT_TAKEN = {"metadata", "keyframes"}


class Found(NamedTuple):
    """The settings of one video."""

    fields: dict[str, Any]  #: as a request takes them
    images: dict[str, bytes]  #: "input_reference", "end_image" -> PNG
    left_out: list[LeftOut]


class Inspection(NamedTuple):
    """What a file holds."""

    origin: str  #: which program wrote it
    found: list[Found]


def inspect_file(data: bytes, tools: Tools) -> Inspection:
    """Read the settings of a file. Raises: InvalidRequest if it holds none; TooLarge; UnsupportedImage."""
    if data.startswith(_PNG):
        return _of_png(data, tools)
    if data.startswith(_ZIP):
        return Inspection("FramePack-Studio, queue", list(_of_queue(data, tools)))
    if data[4:8] == _MP4:
        return Inspection("framepack-farm", [_of_mp4(data, tools)])
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
    return Inspection(origin, [_checked(fields, {"input_reference": _clean(data, tools)}, left_out, tools)])


def _of_mp4(data: bytes, tools: Tools) -> Found:
    with tempfile.NamedTemporaryFile(prefix="framefarm-inspect-") as file:
        file.write(data)
        file.flush()
        facts = tools.media.provenance(file.name)
    request = facts.get("request")
    if not isinstance(request, dict):
        raise _nothing("the mp4 does not say how it was made; a farm wrote none of it, or with no_metadata")
    fields = {name: value for name, value in request.items() if name not in _NOT_TAKEN}
    left_out = []
    if "keyframes" in request:
        left_out.append(LeftOut("keyframes", request["keyframes"], "the mp4 does not hold their pictures"))
    inputs, why = facts.get("inputs"), "the mp4 names this picture, but does not hold it"
    if isinstance(inputs, dict):
        left_out += [LeftOut(f"inputs.{name}", inputs[name], why) for name in sorted(inputs)]
    return _checked(fields, {}, left_out, tools)


def _of_json(data: bytes, tools: Tools) -> Iterator[Found]:
    """Read one video's settings, or a queue without its pictures."""
    told = _json(data)
    if "total_second_length" in told or "model_type" in told:
        yield _checked(*_with_images(from_studio(told), {}), tools)
        return
    yield from _of_jobs(told, lambda _: {}, tools)


def _of_queue(data: bytes, tools: Tools) -> Iterator[Found]:
    most = tools.settings.max_import_mb << 20
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            entries = archive.infolist()
            for entry in entries:
                path = PurePosixPath(entry.filename.replace("\\", "/"))
                if path.is_absolute() or ".." in path.parts or ":" in entry.filename:
                    raise _nothing(f"the zip file names {entry.filename[:80]!r}, which leads out of its folder")
            if len(entries) > _MOST_ENTRIES or sum(entry.file_size for entry in entries) > most:
                raise TooLarge(
                    f"file unpacks to more than {most >> 20} MiB (FARM_MAX_IMPORT_MB) or {_MOST_ENTRIES} files",
                    param="file",
                )
            names = {entry.filename: entry for entry in entries}
            if _QUEUE not in names:
                raise _nothing(f"the zip file holds no {_QUEUE}")

            def pictures(job: str) -> dict[str, bytes]:
                found = {part: names.get(form.format(job)) for part, form in _PICTURES.items()}
                return {part: _clean(archive.read(entry), tools) for part, entry in found.items() if entry}

            yield from _of_jobs(_json(archive.read(_QUEUE)), pictures, tools)
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError, OSError, ValueError) as err:
        raise _nothing(f"the zip file cannot be read: {err}") from err


def _of_jobs(told: dict[str, Any], pictures: Any, tools: Tools) -> Iterator[Found]:
    jobs = {name: job for name, job in told.items() if isinstance(job, dict)}
    if not jobs or len(jobs) > _MOST_JOBS:
        raise _nothing(f"it holds {len(jobs)} jobs of FramePack-Studio; need 1 to {_MOST_JOBS}")
    for name, job in jobs.items():
        settings = {**job, **job["params"]} if isinstance(job.get("params"), dict) else job
        yield _checked(*_with_images(from_studio(settings), pictures(name)), tools)


def _with_images(
    translated: tuple[dict[str, Any], list[LeftOut]], images: dict[str, bytes]
) -> tuple[dict[str, Any], dict[str, bytes], list[LeftOut]]:
    fields, left_out = translated
    return fields, images, left_out


def _checked(fields: dict[str, Any], images: dict[str, bytes], left_out: list[LeftOut], tools: Tools) -> Found:
    """Check each field like a request's; move what this farm refuses to `left_out`, with the reason."""
    fields, left_out = dict(fields), list(left_out)
    if (model := fields.get("model")) not in {None, *tools.planner.models()}:
        left_out.append(LeftOut("model", model, "this farm has no such model"))
        del fields["model"]
    for name, why in _faults(fields, tools).items():
        if name in fields:
            left_out.append(LeftOut(name, fields.pop(name), why))
    given = fields if "prompt" in fields else {"prompt": "any", **fields}
    try:
        request = checked(given, {}, tools.planner).request
    except InvalidRequest as err:
        faults = err.facts.get("fields")
        for name, why in faults.items() if isinstance(faults, Mapping) else ():
            if (top := str(name).partition(".")[0]) in fields:
                left_out.append(LeftOut(top, fields.pop(top), str(why)))
        return Found(fields, images, left_out)
    loras = list[LoraUse]()
    for use in request.loras:
        try:
            loras += tools.planner.pin_loras((use,))
        except InvalidRequest as err:
            left_out.append(LeftOut("loras", use.model_dump(exclude_none=True), str(err).removeprefix("loras: ")))
    kept = set(fields) | ({"loras", "prompts"} & request.model_fields_set)
    if not loras:
        kept.discard("loras")
    settled = request.model_copy(update={"loras": tuple(loras)})
    return Found(settled.model_dump(mode="json", include=kept), images, left_out)


def _faults(fields: Mapping[str, Any], tools: Tools) -> dict[str, str]:
    try:
        tools.planner.request_type.model_validate({"prompt": "any", **fields})
    except ValidationError as err:
        named = InvalidRequest.from_errors(err.errors()).facts["fields"]
        faults = named if isinstance(named, dict) else {}
        return {str(name).partition(".")[0]: str(why) for name, why in faults.items()}
    return {}


def _clean(data: bytes, tools: Tools) -> bytes:
    settings, _, media = tools
    return clean_image(data, max_pixels=settings.max_pixels, upright_rgb=media.upright_rgb, name="file").png


def _json(data: bytes) -> dict[str, Any]:
    try:
        told = read_json(data)
    except (ValueError, RecursionError) as err:
        raise _nothing(f"its JSON cannot be read: {err}") from err
    if not isinstance(told, dict):
        raise _nothing("its JSON is no object")
    return told


def _nothing(why: str) -> InvalidRequest:
    return InvalidRequest.of("file", f"it holds no settings: {why}")
