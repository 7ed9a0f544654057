"""bench gpu: the 13B model with random weights on this machine's GPU, row by row."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from deploy.commands.connect import Json
from deploy.terminal.screen import put_json, put_table, say
from farm.errors import ConfigError

if TYPE_CHECKING:
    import torch

    from framepack_engine.planning.spec import RenderSpec
    from lab.bench.random_model import RandomParts

_COLUMNS = (
    *("row", "s_per_forward", "s_per_step", "s_per_frame", "tflops", "mfu", "of_matmul"),
    *("peak_gib", "predicted_gib", "copied_gb", "copy_gb_s", "hidden", "forwards", "off", "plan", "error"),
)
_SIZES = {"framepack-i2v-random": "640x608", "tiny": "64x64"}


def gpu(
    *,
    model: Annotated[
        Literal["framepack-i2v-random", "tiny"],
        typer.Option("--model", help="the 13B architecture with weights made on the device; tiny is for the CPU"),
    ] = "framepack-i2v-random",
    device: Annotated[str, typer.Option("--device", help="cuda, cuda:1 …, or cpu")] = "cuda",
    rows: Annotated[list[str] | None, typer.Option("--rows", help="only these; again for each. All")] = None,
    caps: Annotated[
        list[float] | None,
        typer.Option("--cap-gb", min=0.5, help="devices of so many GiB, by a limit to torch's allocator: 24, 12, 8, 6"),
    ] = None,
    steps: Annotated[int, typer.Option("--steps", min=3, help="of the section; its first one is not timed")] = 6,
    size: Annotated[str | None, typer.Option("--size", help="WIDTHxHEIGHT; 640x608, tiny: 64x64")] = None,
    window: Annotated[int, typer.Option("--window", min=1, max=33, help="latent frames of the section")] = 9,
    compiled: Annotated[bool, typer.Option("--compile/--no-compile", help="the rows with torch.compile, too")] = True,
    attention: Annotated[str, typer.Option("--attention", help="what computes it, as in a request")] = "sdpa",
    as_json: Json = False,
) -> None:
    """A section by each way to hold the model: seconds, FLOP utilisation, memory, bytes copied, beside plain baselines.

    No file is needed: the weights are random, and so is the picture. On the CPU times are noise, the rest is real.
    """
    import torch

    if device.startswith("cuda") and not torch.cuda.is_available():
        say(
            "no GPU that torch can use; the same on the CPU: framefarm bench gpu --model tiny --device cpu", style="red"
        )
        raise typer.Exit(1)
    if device == "cpu" and model != "tiny":
        raise ConfigError("a forward of the 13B model takes hours on a CPU: --model tiny --device cpu")
    spec = _spec(size or _SIZES[model], window=window, steps=steps, attention=attention)
    found = _run(model, torch.device(device), spec, wanted=rows or [], caps_gib=caps or [], compiled=compiled)
    if as_json:
        put_json(found | {"model": model, "width": spec.width, "height": spec.height, "window": window, "steps": steps})
        return
    put_table(("what", "value"), [{"what": name, "value": value} for name, value in found["machine"].items()])
    print()
    put_table(_COLUMNS, found["rows"])


def _spec(size: str, *, window: int, steps: int, attention: str) -> RenderSpec:
    from framepack_engine.errors import InvalidSpec
    from framepack_engine.planning.spec import RenderSpec

    width, _, height = size.partition("x")
    try:
        return RenderSpec(
            kind="i2v",
            sections=1,
            height=int(height),
            width=int(width),
            seed=1,
            prompt="",
            latent_window_size=window,
            num_inference_steps=steps,
            attention=attention,
        )
    except (ValueError, InvalidSpec) as err:
        raise ConfigError(f"--size {size}, --attention {attention}: {err}") from err


def _run(
    model: str, device: torch.device, spec: RenderSpec, *, wanted: list[str], caps_gib: list[float], compiled: bool
) -> dict[str, Any]:
    """The machine and the rows."""
    from framepack_engine.memory.ladder import GIB, size_of
    from framepack_engine.sampling.attention import usable_attentions
    from framepack_engine.sampling.numeric import default_dtype
    from lab.bench.gpu import look_at, measure
    from lab.bench.gpu_rows import CAPS_GIB, small_caps, usual_cases

    make = _maker(model, device)
    caps = [int(gib * GIB) for gib in caps_gib or CAPS_GIB]
    if model == "tiny" and not caps_gib:
        caps = small_caps(make(device), spec)
    attentions = usable_attentions(device=device, dtype=default_dtype(device))
    cases = [case for case in usual_cases(caps, attentions=attentions) if compiled or not case.compiled]
    if unknown := set(wanted) - {case.name for case in cases}:
        names = ", ".join(case.name for case in cases)
        raise ConfigError(f"--rows {', '.join(sorted(unknown))}: there are {names}")
    large = device.type == "cuda"
    machine = look_at(device, side=8192 if large else 256, copy_bytes=(1 << 30) if large else 1 << 20)
    whole = None if model == "tiny" else size_of("framepack-i2v")
    home_bytes = 0 if whole is None else whole.transformer_bytes + whole.vae_bytes
    rows, stock = list[dict[str, Any]](), None
    for case in cases:
        if wanted and case.name not in wanted:
            continue
        say(f"{case.name} …")
        row, latents = measure(case, make, spec, machine=machine, stock=stock, home_bytes=home_bytes)
        stock = latents if case.way == "stock" and case.cap_bytes is None else stock
        rows.append(row.cells())
    return {"machine": machine.cells(), "rows": rows}


def _maker(model: str, device: torch.device) -> Callable[[torch.device], RandomParts]:
    """What makes a model at the device that it is given."""
    from copy import deepcopy

    import torch

    from framepack_engine.sampling.numeric import default_dtype
    from lab.bench.random_model import RandomParts, random_framepack

    if model != "tiny":
        return lambda home: random_framepack(device=device, home=home)
    from framepack_engine.models.shelf import load_models

    tiny = load_models("tiny")
    tokens = (tiny.image_encoder.config.image_size // tiny.image_encoder.config.patch_size) ** 2
    dtypes = default_dtype(device), torch.float32 if device.type == "cpu" else torch.float16  # as the farm loads it

    def make(home: torch.device) -> RandomParts:
        transformer, vae = (deepcopy(part).to(home, dtype) for part, dtype in zip(parts, dtypes, strict=True))
        return RandomParts(transformer, vae, tokens)

    parts = tiny.transformer, tiny.vae
    return make
