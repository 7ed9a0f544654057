"""bench: measure the parts of the farm."""

from __future__ import annotations

import contextlib
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from deploy.commands.bench_batch import batch
from deploy.commands.bench_gpu import gpu
from deploy.commands.connect import Json, Url
from deploy.terminal.flags import with_flags
from deploy.terminal.option_flags import option_flags
from deploy.terminal.screen import put_json, put_rows, put_table, say
from lab.bench.gpu.options import ABOUT as GPU
from lab.bench.peers.options import ABOUT as PEERS
from lab.bench.peers.options import PeersOptions
from lab.options import taken
from lab.training.evaluate.options import PARTS, TrialOptions


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    what = "Measure a part of the farm: bench scheduler, engine, farm, batch, gpu, peers, precision, pocket, training."
    bench = typer.Typer(no_args_is_help=True, help=what)
    bench.command()(scheduler)
    bench.command()(engine)
    bench.command()(farm)
    bench.command()(batch)
    bench.command(help=GPU)(gpu)
    bench.command(help=PEERS)(peers)
    bench.command()(precision)
    bench.command()(pocket)
    bench.command()(training)
    bench.callback()(lambda: None)  # else a group of one command loses its name
    app.add_typer(bench, name="bench")


def scheduler(
    *,
    videos: Annotated[list[int] | None, typer.Option("--videos", min=1, help="how many; 200 and 10000")] = None,
    seed: Annotated[int, typer.Option("--seed", help="seed of the order in which they arrive")] = 0,
    as_json: Json = False,
) -> None:
    """Replay made-up videos on 17 made-up GPUs: makespan over its bound, mean time to the end beside a FIFO's.

    Exit 1 where a goal is missed: of 200 videos and more a makespan of 1.10 bounds and 0.65 of the FIFO's mean time at
    most; 300 leases a second of CPU time at least.
    """
    from lab.bench.replays import goals_missed, replay
    from lab.bench.scheduler import MIXED_FLEET, decisions_per_s

    rows = []
    for number, at_once in [(number, True) for number in videos or [200, 10_000]] + [(1000, False)]:
        say(f"{number} videos on {len(MIXED_FLEET)} GPUs …")
        rows.append(replay(number, at_once=at_once, seed=seed))
    say("10,000 videos, 1,000 workers …")
    rate = round(decisions_per_s(videos=10_000, workers=1_000))
    missed = list(goals_missed(rows, rate))
    if as_json:
        put_json({"replays": rows, "leases_per_cpu_s": rate, "goals_missed": missed})
    else:
        put_table(tuple(rows[0]), rows)
        print(f"leases decided a second of CPU time, 10,000 videos waiting, 1,000 workers: {rate}")
    for goal in missed:
        say(f"goal missed: {goal}", style="red")
    raise typer.Exit(int(bool(missed)))


def engine(
    *,
    memory: Annotated[
        bool, typer.Option("--memory/--no-memory", help="peak memory at 4, 14, 50 and 100 sections: minutes")
    ] = True,
    as_json: Json = False,
) -> None:
    """Count what a video costs the engine: forwards, frames, decodes, memory, and time beside the model's forward."""
    from framepack_engine.models.shelf import load_models
    from lab.bench import engine as bench

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


@with_flags(option_flags(PeersOptions))
def peers(*, as_json: Json = False, **given: Any) -> None:
    """Render the videos, and print a row for each length."""
    from lab.bench.peers.contest import contest

    put_rows(list(contest(taken(PeersOptions, given), say=say)), as_json=as_json)


