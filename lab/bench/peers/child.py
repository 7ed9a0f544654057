"""The process in which one contender renders one video, and reports its time and memory."""

from __future__ import annotations

import os
import resource
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from PIL import Image

from lab.bench.child import to_parent
from lab.bench.device.machine import finish
from lab.bench.device.peaks import Peaks
from lab.bench.peers.contenders import Contestant, diffusers_pipeline, engine
from lab.bench.peers.options import PeersOptions
from lab.bench.peers.stopwatch import Stopwatch

_DRAWN_PX = (512, 384)


def main(argv: Sequence[str]) -> None:
    """Render one video. argv: the options as JSON, the contender, the number of sections."""
    tell = to_parent()
    options, contender, sections = PeersOptions.from_json(argv[0]), argv[1], int(argv[2])
    torch.set_num_threads(options.threads or os.cpu_count() or 1)
    makers: dict[str, Callable[[PeersOptions, int, Image.Image], Contestant]] = {
        "engine": engine,
        "diffusers": diffusers_pipeline,
    }
    device = torch.device(options.device)
    contestant = makers[contender](options, sections, _photo(options.photo))
    watch = Stopwatch(contestant.transformer, contestant.vae, exact=device.type == "cpu")
    with Peaks(device) as peaks:
        begun, cpu_s = time.perf_counter(), _cpu_s()
        frames = contestant.render(options.out / f"{contender}-{sections}.mp4", watch)
        finish(device)
        taken = {"s": round(time.perf_counter() - begun, 2), "cpu_s": round(_cpu_s() - cpu_s, 2)}
    reserved = round(torch.cuda.max_memory_reserved(device) / (1 << 20)) if device.type == "cuda" else None
    host = round(peaks.cells()["host_peak_gib"] * 1024)
    tell(taken | {"peak_mib": host if reserved is None else reserved, "frames": frames} | watch.cells())


def _photo(path: Path | None) -> Image.Image:
    if path is not None:
        return Image.open(path).convert("RGB")
    light, dark = Image.radial_gradient("L").resize(_DRAWN_PX), Image.linear_gradient("L").resize(_DRAWN_PX)
    return Image.merge("RGB", (light, dark, light.rotate(180)))


def _cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    main(sys.argv[1:])
