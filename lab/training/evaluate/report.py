"""All parts of `framefarm bench pocket` in turn: tables, a summary, `report.json`, `sheet.png` and `moving.webp`."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from typing import Any

import torch
from torch import Tensor

from framepack_engine.errors import ModelUnavailable
from framepack_engine.models.catalog import MODELS, f1_of
from framepack_engine.models.locate import locate
from framepack_engine.models.shelf import load_models
from framepack_engine.pipeline import Renderer
from lab.training.data.motions import MEASURED
from lab.training.evaluate.contact_sheet import contact_sheet
from lab.training.evaluate.evaluation import Bench, Made, drift, end_reached, motions_followed, reconstruction
from lab.training.evaluate.moving_sheet import moving_sheet
from lab.training.evaluate.options import PARTS

Say = Callable[[str], None]
_KINDS = ("i2v", "f1")
_MOVING = ("zoom_in", "pan_left", "rotate_right", "darken")  #: rows of moving.webp, chosen before any was rendered


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The trial: a model's name or folder, on photos by name. resolution: None is the model's own."""

    model: str
    photos: Mapping[str, Path]
    out: Path
    steps: int = 25
    window: int = 9
    resolution: int | None = None
    drift_sections: int = 10
    motions: Sequence[str] = MEASURED
    true_cfg_scale: float = 1.0


def f1_beside(model: str) -> str:
    """Return the F1 model that belongs to an i2v one: by name in the catalogue; a folder holds both."""
    return f1_of(model) if model in MODELS else model


def run_bench(settings: Settings, *, parts: Sequence[str] | None, say: Say) -> dict[str, Any]:
    """Run the parts and write what came out. Returns: {"summary", "tables"}, as in report.json.

    parts: of PARTS; None: all. Where no F1 model is: motions of i2v, no drift.
    Raises: ModelUnavailable; EngineError where a video cannot be made.
    """
    device = "cuda" if torch.cuda.is_available() else "cpu"
    entry, _ = locate(settings.model, kind="i2v", say=say)
    parts, with_f1 = _possible(settings.model, parts, say)
    models = load_models(entry, device=device, kind="i2v", say=say)
    renderers = {"i2v": Renderer(models, device=device)}
    if with_f1:
        f1 = load_models(f1_beside(settings.model), device=device, kind="f1", say=say)
        renderers["f1"] = Renderer(f1, device=device)
    bench = Bench(
        photos=settings.photos,
        resolution=settings.resolution or entry.resolution,
        out=settings.out,
        steps=settings.steps,
        window=settings.window,
        motions=settings.motions,
        true_cfg_scale=settings.true_cfg_scale,
    )
    begun = time.monotonic()
    made = _made(renderers, models.vae, bench, parts, sections=settings.drift_sections, say=say)
    report = {
        "summary": _summary(made)
        | {
            "model": settings.model,
            "resolution": bench.resolution,
            "steps": settings.steps,
            "device": device,
            "threads": torch.get_num_threads(),
            "true_cfg_scale": settings.true_cfg_scale,
            "minutes": round((time.monotonic() - begun) / 60, 1),
        },
        "tables": {part: [one.row for one in rows] for part, rows in made.items()},
    }
    settings.out.mkdir(parents=True, exist_ok=True)
    (settings.out / "report.json").write_text(json.dumps(report, indent=2))
    contact_sheet(settings.out / "sheet.png", _shown(made), columns=settings.drift_sections)
    if rows := _moving(made.get("motion", ())):
        moving_sheet(settings.out / "moving.webp", rows)
    return report


