"""A worker's measurements of itself: whether its order still moves, and how fast it makes sections."""

from __future__ import annotations

import time
from collections import defaultdict, deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from statistics import median

from farm.contract import Order
from farm.jobs.demand import section_work

_IO_BYTES = 1 << 20  #: so much read or written is movement; less is a log line


class Movement:
    """How long nothing has happened in an order. The order's thread and the one that watches it call this.

    These count as movement: a step ends, a call to the store fails and is repeated, a model's loading begins or ends.
    A first loading may bring 50 GB from the hub, so while a model loads, bytes from or to the disk count too.
    """

    def __init__(
        self, *, clock: Callable[[], float] = time.monotonic, io_bytes: Callable[[], int] | None = None
    ) -> None:
        """`io_bytes`: what this process has read from and written to disks so far."""
        self._clock, self._io_bytes = clock, io_bytes or _io_bytes
        self._at, self._loading, self._seen_bytes = clock(), False, 0

    def moved(self) -> None:
        """Note that something happened."""
        self._at = self._clock()

    @contextmanager
    def loading(self) -> Iterator[None]:
        """Count disk traffic as movement, because a model loads."""
        self._loading, self._seen_bytes = True, self._io_bytes()
        self.moved()
        try:
            yield
        finally:
            self._loading = False
            self.moved()

    def still_s(self) -> float:
        """Return the seconds since something happened."""
        if self._loading and self._io_bytes() - self._seen_bytes >= _IO_BYTES:
            self._seen_bytes = self._io_bytes()
            self.moved()
        return self._clock() - self._at


def _io_bytes() -> int:
    """Return what this process has read from and written to disks; always 0 where the system is not Linux."""
    with suppress(OSError):
        lines = Path("/proc/self/io").read_text().splitlines()
        return sum(int(line.split()[1]) for line in lines if line.startswith(("read_bytes:", "write_bytes:")))
    return 0


_LATELY = 9  #: sections that count


class Pace:
    """The medians of the newest sections' times, by model."""

    def __init__(self) -> None:
        self._took_s: dict[str, deque[tuple[float, float]]] = defaultdict(lambda: deque(maxlen=_LATELY))

    def note(self, order: Order, seconds: float) -> None:
        """Note how long an order took. Only whole sections count: a resumed one was partly done before."""
        if order.key.stage == "section" and "step" not in order.needs:
            request = order.job.request
            self._took_s[request.model or ""].append((seconds, seconds / section_work(request, order.job.plan)))

    def of(self, model: str | None) -> Mapping[str, float | str | None]:
        """Return the card's fields for a worker that holds `model`; None: nothing was measured."""
        took_s = self._took_s.get(model or "")
        return {
            "model": model,
            "s_per_section": median(raw for raw, _ in took_s) if took_s else None,
            "s_per_standard_section": median(standard for _, standard in took_s) if took_s else None,
        }
