"""Embeddings in the store, which videos share: `embeddings/<sha256>.safetensors`.

Each use is noted twice, beside the embedding and beside the video. Erasing a video therefore also erases the embeddings
that no other video uses: they are its prompt, as numbers.

The bytes end in a seal, by which a damaged embedding is known: it counts as lost, and is made again. Earlier versions
wrote no seal.
"""

from __future__ import annotations

import hashlib

from farm.contract import JobId
from farm.ledger.layout import embedding_key, use_key, users_folder, uses_folder
from farm.store import ObjectMissing, Store

_SEAL = b" farm-seal-1"  #: after the bytes and their sha256


class StoredEmbeddings:
    """One video's access to the shared embeddings. Losing one costs time only."""

    def __init__(self, store: Store, job: JobId) -> None:
        """Begin for the video `job`."""
        self._store, self._job = store, job
        self.hits = 0  #: found
        self.made = 0  #: not found, and put

    def get(self, key: str) -> bytes | None:
        """Return the bytes kept under `key`, or None."""
        # before reading: a deletion of the last other user sees our use, or is done before we read
        for use in (f"{uses_folder(self._job)}{key}", use_key(key, self._job)):
            self._store.put_if_absent(use, b"{}")
        try:
            data = unsealed(self._store.get(embedding_key(key)))
        except ObjectMissing:
            return None
        self.hits += data is not None
        return data

    def put(self, key: str, data: bytes) -> None:
        """Keep `data` under `key`. An object already there is damaged, or another worker was faster."""
        name, sealed = embedding_key(key), data + hashlib.sha256(data).digest() + _SEAL
        if not self._store.put_if_absent(name, sealed) and self._store.get(name) != sealed:
            self._store.delete(name)
            self._store.put_if_absent(name, sealed)
        self.made += 1


def unsealed(stored: bytes) -> bytes | None:
    """Return the bytes of a stored embedding; None if they are damaged."""
    if not stored.endswith(_SEAL):
        return stored  # of an earlier version, or cut: then the engine cannot read it
    sealed = stored.removesuffix(_SEAL)
    data, digest = sealed[:-32], sealed[-32:]
    return data if hashlib.sha256(data).digest() == digest else None


def forget_embeddings(store: Store, job: JobId) -> None:
    """Remove all uses by `job`, and erase the embeddings that no other video uses."""
    for note in store.list(uses_folder(job)):
        key = note.rpartition("/")[2]
        store.delete(use_key(key, job))
        if not store.list(users_folder(key), limit=1):
            store.delete(embedding_key(key))
        store.delete(note)  # last: a sweep finds the rest by it