def _made(
    renderers: Mapping[str, Renderer], vae: Any, bench: Bench, parts: Sequence[str], *, sections: int, say: Say
) -> dict[str, list[Made]]:
    """Make all videos, by part; motions and drift for each kind that has a renderer."""
    made: dict[str, list[Made]] = {}
    if "vae" in parts:
        made["vae"] = list(reconstruction(vae, bench))
    if "motion" in parts:
        made["motion"] = [
            one for kind, renderer in renderers.items() for one in motions_followed(renderer, bench, kind=kind, say=say)
        ]
    if "end" in parts:
        made["end"] = list(end_reached(renderers["i2v"], bench))
    if "drift" in parts:
        made["drift"] = [
            one for kind, renderer in renderers.items() for one in drift(renderer, bench, kind=kind, sections=sections)
        ]
    return made


def _shown(made: Mapping[str, Sequence[Made]]) -> list[tuple[str, Tensor]]:
    """A row for each video, those of drift with the last frame of every section: i2v above F1."""
    rows = [(_words(part, one.row), one.frames) for part, ones in made.items() if part != "drift" for one in ones]
    for kind in _KINDS:
        if ones := _of(kind, made.get("drift", ())):
            found = ", ".join(f"{one.row['psnr_to_start']:.1f}" for one in ones)
            rows.append((f"drift, {kind}: each section's last frame to the start, dB: {found}", _joined(ones)))
    return rows


def _of(kind: str, made: Sequence[Made]) -> list[Made]:
    return [one for one in made if one.row["kind"] == kind]


def _joined(ones: Sequence[Made]) -> Tensor:
    return torch.cat([one.frames for one in ones])


def _moving(made: Sequence[Made]) -> list[tuple[str, list[Tensor]]]:
    """A row for each of a few motions, of i2v and of F1: its prompt, and the video of each photo."""
    return [
        (f"{kind}: {found[0].row['prompt']}", [one.frames for one in found])
        for motion in _MOVING
        for kind in _KINDS
        if (found := [one for one in _of(kind, made) if one.row["asked"] == motion])
    ]


def _possible(model: str, parts: Sequence[str] | None, say: Say) -> tuple[Sequence[str], bool]:
    """Return the parts to run, and whether there is an F1 model. Say so before rendering if there is none."""
    if parts is not None and not {"motion", "drift"} & set(parts):
        return parts, False
    try:
        locate(f1_beside(model), kind="f1", say=say)
    except ModelUnavailable as err:
        if parts is not None and "drift" in parts:
            raise
        say(f"without F1 and drift: {err}")
        return [part for part in parts or PARTS if part != "drift"], False
    return parts or PARTS, True


def _summary(made: Mapping[str, Sequence[Made]]) -> dict[str, Any]:
    """Return one figure for each goal, of the parts that ran."""
    rows = {part: [one.row for one in ones] for part, ones in made.items()}
    summary: dict[str, Any] = {}
    if "vae" in rows:
        summary["psnr_picture"] = round(mean(row["psnr_picture"] for row in rows["vae"]), 2)
        summary["psnr_clip"] = round(mean(row["psnr_clip"] for row in rows["vae"]), 2)
    if "motion" in rows:
        for kind in _KINDS:
            if found := [row["right"] for row in rows["motion"] if row["kind"] == kind]:
                summary[f"motions_right_{kind}"] = f"{sum(found)} of {len(found)}"
        summary["psnr_first"] = round(mean(row["psnr_first"] for row in rows["motion"]), 2)
        summary["s_a_video"] = round(mean(row["s"] for row in rows["motion"]), 1)
    if "end" in rows:
        summary["psnr_last_to_end"] = round(mean(row["psnr_last_to_end"] for row in rows["end"]), 2)
    for kind in _KINDS if "drift" in rows else ():
        found = [row["psnr_to_start"] for row in rows["drift"] if row["kind"] == kind]
        summary |= {f"drift_{kind}_first": found[0], f"drift_{kind}_last": found[-1], f"drift_{kind}_worst": min(found)}
    return summary


def _words(part: str, row: Mapping[str, Any]) -> str:
    return f"{part}: " + ", ".join(f"{name} {value}" for name, value in row.items() if name != "prompt")
