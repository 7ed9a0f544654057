"""Asks a farm's door ten times a second, to find out for how long it does not answer."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from typing import NamedTuple

import httpx

_PAUSE_S = 0.1
_ANSWER_S = 2.0  #: a slower answer counts as none


class Gap(NamedTuple):
    """A time without an answer, in unix seconds: from one good answer to the next."""

    begun: float
    over: float

    @property
    def seconds(self) -> float:
        """Its length."""
        return self.over - self.begun


class Door:
    """The times of the farm's answers. A farm that was never away has gaps of a tenth of a second."""

    def __init__(self, url: str) -> None:
        """Nothing is asked before `watched`."""
        self._url, self._answers, self._over = url, list[float](), threading.Event()

    def gaps(self) -> list[Gap]:
        """Return the times between two answers, in order."""
        answers = sorted(self._answers)
        return [Gap(*pair) for pair in pairwise(answers)]

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Ask for as long as the context lasts, and for the answer that ends the last gap."""
        asking = threading.Thread(target=self._ask_on, name="door", daemon=True)
        asking.start()
        try:
            yield
        finally:
            self._over.set()
            asking.join()

    def _ask_on(self) -> None:
        # a connection for each question, as from many clients: none of them knows that the door was away
        limits = httpx.Limits(max_keepalive_connections=0)
        with httpx.Client(base_url=self._url, limits=limits, timeout=_ANSWER_S, trust_env=False) as http:
            asked = list[threading.Thread]()
            while not self._over.wait(_PAUSE_S):
                question = threading.Thread(target=self._ask, args=(http,), daemon=True)  # a slow one delays no other
                question.start()
                asked = [question, *(each for each in asked if each.is_alive())]
            for each in asked:
                each.join()

    def _ask(self, http: httpx.Client) -> None:
        try:
            good = http.get("/healthz").is_success
        except httpx.HTTPError:
            return
        if good:
            self._answers.append(time.time())
