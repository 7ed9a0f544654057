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

from framepack_engine.catalog import MODELS, f1_of
from framepack_engine.errors import ModelUnavailable
from framepack_engine.locate import locate
from framepack_engine.models import load_models
from framepack_engine.pipeline import Renderer
from framepack_engine.training.contact_sheet import contact_sheet
from framepack_engine.training.data_motions import MEASURED
from framepack_engine.training.evaluation import Bench, Made, drift, end_reached, motions_followed, reconstruction
from framepack_engine.training.moving_sheet import moving_sheet

PARTS = ("vae", "motion", "end", "drift")
_MOVING = ("zoom_in", "pan_left", "rotate_right", "darken")  #: rows of moving.webp, chosen before any was rendered


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What is tried: a model's name or folder, on photos by name. resolution: None is the model's own."""

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
    """Where the F1 model of an i2v one is: by name in the catalogue; a folder holds both."""
    return f1_of(model) if model in MODELS else model


def run_bench(settings: Settings, *, parts: Sequence[str] | None, say: Callable[[str], None]) -> dict[str, Any]:
    """Run the parts and write what came out. Returns: {"summary", "tables"}, as in report.json.

    parts: of PARTS; None: all, without drift where no F1 model is.
    Raises: ModelUnavailable; EngineError where a video cannot be made.
    """
    device = "cuda" if torch.cuda.is_available() else "cpu"
    entry, _ = locate(settings.model, kind="i2v", say=say)
    parts = _possible(settings.model, parts, say)
    models = load_models(entry, device=device, kind="i2v", say=say)
    bench = Bench(
        photos=settings.photos,
        resolution=settings.resolution or entry.resolution,
        out=settings.out,
        steps=settings.steps,
        window=settings.window,
        motions=settings.motions,
        true_cfg_scale=settings.true_cfg_scale,
    )
    made: dict[str, list[Made]] = {}
    begun, renderer = time.monotonic(), Renderer(models, device=device)
    if "vae" in parts:
        made["vae"] = list(reconstruction(models.vae, bench))
    if "motion" in parts:
        made["motion"] = list(motions_followed(renderer, bench, say=say))
    if "end" in parts:
        made["end"] = list(end_reached(renderer, bench))
    if "drift" in parts:
        f1 = Renderer(load_models(f1_beside(settings.model), device=device, kind="f1", say=say), device=device)
        made["drift"] = [
            row
            for maker, kind in ((renderer, "i2v"), (f1, "f1"))
            for row in drift(maker, bench, kind=kind, sections=settings.drift_sections)
        ]
    report = {
        "summary": _summary(made)
        | {
            "model": settings.model,
            "steps": settings.steps,
            "true_cfg_scale": settings.true_cfg_scale,
            "minutes": round((time.monotonic() - begun) / 60, 1),
        },
        "tables": {part: [one.row for one in rows] for part, rows in made.items()},
    }
    settings.out.mkdir(parents=True, exist_ok=True)
    (settings.out / "report.json").write_text(json.dumps(report, indent=2))
    contact_sheet(
        settings.out / "sheet.png", [(_words(part, one.row), one.frames) for part, rows in made.items() for one in rows]
    )
    if rows := _moving(made.get("motion", ())):
        moving_sheet(settings.out / "moving.webp", rows)
    return report


def _moving(made: Sequence[Made]) -> list[tuple[str, list[Tensor]]]:
    """A row for each of a few motions: its prompt, and the video of each photo."""
    return [
        (str(found[0].row["prompt"]), [one.frames for one in found])
        for kind in _MOVING
        if (found := [one for one in made if one.row["asked"] == kind])
    ]


def _possible(model: str, parts: Sequence[str] | None, say: Callable[[str], None]) -> Sequence[str]:
    """The parts to run: that the F1 model is missing is told before anything is rendered."""
    wanted = PARTS if parts is None else parts
    if "drift" in wanted:
        try:
            locate(f1_beside(model), kind="f1", say=say)
        except ModelUnavailable as err:
            if parts is not None:
                raise
            say(f"without drift: {err}")
            return [part for part in PARTS if part != "drift"]
    return wanted


def _summary(made: Mapping[str, Sequence[Made]]) -> dict[str, Any]:
    """What the goals are about, one figure each, of the parts that ran."""
    rows = {part: [one.row for one in ones] for part, ones in made.items()}
    summary: dict[str, Any] = {}
    if "vae" in rows:
        summary["psnr_picture"] = round(mean(row["psnr_picture"] for row in rows["vae"]), 2)
        summary["psnr_clip"] = round(mean(row["psnr_clip"] for row in rows["vae"]), 2)
    if "motion" in rows:
        right = sum(row["right"] for row in rows["motion"])
        summary["motions_right"] = f"{right} of {len(rows['motion'])}"
        summary["psnr_first"] = round(mean(row["psnr_first"] for row in rows["motion"]), 2)
        summary["s_a_video"] = round(mean(row["s"] for row in rows["motion"]), 1)
    if "end" in rows:
        summary["psnr_last_to_end"] = round(mean(row["psnr_last_to_end"] for row in rows["end"]), 2)
    for kind in ("i2v", "f1") if "drift" in rows else ():
        worst = [row["psnr_to_start"] for row in rows["drift"] if row["kind"] == kind]
        summary[f"psnr_after_drift_{kind}"] = min(worst)
    return summary


def _words(part: str, row: Mapping[str, Any]) -> str:
    return f"{part}: " + ", ".join(f"{name} {value}" for name, value in row.items() if name != "prompt")
