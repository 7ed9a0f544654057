"""A slow link: frames pass through this process, which delays and drops them. Many kernels have no netem for it."""

from __future__ import annotations

import fcntl
import heapq
import os
import random
import select
import struct
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import count

_TUNSETIFF, _TAP_WITHOUT_HEADER = 0x400454CA, 0x0002 | 0x1000
_FRAME_BYTES = 65_536


def tap(name: str, enter: Callable[[], None]) -> int:
    """Make a network card whose frames are read from and written to a file; return its descriptor.

    enter: moves its thread into the network where the card is to be.
    """

    def make() -> int:
        card = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
        fcntl.ioctl(card, _TUNSETIFF, struct.pack("16sH22x", name.encode(), _TAP_WITHOUT_HEADER))
        return card

    with ThreadPoolExecutor(1, initializer=enter) as thread:
        return thread.submit(make).result()


class SlowLink:
    """Carries frames between two taps, each way on a line of its own. It owns the two descriptors."""

    def __init__(self, left: int, right: int, *, delay_ms: float, loss: float, mbit: float, seed: int = 0) -> None:
        """delay_ms: each way. loss: the share of frames that are dropped. mbit: of each way, per second."""
        self._other = {left: right, right: left}
        self._delay_s, self._loss, self._bits_per_s = delay_ms / 1000, loss, mbit * 1e6
        self._dice, self._over = random.Random(seed), threading.Event()
        self._thread = threading.Thread(target=self._carry, name="slow-link", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Take the link and both cards away."""
        self._over.set()
        self._thread.join()
        for card in self._other:
            os.close(card)

    def _carry(self) -> None:
        under_way: list[tuple[float, int, int, bytes]] = []  # due, order, card, frame
        numbers, free_at = count(), dict.fromkeys(self._other, 0.0)
        while not self._over.is_set():
            pause_s = max(0.0, under_way[0][0] - time.monotonic()) if under_way else 0.1
            for card in select.select(list(self._other), [], [], min(pause_s, 0.1))[0]:
                frame = os.read(card, _FRAME_BYTES)
                sent_at = max(free_at[card], time.monotonic()) + len(frame) * 8 / self._bits_per_s
                free_at[card] = sent_at
                if self._dice.random() >= self._loss:
                    heapq.heappush(under_way, (sent_at + self._delay_s, next(numbers), self._other[card], frame))
            while under_way and under_way[0][0] <= time.monotonic():
                _, _, card, frame = heapq.heappop(under_way)
                os.write(card, frame)
