"""The command doctor: what this machine can do, and what is wrong with it."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from deploy.commands.connect import Json, Storage
from deploy.terminal.screen import put_aligned, put_json, put_table, say
from farm.errors import ConfigError

if TYPE_CHECKING:
    from deploy.node.checks import Check
    from deploy.node.gpus import Gpu
    from deploy.node.plans import CardPlan
    from farm.settings import FarmSettings
    from framepack_engine.models.catalog import ModelEntry

_USUAL_MODEL = "framepack-i2v"  #: the model that plans are shown for by default: every GPU can be asked for it
_COLUMNS = (
    *("device", "device_gib", "size", "decode", "plan", "peak_gib", "section_gib", "decode_gib", "copied_gb"),
    "tile_px",
)


def register(app: typer.Typer) -> None:
    """Add the command of this file."""
    app.command()(doctor)


def doctor(
    *,
    device_gb: Annotated[
        list[float] | None,
        typer.Option("--device-gb", min=0.1, help="plan for a card of this many GiB; repeatable"),
    ] = None,
    host_gb: Annotated[
        float | None,
        typer.Option(
            "--host-gb",
            min=0.1,
            help="host memory that plans count on, GiB; default: what Linux reports",
        ),
    ] = None,
    preserve_gb: Annotated[
        float | None, typer.Option("--preserve-gb", min=0.0, help="GPU memory left to others, GiB (FARM_PRESERVE_GB)")
    ] = None,
    precision: Annotated[
        str | None,
        typer.Option("--precision", help="of the plans: bf16, fp8, fp8-dynamic, fp8-fast, int8, int4 (FARM_PRECISION)"),
    ] = None,
    model: Annotated[str | None, typer.Option("--model", help="the model to plan for; default: framepack-i2v")] = None,
    storage: Storage = None,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="also each plan with its memory and copies")] = False,
    as_json: Json = False,
) -> None:
    """Check this machine: GPUs, memory plans, models, storage; name each fault and how to fix it.

    Exit 0: the machine can take part in a farm; 1: something is marked as wrong.
    """
    from deploy.node.checks import examine
    from deploy.node.gpus import chosen_gpus, describe_gpus
    from deploy.node.plans import PRICE, by_size
    from deploy.settings import Settings
    from framepack_engine.memory.ladder import GIB
    from framepack_engine.models.host import host_bytes

    settings = Settings.from_env(storage=storage, preserve_gb=preserve_gb, precision=precision)
    entry = _model(model, settings)
    gpus = describe_gpus(chosen_gpus(settings))
    memory = host_bytes() if host_gb is None else int(host_gb * GIB)
    checks = list(examine(settings, gpus, model=entry, elsewhere=bool(device_gb), memory=memory))
    share = memory if host_gb else memory // _sharing(settings, gpus)
    plans = _plans(settings, gpus, device_gb or [], host_bytes=share, model=entry)
    wrong = [check.name for check in checks if check.state == "wrong"] + _unplanned(plans)
    if as_json:
        rows = [asdict(plan) for plan in plans]
        put_json({"ok": not wrong, "model": entry.name, "checks": [asdict(each) for each in checks], "plans": rows})
    else:
        _put_checks(checks)
        for device, lines in by_size(plans):
            put_aligned([(f"\n{device}",)])
            put_aligned([("  " + size, words) for size, words in lines])
        if any(plan.hint for plan in plans):
            put_aligned([(f"\nFARM_PRECISION: {PRICE}",)])
        if verbose:
            _put_plans(plans)
    say(f"wrong: {', '.join(wrong)}" if wrong else "nothing is wrong", style="red" if wrong else "green")
    raise typer.Exit(int(bool(wrong)))


def _unplanned(plans: list[CardPlan]) -> list[str]:
    """Return the devices on which nothing fits."""
    planned = {plan.device for plan in plans if plan.plan is not None}
    return list(dict.fromkeys(plan.device for plan in plans if plan.device not in planned))


def _put_checks(checks: list[Check]) -> None:
    """Print a line for each check, and what to do below it."""
    rows = list[tuple[str, str, str]]()
    for check in checks:
        rows.append((check.state, check.name, check.value))
        if check.hint:
            rows.append(("", "", f"-> {check.hint}"))
    put_aligned(rows)


def _put_plans(plans: list[CardPlan]) -> None:
    """Print the plans themselves, and why or how they could be better."""
    print()
    put_table(_COLUMNS, [asdict(plan) for plan in plans])
    for plan in plans:
        for words in filter(None, (plan.why, plan.hint)):
            say(f"{plan.device}, {plan.size}, {plan.decode}: {words}", style="yellow")


def _model(name: str | None, settings: FarmSettings) -> ModelEntry:
    from deploy.planner import own_models

    known, wanted = own_models(settings.models), name or settings.model or _USUAL_MODEL
    if wanted not in known:
        raise ConfigError(f"there is no model {wanted!r}; there are {', '.join(known)}")
    return known[wanted]


def _plans(
    settings: FarmSettings, gpus: list[Gpu], asked_gb: list[float], *, host_bytes: int, model: ModelEntry
) -> list[CardPlan]:
    """Return the plans of the cards asked for, else of this machine's."""
    from deploy.node.plans import card_plans
    from framepack_engine.memory.ladder import GIB

    limit = settings.device_gb
    cards: dict[str, float] = {f"a card of {gib:g} GiB": gib * GIB for gib in asked_gb}
    if not cards:
        cards = {f"{number}: {gpu.name}": min(gpu.total, (limit or gpu.total) * GIB) for number, gpu in enumerate(gpus)}
    if not cards and limit is not None:
        cards = {"the CPU (FARM_DEVICE_GB)": limit * GIB}
    options: dict[str, Any] = {
        "host_bytes": host_bytes,
        "preserve_bytes": int(settings.preserve_gb * GIB),
        "model": model,
        "precision": settings.precision,
    }
    return [plan for name, size in cards.items() for plan in card_plans(name, device_bytes=int(size), **options)]


def _sharing(settings: FarmSettings, gpus: list[Gpu]) -> int:
    """Count the workers of this machine, which share its memory."""
    return max(1, len(gpus) if settings.workers == "auto" else int(settings.workers))
