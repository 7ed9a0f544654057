"""Whether an order still moves: a computation that never returns is noticed by what it does not do."""

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
    """How long nothing has happened in an order. Called from the order's thread and from the one that watches it.

    What counts: a step ends, a stage's call to the store fails and is tried again, a model's loading begins or ends. A
    first loading may bring 50 GB from the hub, so while it lasts, bytes from or to the disk count too.
    """

    def __init__(
        self, *, clock: Callable[[], float] = time.monotonic, io_bytes: Callable[[], int] | None = None
    ) -> None:
        """`io_bytes`: what this process has read from and written to disks so far."""
        self._clock, self._io_bytes = clock, io_bytes or _io_bytes
        self._at, self._loading, self._seen_bytes = clock(), False, 0

    def moved(self) -> None:
        """Something happened."""
        self._at = self._clock()

    @contextmanager
    def loading(self) -> Iterator[None]:
        """A model is loaded meanwhile."""
        self._loading, self._seen_bytes = True, self._io_bytes()
        self.moved()
        try:
            yield
        finally:
            self._loading = False
            self.moved()

    def still_s(self) -> float:
        """Seconds since something happened."""
        if self._loading and self._io_bytes() - self._seen_bytes >= _IO_BYTES:
            self._seen_bytes = self._io_bytes()
            self.moved()
        return self._clock() - self._at


def _io_bytes() -> int:
    """Linux counts them; elsewhere nothing is known, so that a loading has the time of any other stretch."""
    with suppress(OSError):
        lines = Path("/proc/self/io").read_text().splitlines()
        return sum(int(line.split()[1]) for line in lines if line.startswith(("read_bytes:", "write_bytes:")))
    return 0


_LATELY = 9  #: sections that count


class Pace:
    """Hears of finished orders; says what belongs on the worker's card."""

    def __init__(self) -> None:
        """Nothing is measured yet."""
        self._took_s: dict[str, deque[tuple[float, float]]] = defaultdict(lambda: deque(maxlen=_LATELY))

    def note(self, order: Order, seconds: float) -> None:
        """An order was done in `seconds`. Only whole sections tell something: a resumed one was partly done before."""
        if order.key.stage == "section" and "step" not in order.needs:
            self._took_s[order.job.request.model or ""].append((seconds, seconds / section_work(order.job)))

    def of(self, model: str | None) -> Mapping[str, float | str | None]:
        """The card's fields for a worker that holds `model`; None where nothing is measured."""
        took_s = self._took_s.get(model or "")
        return {
            "model": model,
            "s_per_section": median(raw for raw, _ in took_s) if took_s else None,
            "s_per_standard_section": median(standard for _, standard in took_s) if took_s else None,
        }
