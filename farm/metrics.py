"""What is measured of a farm: one table of series. Where the numbers go is behind `Meter`; no Ray in here.

docs/reference/metrics.md shows the same table; tests/unit/farm/test_metrics.py keeps the two equal.
"""

from __future__ import annotations

from typing import Literal, NamedTuple, Protocol

from typing_extensions import override

Kind = Literal["counter", "gauge", "histogram"]


class Series(NamedTuple):
    """One family of numbers, as it is recorded; `exposed` is its name on the page."""

    kind: Kind
    help: str
    labels: tuple[str, ...] = ()
    bounds: tuple[float, ...] = ()  #: upper bounds of a histogram's buckets


_STORE_S = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0)
_ORDER_S = (0.3, 1.0, 3.0, 10.0, 30.0, 60.0, 120.0, 300.0, 900.0)
SERIES = {
    "framefarm_videos": Series("gauge", "videos that have not ended", ("status",)),
    "framefarm_videos_ended": Series("counter", "videos that ended, as the dispatcher saw it", ("status",)),
    "framefarm_workers": Series("gauge", "workers heard of lately", ("state",)),
    "framefarm_leases": Series("counter", "leases given", ("stage",)),
    "framefarm_leases_ended": Series(
        "counter", "leases that the dispatcher ended: expired, failed, given up", ("how",)
    ),
    "framefarm_leases_lost": Series("counter", "orders whose worker found that its lease was gone", ("stage",)),
    "framefarm_failures": Series("counter", "failures that count against a video", ("code",)),
    "framefarm_sections": Series("counter", "sections made", ("device",)),
    "framefarm_order_seconds": Series("histogram", "seconds an order took", ("stage", "device"), _ORDER_S),
    "framefarm_order_seconds_spent": Series("counter", "the same seconds, added up exactly", ("stage", "device")),
    "framefarm_gpu_memory_bytes": Series("gauge", "memory of a worker's GPU", ("worker", "what")),
    "framefarm_store_seconds": Series("histogram", "seconds that the store took to answer", ("operation",), _STORE_S),
    "framefarm_store_errors": Series("counter", "times that the store did not answer as it should", ("operation",)),
    "framefarm_watchers": Series("gauge", "streams of /events that are open"),
}


class Meter(Protocol):
    """Where numbers go. A name is one of SERIES; the labels are all of its labels. Never blocks, never raises."""

    def add(self, name: str, value: float = 1.0, **labels: str) -> None:
        """Count `value` more."""

    def set(self, name: str, value: float, **labels: str) -> None:
        """From now on it is `value`."""

    def observe(self, name: str, value: float, **labels: str) -> None:
        """One more value of a histogram."""


class Unmetered(Meter):
    """Nobody is interested."""

    @override
    def add(self, name: str, value: float = 1.0, **labels: str) -> None:
        """Nothing."""

    @override
    def set(self, name: str, value: float, **labels: str) -> None:
        """Nothing."""

    @override
    def observe(self, name: str, value: float, **labels: str) -> None:
        """Nothing."""
