"""The metrics of a farm: one table of series. A `Meter` decides where the numbers go; no Ray in here.

docs/reference/metrics.md shows the same table; tests/unit/farm/test_metrics.py keeps the two equal.
"""

from __future__ import annotations

from typing import Literal, NamedTuple, Protocol

from typing_extensions import override

Kind = Literal["counter", "gauge", "histogram"]


class Series(NamedTuple):
    """One family of numbers."""

    kind: Kind
    help: str
    labels: tuple[str, ...] = ()
    bounds: tuple[float, ...] = ()  #: upper bounds of a histogram's buckets


_STORE_S = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0)
_ORDER_S = (0.3, 1.0, 3.0, 10.0, 30.0, 60.0, 120.0, 300.0, 900.0)
SERIES = {
    "framefarm_videos": Series("gauge", "videos that have not ended", ("status",)),
    "framefarm_videos_ended": Series("counter", "videos that ended, as seen by the dispatcher", ("status",)),
    "framefarm_workers": Series("gauge", "workers that called recently", ("state",)),
    "framefarm_leases": Series("counter", "leases given", ("stage",)),
    "framefarm_leases_ended": Series(
        "counter", "leases that the dispatcher ended: expired, failed, given up", ("how",)
    ),
    "framefarm_leases_lost": Series("counter", "orders whose worker had lost its lease", ("stage",)),
    "framefarm_failures": Series("counter", "failures that count against a video", ("code",)),
    "framefarm_notices": Series("counter", "clouds' notices that a machine ends", ("cloud", "kind")),
    "framefarm_sections": Series("counter", "sections made", ("device",)),
    "framefarm_order_seconds": Series("histogram", "seconds an order took", ("stage", "device"), _ORDER_S),
    "framefarm_order_seconds_spent": Series("counter", "the exact sum of these seconds", ("stage", "device")),
    "framefarm_gpu_memory_bytes": Series("gauge", "memory of a worker's GPU", ("worker", "what")),
    "framefarm_store_seconds": Series("histogram", "seconds that the store took to answer", ("operation",), _STORE_S),
    "framefarm_store_errors": Series("counter", "failed requests to the store", ("operation",)),
    "framefarm_watchers": Series("gauge", "open streams of /events"),
}


class Meter(Protocol):
    """The destination of metrics. A name is in SERIES, with all of its labels. Never blocks, never raises."""

    def add(self, name: str, value: float = 1.0, **labels: str) -> None:
        """Add `value` to a counter."""

    def set(self, name: str, value: float, **labels: str) -> None:
        """Set a gauge."""

    def observe(self, name: str, value: float, **labels: str) -> None:
        """Add a value to a histogram."""


class Unmetered(Meter):
    """A meter that drops everything."""

    @override
    def add(self, name: str, value: float = 1.0, **labels: str) -> None: ...

    @override
    def set(self, name: str, value: float, **labels: str) -> None: ...

    @override
    def observe(self, name: str, value: float, **labels: str) -> None: ...
