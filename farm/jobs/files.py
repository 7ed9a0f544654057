"""Files that owners send once and name in requests: kept for a while, then erased. Videos copy what they use.

A file's id is the sha256 of its bytes. Objects are immutable: sending the same bytes again puts another object, which
expires later, and removes the earlier ones. So nobody prolongs an object that is just being erased.
"""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Literal, NamedTuple

from pydantic import ValidationError

from farm.errors import Damaged, NotFound
from farm.ledger.layout import FileKey, file_folder, files_folder, parse_file
from farm.ledger.notes import FileNote
from farm.store import ObjectMissing, Store, keys_below

_ID = re.compile(r"file-([0-9a-f]{64})")
_ID_CHARS = 80  #: of a foreign id in a message
_NOTE_BYTES = 4096  #: the most for an object's first line
_HOUR_MS = 3_600_000
_READERS = 16  #: threads


class StoredFile(NamedTuple):
    """A file that the farm keeps for its owner."""

    key: FileKey
    note: FileNote

    @property
    def id(self) -> str:
        """The name of the file in requests."""
        return f"file-{self.key.sha256}"


class FilePage(NamedTuple):
    """Some of an owner's files."""

    files: list[StoredFile]
    has_more: bool


class Files:
    """All owners' files in one store."""

    def __init__(self, store: Store, *, hours: float, clock: Callable[[], float] = time.time) -> None:
        """hours: how long a file is kept. `clock` gives unix seconds."""
        self._store, self._hours, self._clock = store, hours, clock

    def keep(self, data: bytes, note: FileNote, *, owner: str, most_s: float | None = None) -> StoredFile:
        """Store a file, or renew the expiry of the one with the same bytes; the later expiry wins.

        most_s: the sender wants it erased by then. Another sender of these bytes may rely on more. Raises: StoreError.
        """
        sha256, now_ms = hashlib.sha256(data).hexdigest(), self._now_ms()
        earlier = [key for key in map(parse_file, self._store.list(file_folder(owner, sha256))) if key]
        created_ms = min((key.created_ms for key in earlier if key.expires_ms > now_ms), default=now_ms)
        life_ms = self._hours * _HOUR_MS
        wanted_ms = now_ms + int(life_ms if most_s is None else min(life_ms, most_s * 1000))
        expires_ms = max([wanted_ms, *(key.expires_ms + 1 for key in earlier)])  # always another object
        key = FileKey(owner, sha256, created_ms, expires_ms)
        self._store.put_if_absent(str(key), note.model_dump_json().encode() + b"\n" + data)
        for other in earlier:
            self._store.delete(str(other))
        return StoredFile(key, note)

    def get(self, file_id: str, *, owner: str) -> StoredFile:
        """Return the owner's file. Raises: NotFound if there is none, or if it has expired; Damaged; StoreError."""
        return self._read(file_id, owner, length=_NOTE_BYTES)[0]

    def read(self, file_id: str, *, owner: str) -> tuple[StoredFile, bytes]:
        """Return the owner's file and its bytes. Raises: as `get`; Damaged if they have changed."""
        file, data = self._read(file_id, owner, length=None)
        if hashlib.sha256(data).hexdigest() != file.key.sha256:
            raise Damaged(f"{file.key} is damaged: its bytes have changed; send the file again", key=str(file.key))
        return file, data

    def page(
        self,
        *,
        owner: str,
        after: str | None = None,
        limit: int = 100,
        order: Literal["asc", "desc"] = "desc",
        purpose: str | None = None,
    ) -> FilePage:
        """Return up to `limit` of the owner's files after the file `after`, newest first (desc) or oldest first (asc).

        Files that cannot be read are left out. Raises: NotFound if there is no file `after`; StoreError.
        """
        newest, now_ms = dict[str, FileKey](), self._now_ms()
        for key in filter(None, map(parse_file, keys_below(self._store, files_folder(owner)))):
            if key.expires_ms > now_ms:
                newest[key.sha256] = max(newest.get(key.sha256, key), key, key=lambda each: each.expires_ms)
        keys = sorted(newest.values(), key=lambda key: (key.created_ms, key.sha256), reverse=order == "desc")
        if after is not None:
            place = next((n for n, key in enumerate(keys) if after == f"file-{key.sha256}"), None)
            if place is None:
                raise _no_such(after)
            keys = keys[place + 1 :]
        looked = keys if purpose else keys[: limit + 1]
        with ThreadPoolExecutor(_READERS, thread_name_prefix="files") as readers:
            notes = list(readers.map(self._note, looked))
        found = [StoredFile(key, note) for key, note in zip(looked, notes, strict=True) if note]
        found = [file for file in found if purpose in {None, "", file.note.purpose}]
        return FilePage(found[:limit], has_more=len(found) > limit or len(looked) < len(keys))

    def delete(self, file_id: str, *, owner: str) -> None:
        """Erase the owner's file. Videos keep their copies. Raises: NotFound; StoreError."""
        keys = self._keys(file_id, owner)
        if not keys:
            raise _no_such(file_id)
        for key in keys:
            self._store.delete(str(key))

    def _read(self, file_id: str, owner: str, *, length: int | None) -> tuple[StoredFile, bytes]:
        """Return the file and the first bytes of its object, without the note."""
        gone = None
        while keys := self._keys(file_id, owner):
            key = max(keys, key=lambda key: key.expires_ms)
            if key == gone:
                break
            try:
                note, data = _parted(key, b"".join(self._store.open_read(str(key), length=length)))
            except ObjectMissing:  # the same bytes were sent again just now, or the file was erased
                gone = key
                continue
            return StoredFile(key, note), data
        raise _no_such(file_id)

    def _keys(self, file_id: str, owner: str) -> list[FileKey]:
        """Return the objects of a file that have not expired."""
        found = _ID.fullmatch(file_id)
        keys = map(parse_file, self._store.list(file_folder(owner, found[1]))) if found else ()
        return [key for key in keys if key and key.expires_ms > self._now_ms()]

    def _note(self, key: FileKey) -> FileNote | None:
        try:
            return _parted(key, b"".join(self._store.open_read(str(key), length=_NOTE_BYTES)))[0]
        except Damaged:  # or gone by now; `get` says so
            return None

    def _now_ms(self) -> int:
        return int(self._clock() * 1000)


def has_expired(name: str, *, now_s: float) -> bool:
    """Tell whether the key is a file's that has expired."""
    key = parse_file(name)
    return key is not None and key.expires_ms <= now_s * 1000


def check_stored_file(store: Store, key: FileKey) -> None:
    """Read a file's object. Raises: ObjectMissing; Damaged if its note cannot be read or its bytes have changed."""
    _, data = _parted(key, store.get(str(key)))
    if hashlib.sha256(data).hexdigest() != key.sha256:
        raise Damaged(f"{key} is damaged: its bytes have changed", key=str(key))


def _parted(key: FileKey, stored: bytes) -> tuple[FileNote, bytes]:
    """Part an object, or its beginning, into the note in its first line and the file's bytes. Raises: Damaged."""
    line, _, data = stored.partition(b"\n")
    try:
        return FileNote.model_validate_json(line), data
    except ValidationError as err:
        raise Damaged(f"{key} cannot be read: {err.error_count()} faults; send the file again", key=str(key)) from err


def _no_such(file_id: str) -> NotFound:
    return NotFound(f"no such file {file_id[:_ID_CHARS]!r}; files expire, so send it again")