def precision(
    *,
    full_width: Annotated[
        bool, typer.Option("--full-width", help="add one block of each class, 3072 wide: 3 GB, a minute or two")
    ] = False,
    as_json: Json = False,
) -> None:
    """Measure the error of each precision against the unpacked weights, in float32 and in bfloat16."""
    from dataclasses import replace

    from framepack_engine.models.shelf import load_models
    from lab.bench import precision as precision_bench
    from lab.bench.engine import small_spec

    say("a section of 25 steps in each precision …")
    errors = precision_bench.section_errors(load_models("tiny"), small_spec("i2v", 1, steps=25))
    if full_width:
        say("blocks of FramePack's width …")
        blocks = precision_bench.block_errors()
        errors = [
            replace(found, double=block.double, single=block.single)
            for found, block in zip(errors, blocks, strict=True)
        ]
    put_rows([found.row() for found in errors], as_json=as_json)


def farm(
    *,
    one_video: Annotated[int, typer.Option(min=0, help="open streams of one video, before the load")] = 200,
    watchers: Annotated[int, typer.Option(min=0, help="open streams of videos, ten to each, during the load")] = 500,
    pages: Annotated[int, typer.Option(min=0, help="open streams of all events")] = 20,
    posts_per_s: Annotated[float, typer.Option(min=0.1, help="new videos a second, each with an image")] = 50.0,
    seconds: Annotated[float, typer.Option(min=1.0, help="length of the load")] = 30.0,
    readers: Annotated[int, typer.Option(min=0, help="readers of lists at once, after the load")] = 50,
    jobs: Annotated[
        int, typer.Option(min=0, help="videos in the store before the load; one in twenty is open")
    ] = 10_000,
    url: Url = None,
    as_json: Json = False,
) -> None:
    """Time a quiet farm, a new one or that at --url; put a load on it; read its lists. Exit 1 if a call fails.

    429 is no failure. Each page is read for a third of --seconds. Of a farm at --url, only calls are timed.
    """
    import asyncio

    from deploy.node.local import raise_file_limit
    from deploy.settings import Settings
    from lab.bench.farm_lists import read_lists
    from lab.bench.farm_load import Load, press

    load = Load(watchers=watchers, pages=pages, posts_per_s=posts_per_s, seconds=seconds)
    raise_file_limit()
    api_key = Settings.from_env().api_key
    with _farm_to_press(url, jobs) as (address, storage, begun):
        quiet, errors = _quiet(address, storage, api_key, one_video)
        say(f"{watchers} watchers, {pages} pages, {posts_per_s:g} POST/s for {seconds:g} s at {address} …")
        found = asyncio.run(press(address, load, api_key=api_key))
        found.errors += errors
        say(f"{readers} readers of lists …")
        each_s = seconds / 3 if readers else 0.0
        lists = asyncio.run(read_lists(address, readers=readers, seconds=each_s, api_key=api_key, errors=found.errors))
    row = begun | found.row()
    if as_json:
        put_json(row | {"quiet": quiet, "lists": lists, "errors_by_kind": found.errors})
    else:
        for each in (quiet, row):
            put_table(("what", "value"), [{"what": name, "value": value} for name, value in each.items()])
        put_table(tuple(lists[0]), lists)
    for kind, number in found.errors.most_common():
        say(f"{kind}: {number}", style="red")
    raise typer.Exit(int(bool(found.errors)))


def _quiet(url: str, storage: Path | None, api_key: str | None, watchers: int) -> tuple[dict[str, Any], Counter[str]]:
    """Measure a farm without a load, then with many watchers of one video; return the figures and the errors."""
    import asyncio

    from lab.bench.farm_load import percentiles, watch_one
    from lab.bench.farm_processes import cpu_s, ingresses
    from lab.bench.farm_quiet import measure_calls, measure_memory, measure_storage

    say("a quiet farm …")
    row = measure_calls(url, api_key=api_key)
    if storage:
        row |= measure_storage(url, storage, api_key=api_key) | measure_memory(url, api_key=api_key)
    say(f"{watchers} watchers of one video …")
    ours, used_s = ingresses(), list[float]()
    found = asyncio.run(
        watch_one(url, watchers=watchers, api_key=api_key, begun=lambda: used_s.append(sum(map(cpu_s, ours))))
    )
    if ours and found.events:
        row["ingress_cpu_ms_an_event"] = round(1000 * (sum(map(cpu_s, ours)) - used_s[0]) / found.events, 2)
    lag = {f"lag_{name}": value for name, value in percentiles(found.lag_ms).items()}
    return row | {"watchers_of_one": watchers, "events": found.events, **lag}, found.errors


