"""bench: what the parts can do, measured."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from deploy.connect import Json
from deploy.screen import put_json, put_table, say

_STREAM_S = 132.0  #: a video every so often is 90 % of what the 17 GPUs can do


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    bench = typer.Typer(no_args_is_help=True, help="Measure a part of the farm: bench scheduler, bench engine.")
    bench.command()(scheduler)
    bench.command()(engine)
    bench.callback()(lambda: None)  # else a group of one command loses its name
    app.add_typer(bench, name="bench")


def scheduler(
    *,
    videos: Annotated[list[int] | None, typer.Option("--videos", min=1, help="how many; 200 and 10000")] = None,
    seed: Annotated[int, typer.Option("--seed", help="of the order in which they come")] = 0,
    as_json: Json = False,
) -> None:
    """Replay made-up videos on 17 made-up GPUs: makespan over its bound, mean time to the end beside a FIFO's."""
    from farm import simulate

    rows = []
    for number, every_s in [(number, 0.0) for number in videos or [200, 10_000]] + [(1000, _STREAM_S)]:
        say(f"{number} videos on {len(simulate.MIXED_FLEET)} GPUs …")
        rows.append(_replay(number, every_s, seed))
    say("10,000 videos, 1,000 workers …")
    rate = round(simulate.decisions_per_s(videos=10_000, workers=1_000))
    if as_json:
        put_json({"replays": rows, "leases_per_cpu_s": rate})
        return
    put_table(tuple(rows[0]), rows)
    print(f"leases decided a second of CPU time, 10,000 videos waiting, 1,000 workers: {rate}")


def _replay(number: int, every_s: float, seed: int) -> dict[str, Any]:
    """One row: the farm's scheduler beside videos bound to GPUs. The bound is one for videos that come at once."""
    from farm.simulate import MIXED_FLEET, bound_s, by_section, clips, fifo_bound

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


def engine(
    *,
    memory: Annotated[
        bool, typer.Option("--memory/--no-memory", help="peak memory at 4, 14, 50 and 100 sections: minutes")
    ] = True,
    as_json: Json = False,
) -> None:
    """Count what a video costs the engine: forwards, frames encoded, latents decoded, memory, time beside the model."""
    from framepack_engine import bench
    from framepack_engine.models import load_models

    models, rows = load_models("tiny"), []
    say("a section of 608x640 px …")
    overhead = bench.step_overhead(models).row()
    for spec in (bench.small_spec("i2v", 14), bench.small_spec("i2v", 14, window=3, true_cfg_scale=2.0)):
        say(f"{spec.sections} sections of {spec.latent_window_size} latent frames …")
        rows.append(bench.count_render(models, spec).row())
    f1 = load_models("tiny-f1")
    rows.append(bench.count_render(f1, bench.small_spec("f1", 14)).row())
    peaks = []
    for sections in bench.SECTIONS if memory else ():
        say(f"{sections} sections in a process of their own …")
        peaks.append({"sections": sections, "peak_mib": bench.peak_mib(sections)})
    if as_json:
        put_json({"renders": rows, "step": overhead, "memory": peaks})
        return
    for table in (rows, [overhead], peaks):
        if table:
            put_table(tuple(table[0]), table)
