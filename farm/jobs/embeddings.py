"""Embeddings in the store, shared between videos: `embeddings/<sha256>.safetensors`.

Who uses one is written down twice, by the embedding and by the video, so that what the last user leaves behind goes
with it: deleting a video erases everything of it, its prompt in numbers too.
"""

from __future__ import annotations

from farm.contract import JobId
from farm.ledger.layout import embedding_key, use_key, users_folder, uses_folder
from farm.store import ObjectMissing, Store


class StoredEmbeddings:
    """What one video finds and keeps; counts both. Losing an embedding costs time only, so no write is checked."""

    def __init__(self, store: Store, job: JobId) -> None:
        """For `job`."""
        self._store, self._job = store, job
        self.hits = 0  #: found
        self.made = 0  #: not found, and put

    def get(self, key: str) -> bytes | None:
        """The bytes kept under `key`, None where there are none."""
        # first: whoever deletes the last other user's video now sees us, or deletes it before we read
        for use in (f"{uses_folder(self._job)}{key}", use_key(key, self._job)):
            self._store.put_if_absent(use, b"{}")
        try:
            data = self._store.get(embedding_key(key))
        except ObjectMissing:
            return None
        self.hits += 1
        return data

    def put(self, key: str, data: bytes) -> None:
        """Keep `data` under `key`; what is there already stays."""
        self._store.put_if_absent(embedding_key(key), data)
        self.made += 1


def forget_embeddings(store: Store, job: JobId) -> None:
    """Take back all uses by `job`, and erase the embeddings that nobody else uses."""
    for note in store.list(uses_folder(job)):
        key = note.rpartition("/")[2]
        store.delete(use_key(key, job))
        if not store.list(users_folder(key), limit=1):
            store.delete(embedding_key(key))
        store.delete(note)  # last: it is what a sweep finds again
