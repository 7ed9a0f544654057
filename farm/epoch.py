"""Who is in charge of a store: each dispatcher takes the next epoch, and whoever sees a higher one steps down."""

from __future__ import annotations

import json
import time
from typing import NamedTuple
from uuid import uuid4

from farm.store import Store


class Epoch(NamedTuple):
    """A dispatcher's turn, and the object that says so: nobody else's store has one with these bytes."""

    number: int
    key: str
    data: bytes


def take_epoch(store: Store) -> Epoch:
    """The next epoch, ours. Raises: StoreError."""
    keys = store.list("dispatcher/")
    number = int(keys[-1].rpartition("/")[2]) if keys else 0
    data = json.dumps({"at": time.time(), "nonce": uuid4().hex}).encode()
    while True:
        number += 1
        key = f"dispatcher/{number:08}"
        if store.put_if_absent(key, data):
            return Epoch(number, key, data)
