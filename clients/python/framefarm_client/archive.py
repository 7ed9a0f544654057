"""A video in one file: a plain tar with a manifest first, checked block by block as it is read.

It holds only regular files, in the manifest's order, with its lengths and sha256, under names that are object keys.
Nothing else is accepted. `tar xf` unpacks it.
"""

from __future__ import annotations

import hashlib
import os
import stat
import tarfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import BinaryIO, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from framefarm_client.errors import Damaged, InvalidRequest
from framefarm_client.names import is_id, is_key

MANIFEST = "manifest.json"
_MANIFEST_BYTES = 16 << 20
_BLOCK = tarfile.BLOCKSIZE
_END = bytes(2 * _BLOCK)
_PIECE_BYTES = 1 << 20


class _Plain(BaseModel):
    """Frozen plain data. Unknown names are errors, so that two versions notice each other."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Member(_Plain):
    """An object: its path below the video's folder, and the length and sha256 of its bytes."""

    path: str
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    bytes: int = Field(ge=0, lt=8 << 30)  #: the limit of a plain tar


class Manifest(_Plain):
    """The contents of an archive, in this order."""

    format: Literal[1] = 1
    id: str
    objects: tuple[Member, ...]

    def named(self) -> dict[str, Member]:
        """Return path -> member."""
        return {member.path: member for member in self.objects}


Read = Callable[[Member], Iterator[bytes]]


def bad_archive(text: str) -> InvalidRequest:
    """Return the error for the client that sent the archive."""
    return InvalidRequest(f"archive: {text}", fields={"archive": text})


def pack(manifest: Manifest, read: Read) -> Iterator[bytes]:
    """Yield the archive piece by piece. Raises, half-way: Damaged if `read` gives other bytes."""
    data = manifest.model_dump_json().encode()
    yield from _entry(f"{manifest.id}/{MANIFEST}", len(data), [data])
    for member in manifest.objects:
        yield from _entry(f"{manifest.id}/{member.path}", member.bytes, _checked(member, read(member)))
    yield _END


def packed_bytes(manifest: Manifest) -> int:
    """Return the length of the archive."""
    sizes = [len(manifest.model_dump_json().encode()), *(member.bytes for member in manifest.objects)]
    return sum(_BLOCK + size + -size % _BLOCK for size in sizes) + len(_END)


def unpack(source: BinaryIO, folder: Path | None) -> Manifest:
    """Check an archive, and write its objects below the empty `folder` (None: only check).

    Raises: InvalidRequest unless it is exactly what `pack` makes.
    """
    name, size = _header(source)
    if not name.endswith(f"/{MANIFEST}") or size > _MANIFEST_BYTES:
        raise bad_archive(f"it must begin with ID/{MANIFEST}, of at most {_MANIFEST_BYTES >> 20} MiB")
    data = b"".join(_body(source, size))
    manifest = read_manifest(data)
    if name != f"{manifest.id}/{MANIFEST}":
        raise bad_archive("its folder is not named after the video's id")
    if folder is not None:
        (folder / MANIFEST).write_bytes(data)
    for member in manifest.objects:
        name, size = _header(source)
        if (name, size) != (f"{manifest.id}/{member.path}", member.bytes):
            raise bad_archive(f"{name[:80]!r} stands where {member.path} of {member.bytes} bytes should")
        try:
            _write(None if folder is None else folder / member.path, _checked(member, _body(source, size)))
        except Damaged as err:
            raise bad_archive(str(err)) from err
    if _exactly(source, len(_END)) != _END:
        raise bad_archive("there is more after the last object of the manifest")
    return manifest


def read_manifest(data: bytes) -> Manifest:
    """Parse a manifest. Raises: InvalidRequest if it is malformed or names what cannot be an object of a video."""
    try:
        manifest = Manifest.model_validate_json(data)
    except ValidationError as err:
        raise bad_archive(f"its {MANIFEST} cannot be read: {err.error_count()} faults") from err
    paths = manifest.named()
    if not is_id(manifest.id) or len(paths) != len(manifest.objects):
        raise bad_archive("its id is malformed, or it names an object twice")
    for path in paths:
        if not is_key(path) or path == MANIFEST or any(str(parent) in paths for parent in Path(path).parents):
            raise bad_archive(f"{path[:80]!r} cannot be an object's path")
    return manifest


def read_folder(folder: Path) -> tuple[Manifest, Read]:
    """Read an unpacked archive.

    Raises: InvalidRequest if a file is missing, is no plain file, or has another length.
    """
    try:
        manifest = read_manifest((folder / MANIFEST).read_bytes())
    except OSError as err:
        raise bad_archive(f"{folder} has no {MANIFEST}: {err.strerror}") from err
    for member in manifest.objects:
        steps = [folder / parent for parent in reversed(Path(member.path).parents[:-1])]
        if any(step.is_symlink() for step in steps) or not _is_plain(folder / member.path, member.bytes):
            raise bad_archive(f"{member.path} is missing, is no plain file, or does not have {member.bytes} bytes")

    def read(member: Member) -> Iterator[bytes]:
        with (folder / member.path).open("rb") as file:
            while piece := file.read(_PIECE_BYTES):
                yield piece

    return manifest, read


def _is_plain(path: Path, size: int) -> bool:
    try:
        found = os.lstat(path)
    except OSError:
        return False
    return stat.S_ISREG(found.st_mode) and found.st_size == size


def _entry(name: str, size: int, pieces: Iterable[bytes]) -> Iterator[bytes]:
    info = tarfile.TarInfo(name)
    info.size = size
    yield info.tobuf(tarfile.USTAR_FORMAT, "ascii", "strict")
    yield from pieces
    yield bytes(-size % _BLOCK)


def _checked(member: Member, pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Yield the same pieces. Raises: Damaged if they are not the member's bytes."""
    digest, size = hashlib.sha256(), 0
    for piece in pieces:
        digest.update(piece)
        size += len(piece)
        if size <= member.bytes:
            yield piece
    if size != member.bytes or digest.hexdigest() != member.sha256:
        raise Damaged(f"{member.path} is damaged: its sha256 is not the one in the manifest")


def _header(source: BinaryIO) -> tuple[str, int]:
    """Return name and size of the next file."""
    try:
        info = tarfile.TarInfo.frombuf(_exactly(source, _BLOCK), "ascii", "strict")
    except (tarfile.HeaderError, ValueError) as err:
        raise bad_archive("it is not a tar file, or it is truncated") from err
    if info.type != tarfile.REGTYPE or info.size < 0:
        raise bad_archive(f"{info.name[:80]!r} is no plain file; links, folders and devices are not accepted")
    return info.name, info.size


def _body(source: BinaryIO, size: int) -> Iterator[bytes]:
    left = size
    while left:
        piece = source.read(min(left, _PIECE_BYTES))
        if not piece:
            raise bad_archive("it is truncated")
        left -= len(piece)
        yield piece
    _exactly(source, -size % _BLOCK)


def _exactly(source: BinaryIO, size: int) -> bytes:
    data = source.read(size)
    if len(data) != size:
        raise bad_archive("it is truncated")
    return data


def _write(path: Path | None, pieces: Iterator[bytes]) -> None:
    if path is None:
        for _ in pieces:
            pass
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("xb") as file:
        file.writelines(pieces)
