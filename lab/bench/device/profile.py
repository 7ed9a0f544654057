"""Where the time of a stock forward goes, kernel by kernel."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from torch.profiler import ProfilerActivity, profile

from framepack_engine.pipeline import Sampler
from lab.bench.device.row import four_digits
from lab.bench.device.site import Site
from lab.bench.random_model import random_conditioning

_FORWARDS = 2
_SHOWN = 25  #: kernels; the whole table is in profile.txt


def kernels(site: Site) -> Iterator[dict[str, Any]]:
    """Profile two forwards of a model that lies on the device, and yield the kernels that take most."""
    parts = site.make(site.device)
    sampler, spec = (
        Sampler(parts.transformer, parts.vae, device=str(site.device)),
        replace(site.spec, num_inference_steps=_FORWARDS),
    )
    conditioning = random_conditioning(parts, height=spec.height, width=spec.width)
    sampler.section(spec, 0, conditioning, None)
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if site.on_gpu else [])]
    with profile(activities=activities) as profiler:
        sampler.section(spec, 0, conditioning, None)
    where = "device" if site.on_gpu else "cpu"
    events, key = profiler.key_averages(), f"self_{where}_time_total"
    kind = "CUDA" if site.on_gpu else "CPU"  # an operation's time on a GPU is that of its kernels
    table = events.table(
        sort_by=f"self_{'cuda' if site.on_gpu else 'cpu'}_time_total", row_limit=100, max_name_column_width=90
    )
    (site.out / "profile.txt").write_text(table)
    timed = [(float(getattr(event, key)), event) for event in events if event.device_type.name == kind]
    taken = sorted(timed, key=lambda pair: -pair[0])
    whole = sum(time_us for time_us, _ in taken) or 1.0
    for time_us, event in taken[:_SHOWN]:
        yield {
            "part": event.key[:120],
            "ms": four_digits(time_us / 1000 / _FORWARDS),
            "share": four_digits(time_us / whole),
            "calls": event.count // _FORWARDS,
        }
    yield {"ms": four_digits(whole / 1000 / _FORWARDS), "forwards": _FORWARDS}