@contextlib.contextmanager
def _farm_to_press(url: str | None, jobs: int) -> Iterator[tuple[str, Path | None, dict[str, Any]]]:
    """Give the address of a farm, its folder and how long its start took: that at `url`, or one on a full storage."""
    if url:
        yield url, None, {}
        return
    from deploy.node.child import start_background
    from deploy.settings import Settings
    from farm.dispatch.dispatcher import Dispatcher
    from farm.jobs import Jobs
    from farm.store import open_store
    from lab.bench.full_storage import fill_storage

    with tempfile.TemporaryDirectory(prefix="framefarm-bench-") as folder:
        settings = Settings.from_env(storage=folder, workers="1", model="tiny")
        say(f"{jobs} videos into {folder} …")
        fill_storage(Path(folder), videos=jobs, open_videos=jobs // 20, now_ms=int(time.time() * 1000))
        begun = time.perf_counter()
        Dispatcher(Jobs(open_store(settings)), settings)
        charge_s = time.perf_counter() - begun
        say("a farm …")
        begun = time.perf_counter()
        with start_background(settings) as address:
            up_s = time.perf_counter() - begun
            row = {"videos_before": jobs, "open_before": jobs // 20}
            yield address, Path(folder), row | {"dispatcher_ready_s": round(charge_s, 2), "farm_up_s": round(up_s, 1)}


@with_flags(option_flags(TrialOptions))
def pocket(*, as_json: Json = False, **given: Any) -> None:
    """Try a model on photos that it has not seen: autoencoder, motions, end frame and drift.

    It writes clips, a sheet and a report. Without an F1 model it tries i2v alone, and no drift.
    """
    options = taken(TrialOptions, given)
    unknown = set(options.only) - set(PARTS)
    if unknown:
        raise typer.BadParameter(f"{', '.join(sorted(unknown))}: there are {', '.join(PARTS)}", param_hint="--only")
    photos = {path.stem: path for path in sorted(options.photos.glob("*.jpg"))}
    if not photos:
        raise typer.BadParameter(f"{options.photos} has no .jpg", param_hint="--photos")
    from lab.training.evaluate.report import Settings, run_bench

    settings = Settings(
        model=options.model,
        photos=photos,
        out=options.out,
        steps=options.steps,
        window=options.window,
        resolution=options.resolution,
        true_cfg_scale=options.true_cfg_scale,
    )
    report = run_bench(settings, parts=options.only or None, say=say)
    if as_json:
        put_json(report)
        return
    for rows in report["tables"].values():
        put_table(tuple(rows[0]), rows)
    put_table(tuple(report["summary"]), [report["summary"]])


def training(
    *,
    size: Annotated[str, typer.Option("--size", help="of the recipe that makes the transformer: 128 or 256")] = "128",
    sections: Annotated[
        list[int] | None,
        typer.Option("--sections", min=1, max=32, help="length of a clip; may be repeated (default: 1, 2, 4 and 8)"),
    ] = None,
    as_json: Json = False,
) -> None:
    """Measure what a clip costs a step of training, packed and whole: tokens, memory and time.

    The batch is an estimate: the memory that 16 GiB leave beside four copies of the weights, over what one clip keeps.
    """
    from lab.bench.training import SECTIONS, step_costs
    from lab.training.recipe import recipe_of

    costs = step_costs(recipe_of(size), sections=tuple(sections or SECTIONS), say=say)
    put_rows([cost.row() for cost in costs], as_json=as_json)
