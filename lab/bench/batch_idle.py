"""Whether workers idle while videos wait, from the times of a ledger's entries."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from statistics import median
from typing import Any, NamedTuple

from farm.ledger import Entry

Span = tuple[float, float]


class Gap(NamedTuple):
    """A time in which a worker had no order. begin, end: unix seconds. waited_s: of it, while a video waited."""

    worker: str
    begin: float
    end: float
    waited_s: float


def idleness(videos: Iterable[Sequence[Entry]]) -> dict[str, Any]:
    """Return how long workers idled while a video waited. videos: the entries of each.

    A video waits from its first entry to its first lease, and from each commit to its next lease. A worker idles from
    the first entry of all, or from the end of an order, to its next lease. The times in which both are so are counted.
    passed_over: the most orders that other workers began in one such time of a worker.
    """
    waits, work = list[Span](), defaultdict[str, list[Span]](list)
    for entries in videos:
        waits += _waits(entries)
        for worker, span in _orders(entries):
            work[worker].append(span)
    waiting = _joined(waits)
    begin = waiting[0][0] if waiting else 0.0
    gaps = list(_gaps(work, waiting, begin))
    longest = max(gaps, key=lambda gap: gap.waited_s, default=Gap("", begin, begin, 0.0))
    busy = sum(end - begin for spans in work.values() for begin, end in spans)
    idle = sum(gap.waited_s for gap in gaps)
    return {
        "workers": len(work),
        "orders": sum(map(len, work.values())),
        "busy_s": round(busy, 1),
        "idle_while_one_waits_s": round(idle, 2),
        "busy_share": round(busy / (busy + idle), 4) if busy else 0.0,
        "longest_idle_ms": round(1000 * longest.waited_s),
        "longest_idle_at_s": round(longest.begin - begin, 1),
        "median_idle_ms": round(1000 * median(gap.waited_s for gap in gaps), 1) if gaps else 0.0,
        "passed_over": max((_begun_meanwhile(gap, work) for gap in gaps if gap.waited_s), default=0),
    }


def _gaps(work: Mapping[str, list[Span]], waiting: Sequence[Span], begin: float) -> Iterable[Gap]:
    for worker, spans in work.items():
        for one, other in pairwise([(begin, begin), *sorted(spans)]):
            if other[0] > one[1]:
                yield Gap(worker, one[1], other[0], _overlap((one[1], other[0]), waiting))


def _begun_meanwhile(gap: Gap, work: Mapping[str, list[Span]]) -> int:
    """Count the orders that other workers began while one idled."""
    others = (spans for worker, spans in work.items() if worker != gap.worker)
    return sum(gap.begin < begin < gap.end for spans in others for begin, _ in spans)


def pace(times: Sequence[float], begin: float, end: float) -> dict[str, Any]:
    """Return how many requests began between two times, and how many a second. times: of the requests."""
    steady = [at for at in times if begin <= at <= end]
    return {
        "requests": len(times),
        "steady_requests": len(steady),
        "steady_s": round(end - begin, 1),
        "steady_requests_per_s": round(len(steady) / (end - begin), 2) if end > begin else 0.0,
    }


def _waits(entries: Sequence[Entry]) -> Iterable[Span]:
    begin: float | None = entries[0].at
    for entry in entries:
        if entry.event.name == "leased":
            if begin is not None:
                yield begin, entry.at
            begin = None
        elif entry.event.name == "committed":
            begin = entry.at


def _orders(entries: Sequence[Entry]) -> Iterable[tuple[str, Span]]:
    """Yield each order that ended: its worker, from its lease to its end."""
    begun: dict[int, tuple[str, float]] = {}
    for entry in entries:
        if entry.event.name == "leased" and entry.event.worker:
            begun[entry.seq] = entry.event.worker, entry.at
        elif entry.event.attempt in begun:
            worker, at = begun.pop(entry.event.attempt)
            yield worker, (at, entry.at)


def _joined(spans: Iterable[Span]) -> list[Span]:
    """Return the same times without overlaps."""
    joined = list[Span]()
    for begin, end in sorted(spans):
        if joined and begin <= joined[-1][1]:
            joined[-1] = joined[-1][0], max(end, joined[-1][1])
        else:
            joined.append((begin, end))
    return joined


def _overlap(span: Span, spans: Iterable[Span]) -> float:
    return sum(max(0.0, min(span[1], end) - max(span[0], begin)) for begin, end in spans)
