"""Replays of made-up videos as rows of a table, and the goals that they must reach."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from lab.bench.scheduler import MIXED_FLEET, bound_s, by_section, clips, fifo_bound

_STREAM_S = 132.0  #: a video every so often is 90 % of what the 17 GPUs can do
_GOALS = {"makespan_over_bound": 1.10, "flow_over_fifo": 0.65}  #: at most
_JUDGED_VIDEOS = 200  #: with fewer the last ones decide, and no schedule comes near the bound
_LEASES_PER_CPU_S = 300  #: at least


def goals_missed(rows: list[dict[str, Any]], rate: int) -> Iterator[str]:
    """Name each goal that the replays or the rate of leases a second of CPU time miss."""
    for row in rows:
        for name, most in _GOALS.items():
            if row["videos"] >= _JUDGED_VIDEOS and row[name] is not None and row[name] > most:
                yield f"{name} {row[name]}, over {most:.2f} ({row['videos']} videos, {row['arrive']})"
    if rate < _LEASES_PER_CPU_S:
        yield f"{rate} leases a second of CPU time, under {_LEASES_PER_CPU_S}"


def replay(number: int, *, at_once: bool, seed: int) -> dict[str, Any]:
    """Return a row: the farm's scheduler beside videos bound to GPUs. Only videos that come at once have a bound."""
    every_s = 0.0 if at_once else _STREAM_S
    videos = clips(number, seed=seed, every_s=every_s)
    fifo, ours = fifo_bound(videos, MIXED_FLEET), by_section(videos, MIXED_FLEET)
    bound = None if every_s else bound_s(videos, MIXED_FLEET)
    return {
        "videos": number,
        "arrive": f"every {every_s:g} s" if every_s else "at once",
        "bound_h": bound and round(bound / 3600, 2),
        "makespan_over_bound": bound and round(ours.makespan_s / bound, 3),
        "fifo_makespan_over_bound": bound and round(fifo.makespan_s / bound, 3),
        "mean_flow_h": round(ours.flow_s / 3600, 2),
        "fifo_mean_flow_h": round(fifo.flow_s / 3600, 2),
        "flow_over_fifo": round(ours.flow_s / fifo.flow_s, 3),
        "leases": ours.leases,
    }
