"""The wishes of a batch: a video for each photo of a folder, or for each row of a .csv or .jsonl file."""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deploy.commands.render import request_of
from deploy.request_type import REQUEST_TYPE
from deploy.terminal.screen import say
from farm.errors import ConfigError, FarmError
from framefarm_client.names import file_name

_PHOTOS = {".jpg", ".jpeg", ".png", ".webp", ".avif", ".gif", ".bmp"}
_TABLES = {".csv", ".jsonl"}
_END = "_end"  #: of the name of a pair's second photo
_IMAGES = {"image": "input_reference", "input_reference": "input_reference", "end_image": "end_image"}
_COLUMNS = {*_IMAGES, "file", *REQUEST_TYPE.model_fields}


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """A video that is wanted, or the reason why it cannot be asked for.

    name:   of the file, without its suffix. source: what people know it by: a photo, a row.
    """

    name: str
    source: str
    fields: Mapping[str, Any]
    images: Mapping[str, Path]
    fault: str = ""

    @property
    def key(self) -> str:
        """The key under which the farm knows it: another prompt, photo or flag gives another one."""
        files = sorted((name, hashlib.sha256(path.read_bytes()).hexdigest()) for name, path in self.images.items())
        return "batch-" + hashlib.sha256(repr([sorted(self.fields.items()), files]).encode()).hexdigest()


def wishes_of(source: Path, given: Mapping[str, Any], *, pairs: bool) -> list[Wish]:
    """Return what a folder or a table asks for, in order. given: fields for what names none of its own.

    Raises: InvalidRequest if `given` is wrong; ConfigError if there is nothing, or if a row of a table is wrong.
    """
    request_of({"prompt": "any", **given}, None, None)  # a wrong flag would be said once for each photo
    if source.suffix.lower() in _TABLES and source.is_file():
        return _of_table(source, given)
    if not source.is_dir():
        raise ConfigError(f"{source} is not a folder, nor a .csv or .jsonl file")
    return _of_folder(source, given, pairs=pairs)


def _of_folder(folder: Path, given: Mapping[str, Any], *, pairs: bool) -> list[Wish]:
    files = sorted(path for path in folder.iterdir() if path.name[0] != ".")
    photos = [path for path in files if path.suffix.lower() in _PHOTOS]
    if not photos:
        raise ConfigError(f"{folder} has no photos ({', '.join(sorted(_PHOTOS))})")
    named: dict[str, list[Path]] = {}
    for photo in photos:
        named.setdefault(photo.stem, []).append(photo)
    ends = {f"{stem}{_END}": stem for stem in named if f"{stem}{_END}" in named} if pairs else {}
    for text in files:
        if text.suffix.lower() == ".txt" and (text.stem not in named or text.stem in ends):
            say(f"{text.name}: there is no photo {text.stem} beside it", style="yellow")
    found: list[Wish] = []
    for stem, alike in named.items():
        if stem in ends:
            continue
        end = named.get(f"{stem}{_END}", []) if pairs else []
        if len(alike) > 1 or len(end) > 1:
            names = " and ".join(photo.name for photo in (alike if len(alike) > 1 else end))
            found += [_fault(photo, f"{names} would share {stem}.mp4; rename one") for photo in alike]
        else:
            found += _of_photo(alike[0], end[0] if end else None, given)
    return found


def _of_photo(photo: Path, end: Path | None, given: Mapping[str, Any]) -> list[Wish]:
    """Return a video for each line of the photo's text, or one for the common prompt."""
    try:
        prompts = _prompts(photo, given)
    except ConfigError as err:
        return [_fault(photo, str(err))]
    found = []
    for number, prompt in enumerate(prompts, 1):
        name = photo.stem if len(prompts) == 1 else f"{photo.stem}-{number}"
        try:
            fields, images = request_of({**given, "prompt": prompt}, photo, end)
        except FarmError as err:
            found.append(_fault(photo, str(err), name=name))
        else:
            found.append(Wish(name=name, source=photo.name, fields=fields, images=images))
    return found


def _prompts(photo: Path, given: Mapping[str, Any]) -> list[str]:
    """Return the lines of the text beside a photo, or else the common prompt. Raises: ConfigError."""
    words = photo.with_suffix(".txt")
    lines = [line.strip() for line in _text_of(words).split("\n")] if words.is_file() else [given.get("prompt", "")]
    if not any(lines):
        raise ConfigError(f"it has no prompt: write {words.name}, or pass --prompt")
    return [line for line in lines if line]


