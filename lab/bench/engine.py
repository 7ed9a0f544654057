"""Measure a video's cost in the engine, in counts rather than times. `framefarm bench engine` prints it.

Everything is counted from outside: calls of the transformer and of the VAE by hooks, frames at the encoder's door,
memory by the operating system. `python -m lab.bench.engine 14` renders 14 sections and prints its peak memory.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from framepack_engine.environment import prepare_process
from framepack_engine.frames import video
from framepack_engine.models.shelf import Models, load_models
from framepack_engine.pipeline import Renderer
from framepack_engine.planning.sections import Kind, decode_needs, window_has_start, window_sections
from framepack_engine.planning.spec import RenderSpec
from lab.bench.device.peaks import host_peak_bytes

SECTIONS = (4, 14, 50, 100)
_PHOTO = (64, 64)


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """One render, counted. latents_decoded_cold: if another worker decodes every section."""

    kind: Kind
    sections: int
    steps: int
    forwards: int
    planned_forwards: int
    frames_encoded: int
    frames_delivered: int
    latents_decoded: int
    latents_decoded_cold: int
    latents_delivered: int

    def row(self) -> dict[str, Any]:
        """Return a line of a table: counts, and ratios to what is delivered."""
        return {
            "kind": self.kind,
            "sections": self.sections,
            "forwards": self.forwards,
            "planned": self.planned_forwards,
            "encoded_per_frame": round(self.frames_encoded / self.frames_delivered, 3),
            "decoded_per_latent": round(self.latents_decoded / self.latents_delivered, 3),
            "decoded_per_latent_cold": round(self.latents_decoded_cold / self.latents_delivered, 3),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Overhead:
    """Milliseconds of a step outside the transformer's forward, and of the forward, over the steps measured."""

    height: int
    width: int
    threads: int
    steps: int
    least_ms: float
    median_ms: float
    forward_median_ms: float

    def row(self) -> dict[str, Any]:
        """As a line of a table."""
        return {name: round(value, 2) for name, value in asdict(self).items()}


def small_spec(
    kind: Kind, sections: int, *, steps: int = 2, side_px: int = 64, window: int = 9, true_cfg_scale: float = 1.0
) -> RenderSpec:
    """Return a video that is small in everything but its number of sections."""
    return RenderSpec(
        kind=kind,
        sections=sections,
        height=side_px,
        width=side_px,
        seed=1,
        prompt="a cat",
        latent_window_size=window,
        num_inference_steps=steps,
        true_cfg_scale=true_cfg_scale,
    )


def count_render(models: Models, spec: RenderSpec) -> Counts:
    """Render a video into a folder that is removed again, and count."""
    forwards, decoded, encoded = [0], [0], [0]
    plain = video.encode_clip

    def encode_clip(frames: Any, *args: Any, **options: Any) -> bytes:
        encoded[0] += len(frames)
        return plain(frames, *args, **options)

    def count_forward(*_: Any) -> None:
        forwards[0] += 1

    renderer, plain_decode = Renderer(models), models.vae.decode

    def decode(latents: torch.Tensor, *args: Any, **options: Any) -> Any:
        decoded[0] += latents.shape[2]
        return plain_decode(latents, *args, **options)

    hook = models.transformer.register_forward_pre_hook(count_forward)
    video.encode_clip, models.vae.decode = encode_clip, decode
    try:
        with tempfile.TemporaryDirectory(prefix="framefarm-bench-") as folder:
            out = renderer.render(spec, {"start": Image.new("RGB", _PHOTO, "teal")}, Path(folder, "out.mp4"))
            delivered = video.frame_count(out)
    finally:
        hook.remove()
        video.encode_clip = plain
        del models.vae.decode  # the one that was laid over the class's own
    branches = 1 + (spec.true_cfg_scale != 1)
    return Counts(
        kind=spec.kind,
        sections=spec.sections,
        steps=spec.num_inference_steps,
        forwards=forwards[0],
        planned_forwards=spec.sections * spec.num_inference_steps * branches,
        frames_encoded=encoded[0],
        frames_delivered=delivered,
        latents_decoded=decoded[0],
        latents_decoded_cold=_cold(spec),
        latents_delivered=spec.sections * spec.latent_window_size + 1,
    )


def _cold(spec: RenderSpec) -> int:
    """Count by the plan the latents that are decoded if no seam is kept: each section's window, and the one before."""
    sizes = [
        len(window_sections(spec.kind, k)) * spec.latent_window_size + window_has_start(spec.kind, spec.sections, k)
        for k in range(spec.sections)
    ]
    made = [k for k in range(spec.sections) if decode_needs(spec.kind, spec.sections, k)]
    return sum(sizes[k] + (sizes[k - 1] if k else 0) for k in made)


def peak_mib(sections: int, *, cache_dir: str | None = None) -> float:
    """Return the peak resident memory of a process that renders a small video, MiB. Takes about 1 s a section."""
    command = [sys.executable, "-m", "lab.bench.engine", str(sections), *([cache_dir] if cache_dir else [])]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return float(json.loads(done.stdout)["peak_mib"])


def own_peak_mib() -> float:
    """Most resident memory of this process so far, MiB; getrusage's figure begins at that of the parent."""
    return host_peak_bytes() / (1 << 20)


def step_overhead(models: Models, *, height: int = 608, width: int = 640, steps: int = 12) -> Overhead:
    """Time one section of the real latent size step by step, the transformer's forward taken off.

    The overhead does not depend on the model, so the model may be tiny. Other work on the machine raises the median;
    the least is the cost of the work itself.
    """
    spec = RenderSpec(
        kind="i2v", sections=1, height=height, width=width, seed=1, prompt="a cat", num_inference_steps=steps
    )
    renderer = Renderer(models)
    conditioning = renderer.encode(spec, {"start": Image.new("RGB", _PHOTO, "teal")})
    begun, ended, stepped = list[float](), list[float](), list[float]()

    def note(times: list[float]) -> Callable[..., None]:
        return lambda *_: times.append(time.perf_counter())

    hooks = [
        models.transformer.register_forward_pre_hook(note(begun)),
        models.transformer.register_forward_hook(note(ended)),
    ]
    try:
        renderer.section(spec, 0, conditioning, None, on_step=note(stepped))
    finally:
        for hook in hooks:
            hook.remove()
    whole = [now - before for before, now in pairwise(stepped)]
    forwards = [end - begin for begin, end in zip(begun[1:], ended[1:], strict=True)]
    outside = [1000 * (step - forward) for step, forward in zip(whole, forwards, strict=True)]
    return Overhead(
        height=height,
        width=width,
        threads=torch.get_num_threads(),
        steps=len(outside),
        least_ms=min(outside),
        median_ms=statistics.median(outside),
        forward_median_ms=1000 * statistics.median(forwards),
    )


def main(argv: Sequence[str]) -> None:
    """Render `argv[0]` sections with `tiny` and print the peak memory: one process a measurement."""
    prepare_process()
    torch.set_num_threads(1)
    spec = small_spec("i2v", int(argv[0]), steps=1, side_px=96)
    count_render(load_models("tiny", cache_dir=argv[1] if len(argv) > 1 else None), spec)
    print(json.dumps({"sections": spec.sections, "peak_mib": round(own_peak_mib(), 1)}))  # noqa: T201 - its product


if __name__ == "__main__":
    main(sys.argv[1:])
