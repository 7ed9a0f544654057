"""Try out whether a store lets exactly one writer win. Neither its name nor its version tells."""

from __future__ import annotations

import hashlib
import json
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from threading import Barrier
from uuid import uuid4

from farm.errors import ConfigError, StoreError
from farm.store.protocol import Store

_WRITERS = 16
_RACES = (200, 200, 200, 5_000_000)  #: bytes of the body; some servers fail only with big ones
PROBES = "probe/"
SCRATCH = f"{PROBES}scratch-"
_VERDICT = "v1"  #: change it when the trial changes, so that stores are tried again


def prove_create_once(store: Store, *, name: str, server: str) -> None:
    """Let 16 writers race for one scratch key, several times. Remember a success in the store, for this server.

    name:   of the store, for people. server: the verdict holds for this one; another server is tried again.
    Raises: ConfigError if two writers won, or a written object cannot be read or listed; StoreError if the store does
    not answer.
    """
    verdict = f"{PROBES}{_VERDICT}-{hashlib.sha256(f'{name} {server}'.encode()).hexdigest()[:16]}.json"
    if store.list(PROBES, after=verdict[:-1], limit=1) == [verdict]:
        return
    for size in _RACES:
        fault = _race(store, size)
        if fault:
            raise ConfigError(
                f"{name} cannot hold a farm: {fault}. Its server, {server}, ignores `If-None-Match: *`, so "
                "several writers can create one object; use AWS S3, R2, Ceph RGW or a folder"
            )
    store.put_if_absent(verdict, json.dumps({"server": server, "at": time.time()}).encode())


def _race(store: Store, size: int) -> str:
    """Run one race; return what went wrong, or nothing."""
    key, start = f"{SCRATCH}{uuid4().hex}", Barrier(_WRITERS)
    bodies = [uuid4().hex.encode().ljust(size, b".") for _ in range(_WRITERS)]

    def write(body: bytes) -> bool:
        start.wait()
        return store.put_if_absent(key, body)

    try:
        with ThreadPoolExecutor(_WRITERS) as writers:
            won = [body for body, first in zip(bodies, writers.map(write, bodies), strict=True) if first]
        found = store.get(key)
        if len(won) > 1:
            return f"{len(won)} of {_WRITERS} writers created the same object of {size} bytes"
        if found not in (won or bodies):  # if nobody won, the winner's answer got lost
            return f"an object of {size} bytes is not what its one writer wrote"
        if store.put_if_absent(key, bodies[0]):
            return "an object that existed was created again"
        if store.list(PROBES, after=key[:-1], limit=1) != [key]:
            return "an object that was just written is not listed"
    finally:
        with suppress(StoreError):
            store.delete(key)
    return ""
