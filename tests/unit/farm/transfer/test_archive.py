"""Unpacking accepts exactly what packing makes."""

from __future__ import annotations

import contextlib
import hashlib
import io
import tarfile
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from farm.contract import JobId
from farm.errors import Damaged, InvalidRequest
from framefarm_client.archive import MANIFEST, Manifest, Member, pack, packed_bytes, read_folder, unpack

ID = JobId(f"video_{'a' * 32}")
Objects = dict[str, bytes]
OBJECTS: Objects = {"request.json": b"{}", "log/00000000.json": b"x" * 700, "sections/0000.a1.safetensors": b""}


def manifest_of(objects: Objects) -> Manifest:
    """Return the manifest of these objects."""
    members = [
        Member(path=path, sha256=hashlib.sha256(data).hexdigest(), bytes=len(data)) for path, data in objects.items()
    ]
    return Manifest(id=ID, objects=tuple(members))


def packed(objects: Objects) -> bytes:
    """Pack the objects."""
    return b"".join(pack(manifest_of(objects), lambda member: iter([objects[member.path]])))


def unpacked(data: bytes) -> Objects:
    """Unpack into an empty folder; return its files. Nothing may appear beside it."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name, "inner")
        folder.mkdir()
        try:
            unpack(io.BytesIO(data), folder)
        finally:
            assert [path.name for path in Path(name).iterdir()] == ["inner"]
        files = [path for path in folder.rglob("*") if path.is_file() and path.name != MANIFEST]
        return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


NAME = st.from_regex(r"[a-z0-9_-][a-z0-9._-]{0,10}", fullmatch=True)
PATHS = st.builds(lambda folder, name: f"{folder}/{name}", st.sampled_from(["log", "inputs", "clips"]), NAME)


@settings(max_examples=40)
@given(st.dictionaries(PATHS, st.binary(max_size=1500), max_size=6))
def test_what_is_packed_is_unpacked(objects: Objects) -> None:
    """Packing and unpacking keep every byte; the length is as announced; any tar program lists the files."""
    data = packed(objects)
    assert len(data) == packed_bytes(manifest_of(objects))
    assert unpacked(data) == objects
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        assert tar.getnames() == [f"{ID}/{name}" for name in (MANIFEST, *objects)]


@settings(max_examples=40)
@given(st.integers(0, len(packed(OBJECTS)) - 1), st.integers(1, 255))
def test_no_changed_byte_gets_through(at: int, change: int) -> None:
    """With one byte changed, unpacking refuses the archive or gives the same objects."""
    data = bytearray(packed(OBJECTS))
    data[at] ^= change
    with contextlib.suppress(InvalidRequest):
        assert unpacked(bytes(data)) == OBJECTS


@settings(max_examples=40)
@given(st.integers(0, len(packed(OBJECTS)) - 1))
def test_a_part_of_an_archive_is_none(size: int) -> None:
    """Unpacking refuses a truncated archive."""
    with pytest.raises(InvalidRequest, match="archive: "):
        unpacked(packed(OBJECTS)[:size])


def hostile(change: Callable[[tarfile.TarInfo], None]) -> bytes:
    """Change the last entry of a valid archive with a tar library."""
    out = io.BytesIO()
    with (
        tarfile.open(fileobj=io.BytesIO(packed(OBJECTS))) as tar,
        tarfile.open(fileobj=out, mode="w", format=tarfile.GNU_FORMAT) as evil,
    ):
        for info in tar.getmembers():
            body = tar.extractfile(info)
            if info.name.endswith("safetensors"):
                change(info)
            evil.addfile(info, body)
    return out.getvalue()


@pytest.mark.parametrize(
    "name", [f"{ID}/../../stolen", "/tmp/stolen", f"{ID}/log/../../stolen", "x" * 300, f"{ID}/.hidden"]
)
def test_no_name_leads_out_of_the_folder(name: str) -> None:
    """Unpacking refuses a name that leads out of the folder, in a header or in the manifest."""
    with pytest.raises(InvalidRequest):
        unpacked(hostile(lambda info: setattr(info, "name", name)))
    path = name.removeprefix(f"{ID}/")
    with pytest.raises((InvalidRequest, ValueError)):
        unpacked(packed({path: b""}))


@pytest.mark.parametrize(
    "kind",
    [
        tarfile.SYMTYPE,
        tarfile.LNKTYPE,
        tarfile.CHRTYPE,
        tarfile.BLKTYPE,
        tarfile.FIFOTYPE,
        tarfile.DIRTYPE,
        tarfile.CONTTYPE,
    ],
)
def test_only_plain_files_are_taken(kind: bytes) -> None:
    """Unpacking refuses links, devices and folders."""

    def change(info: tarfile.TarInfo) -> None:
        info.type, info.linkname = kind, "/etc/passwd"

    with pytest.raises(InvalidRequest, match="no plain file"):
        unpacked(hostile(change))


def test_paths_that_are_files_and_folders_at_once_are_refused() -> None:
    """Unpacking refuses contradictory paths, a second manifest and duplicate names."""
    for objects in ({"log": b"", "log/a": b""}, {MANIFEST: b""}):
        with pytest.raises(InvalidRequest):
            unpacked(packed(objects))
    once = manifest_of(OBJECTS)
    twice = once.model_copy(update={"objects": once.objects * 2})
    with pytest.raises(InvalidRequest, match="twice"):
        unpacked(b"".join(pack(twice, lambda member: iter([OBJECTS[member.path]]))))


def test_a_damaged_object_ends_the_packing() -> None:
    """Packing stops at a damaged object."""
    with pytest.raises(Damaged, match=r"request\.json is damaged"):
        list(pack(manifest_of(OBJECTS), lambda _: iter([b"xx"])))


def test_a_folder_must_hold_plain_files(tmp_path: Path) -> None:
    """An unpacked archive can be packed again, unless a file is missing or a link."""
    unpack(io.BytesIO(packed(OBJECTS)), tmp_path)
    manifest, read = read_folder(tmp_path)
    assert b"".join(pack(manifest, read)) == packed(OBJECTS)
    (tmp_path / "request.json").unlink()
    with pytest.raises(InvalidRequest, match=r"request\.json is missing"):
        read_folder(tmp_path)
    (tmp_path / "request.json").symlink_to("/dev/null")
    with pytest.raises(InvalidRequest, match="no plain file"):
        read_folder(tmp_path)
