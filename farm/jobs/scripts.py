"""The sessions of gradio scripts: which calls a session waits for, and the keyframes that it set.

They lie in the store, so any process of the ingress answers any call. A note of a call goes when its answer has been
told; the others go with their age.
"""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Callable
from uuid import uuid4

from farm.errors import NotFound
from farm.jobs.jobs import Record
from farm.ledger.layout import SCRIPTS, ScriptKey, parse_script, script_folder
from farm.ledger.notes import ScriptEvent, ScriptSections, read_note
from farm.store import ObjectMissing, Store, keys_below

_ANSWER = re.compile(r"answer_([0-9a-f]{32})_(\d{13,})_[0-9a-f]{32}")
_SECTIONS = "sections_"
_HOUR_MS = 3_600_000


class ScriptSession:
    """One session of one owner."""

    def __init__(self, store: Store, *, owner: str, name: str, clock: Callable[[], float] = time.time) -> None:
        """name: as the client calls it; "" for calls without a session, which share one. `clock` gives unix seconds."""
        self._store, self._owner, self._clock = store, owner, clock
        self._session = hashlib.sha256(name.encode(errors="surrogatepass")).hexdigest()[:32]

    @property
    def folder(self) -> str:
        """The prefix of the session's notes."""
        return script_folder(self._owner, self._session)

    def keys(self) -> list[ScriptKey]:
        """Return the calls that the session waits for, oldest first. Raises: StoreError."""
        return [key for key in self._all() if not key.name.startswith(_SECTIONS)]

    def event(self, key: ScriptKey) -> ScriptEvent | None:
        """Return the call that a key names; None: its answer has been told. Raises: Damaged, StoreError."""
        try:
            return read_note(self._store, str(key), ScriptEvent)
        except ObjectMissing:
            return None

    def wait_for(self, record: Record, *, door: str, call: str) -> ScriptEvent:
        """Note that the session waits for a video. Raises: StoreError."""
        job = record.job
        return self._noted(job.created_ms, ScriptEvent(id=job.id, door=door, call=call))

    def answer(self, event: ScriptEvent) -> ScriptEvent:
        """Note an answer that is there, under an id of its own. Raises: StoreError."""
        now_ms = self._now_ms()
        name = f"answer_{self._session}_{now_ms:013}_{uuid4().hex}"
        return self._noted(now_ms, event.model_copy(update={"id": name}))

    def told(self, key: ScriptKey) -> None:
        """Forget a call, because its answer goes out now. Raises: StoreError."""
        self._store.delete(str(key))

    def forget_video(self, video_id: str) -> None:
        """Forget a call by its video's id, if the session waits for it. Raises: StoreError."""
        for key in self.keys():
            if key.name == video_id:
                self.told(key)

    def waits_for(self, record: Record) -> bool:
        """Tell whether the session waits for this video. Raises: StoreError."""
        key = ScriptKey(self._owner, self._session, record.job.created_ms, record.job.id)
        return bool(self._store.existing({str(key)}))

    def set_sections(self, sections: ScriptSections) -> None:
        """Set the session's keyframes in place of earlier ones. Raises: StoreError."""
        earlier = self._all_sections()
        at_ms = max([self._now_ms(), *(key.at_ms + 1 for key in earlier)])
        key = ScriptKey(self._owner, self._session, at_ms, f"{_SECTIONS}{uuid4().hex}")
        self._store.put_if_absent(str(key), sections.model_dump_json().encode())
        for other in earlier:
            self._store.delete(str(other))

    def sections(self) -> ScriptSections:
        """Return the session's keyframes. Raises: Damaged, StoreError."""
        while keys := self._all_sections():
            try:
                return read_note(self._store, str(keys[-1]), ScriptSections)
            except ObjectMissing:  # replaced just now
                continue
        return ScriptSections(numbers=(), files=())

    def _all(self) -> list[ScriptKey]:
        keys = map(parse_script, self._store.list(self.folder))
        return [key for key in keys if key is not None]

    def _all_sections(self) -> list[ScriptKey]:
        return [key for key in self._all() if key.name.startswith(_SECTIONS)]

    def _noted(self, at_ms: int, event: ScriptEvent) -> ScriptEvent:
        key = ScriptKey(self._owner, self._session, at_ms, event.id)
        self._store.put_if_absent(str(key), event.model_dump_json(exclude_none=True).encode())
        return event

    def _now_ms(self) -> int:
        return int(self._clock() * 1000)


def is_awaited(store: Store, record: Record) -> bool:
    """Tell whether any session of the video's owner waits for it. Raises: StoreError."""
    keys = map(parse_script, keys_below(store, f"{SCRIPTS}{record.job.owner}/"))
    return any(key is not None and key.name == record.job.id for key in keys)


def read_answer(store: Store, event_id: str, *, owner: str) -> ScriptEvent:
    """Return an answer by its id. Raises: NotFound if it is not the owner's, or expired; Damaged; StoreError."""
    found = _ANSWER.fullmatch(event_id)
    try:
        if found:
            return read_note(store, str(ScriptKey(owner, found[1], int(found[2]), event_id)), ScriptEvent)
    except ObjectMissing:
        pass
    raise NotFound(f"there is no event {event_id[:80]!r}")


def is_old(name: str, hours: float, *, now_s: float) -> bool:
    """Tell whether the key is a note's that is older than `hours`."""
    key = parse_script(name)
    return key is not None and key.at_ms <= now_s * 1000 - hours * _HOUR_MS


def check_script(store: Store, key: ScriptKey) -> None:
    """Read a note. Raises: ObjectMissing; Damaged if it cannot be read."""
    if key.name.startswith(_SECTIONS):
        read_note(store, str(key), ScriptSections)
    else:
        read_note(store, str(key), ScriptEvent)