def _fault(photo: Path, why: str, *, name: str | None = None) -> Wish:
    return Wish(name=name or photo.stem, source=photo.name, fields={}, images={}, fault=why)


def _text_of(path: Path) -> str:
    """Return a file's text; its lines end with a line feed. Raises: ConfigError."""
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as err:
        raise ConfigError(f"{path} is not UTF-8 text; save it as UTF-8") from err


def _of_table(table: Path, given: Mapping[str, Any]) -> list[Wish]:
    """Return a video for each row. Raises: ConfigError that names each wrong row by its line."""
    found, wrong, taken = list[Wish](), list[str](), dict[str, int]()
    for line, row in _rows(table):
        try:
            wish = _of_row(table, row() if callable(row) else row, line, given)
        except FarmError as err:
            wrong.append(f"{table.name}, line {line}: {err}")
            continue
        number = taken[wish.name] = taken.get(wish.name, 0) + 1
        name = wish.name if number == 1 else f"{wish.name}-{number}"
        found.append(Wish(name=name, source=wish.source, fields=wish.fields, images=wish.images))
    if wrong:
        raise ConfigError("no video was requested:\n" + "\n".join(wrong))
    if not found:
        raise ConfigError(f"{table} has no rows")
    return found


def _rows(table: Path) -> Iterator[tuple[int, Any]]:
    """Yield each row with its line, where it begins; a row of JSON as a call that reads it."""
    text = _text_of(table)  # in a prompt from a web page, U+2028 and its like end no row
    if table.suffix.lower() == ".jsonl":
        for number, line in enumerate(text.split("\n"), 1):
            if line.strip():
                yield number, lambda line=line: _object(line)
        return
    reader = csv.DictReader(io.StringIO(text, newline=""), restkey="", strict=True)
    last = 1
    try:
        _check_names((name.strip() for name in reader.fieldnames or ()), where=f"{table.name}, line 1: ")
        for row in reader:
            yield last + 1, row
            last = reader.line_num
    except csv.Error as err:
        raise ConfigError(f"{table.name}, line {reader.line_num}: {err}") from err


def _object(line: str) -> dict[str, Any]:
    try:
        found = json.loads(line)
    except ValueError as err:
        raise ConfigError(f"this is not JSON: {err}") from err
    if not isinstance(found, dict):
        raise ConfigError("need a JSON object: {…}")
    return found


def _of_row(table: Path, row: Mapping[str, Any], line: int, given: Mapping[str, Any]) -> Wish:
    """Raises: ConfigError, InvalidRequest."""
    if "" in row or None in row:
        raise ConfigError("it has more cells than the first line has names")
    row = {name.strip(): value for name, value in row.items() if value not in (None, "")}
    _check_names(row)
    beside = table.parent
    images = {part: beside / str(row.pop(name)) for name, part in _IMAGES.items() if name in row}
    file = str(row.pop("file", "")).removesuffix(".mp4")
    fields, files = request_of(
        {**given, **_with_paths(row, beside)}, images.get("input_reference"), images.get("end_image")
    )
    start = images.get("input_reference")
    name = file_name(file or str(row.get("name", ""))) or (start.stem if start else f"{table.stem}-{line}")
    return Wish(name=name, source=f"{table.name}, line {line}", fields=fields, images=files)


def _check_names(names: Iterable[str], *, where: str = "") -> None:
    """Raises: ConfigError if a column has another name than those that there are."""
    if unknown := sorted({*names} - {*_COLUMNS, ""}):
        there = "there are image, end_image, file and each request field"
        raise ConfigError(f"{where}no column {', '.join(unknown)}; {there}")


def _with_paths(row: Mapping[str, Any], beside: Path) -> dict[str, Any]:
    """Return a row's fields; the pictures of its keyframes lie beside the table."""
    frames = row.get("keyframes")
    if isinstance(frames, str):
        try:
            frames = json.loads(frames)
        except ValueError:
            return dict(row)  # the request's own check refuses it
    if not isinstance(frames, Sequence) or not all(isinstance(frame, dict) for frame in frames):
        return dict(row)
    placed = [{**frame, "image": str(beside / str(frame.get("image")))} for frame in frames]
    return {**row, "keyframes": json.dumps(placed)}
