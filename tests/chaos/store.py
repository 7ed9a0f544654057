"""The store under test: an emulator of S3 that keeps what it acknowledged, behind a network that can be disturbed."""

from __future__ import annotations

import contextlib
import json
import random
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal, NamedTuple

from tests.s3_servers import BUCKET, KEYS, Asked, Fault, Place, Relay, Server, running_ministack

Moment = Literal["before", "after"]


class LogWrite(NamedTuple):
    """A ledger entry on its way into the store."""

    event: str
    stage: str  #: of the order that it is about; empty: about none
    port: int  #: of the writer's end of the connection


class StoreUnderTest:
    """The farm's way to the store leads through a relay; ours, for reading ledgers, does not."""

    def __init__(self, server: Server, relay: Relay) -> None:
        self.farms = Place(f"s3://{BUCKET}/chaos", relay.endpoint)
        self.ours = Place(f"s3://{BUCKET}/chaos", server.endpoint)
        self.env = {name: value for name, value in KEYS.items() if name.startswith("AWS_")}
        self._server, self._relay = server, relay

    def disturb(self, fault: Fault, *, seconds: float, share: float, dice: random.Random) -> None:
        """Do this to a share of all requests, for a time."""
        self._relay.thawed.clear()
        self._relay.fault = lambda _method, _path: fault if dice.random() < share else None
        time.sleep(seconds)
        self._relay.fault = lambda _method, _path: None
        self._relay.thawed.set()

    def freeze(self, seconds: float) -> None:
        """It takes connections and answers nothing, for a time."""
        self._server.signal(signal.SIGSTOP)
        time.sleep(seconds)
        self._server.signal(signal.SIGCONT)

    def crash(self, seconds: float) -> None:
        """SIGKILL; it comes back after a time with what it had acknowledged."""
        self._server.kill()
        time.sleep(seconds)
        self._server.start()
        self._server.await_bucket(60)

    def await_write(
        self, wanted: Callable[[LogWrite], bool], act: Callable[[LogWrite], None], *, moment: Moment, seconds: float
    ) -> LogWrite | None:
        """At the next ledger entry that is `wanted`, call `act`: before the store has it (then it never gets there),
        or when it is stored and nobody has heard so yet. None: there was no such entry in time.
        """
        found, seen, lock = threading.Event(), list[LogWrite](), threading.Lock()

        def look(asked: Asked) -> bool:
            write = _log_write(asked)
            with lock:
                if write is None or seen or not wanted(write):
                    return False
                seen.append(write)
            act(write)
            found.set()
            return True

        if moment == "before":
            self._relay.before = lambda asked: "reset" if look(asked) else None
        else:
            self._relay.after = look
        found.wait(seconds)
        self._relay.before, self._relay.after = lambda _asked: None, lambda _asked: None
        return seen[0] if found.is_set() else None


@contextlib.contextmanager
def store_under_test(folder: Path, *, address: str = "127.0.0.1") -> Iterator[StoreUnderTest]:
    """A fresh one for as long as the context lasts. address: where the farm finds it."""
    with running_ministack(folder) as server:
        relay = Relay(server.endpoint, address=address)
        try:
            yield StoreUnderTest(server, relay)
        finally:
            relay.thawed.set()
            relay.close()


def _log_write(asked: Asked) -> LogWrite | None:
    """The ledger entry in a request; None where there is none."""
    if asked.method != "PUT" or "/log/" not in asked.path:
        return None
    event = json.loads(asked.body)["event"]
    return LogWrite(event["name"], (event.get("key") or "").partition("/")[0], asked.port)
