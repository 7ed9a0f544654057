"""The pocket model, stage by stage: train, then write what came out into the folder that `load_models` reads.

A run's folder: `text/`, `vae/`, `dit/` with checkpoints and loss curves, `clips/` with what the recipe keeps of the
transformer's clips, and `model/` in the official layout.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from accelerate import PartialState

from lab.training.data.clips import ClipMaker
from lab.training.loop import Run, train
from lab.training.parts import load_trained, make_image_parts, save_parts
from lab.training.recipe import Recipe
from lab.training.stages.autoencoder import AutoencoderStage, measured_scaling
from lab.training.stages.diffusion import DiffusionStage
from lab.training.stages.text import TextStage

MODEL = "model"  #: folder of a run


def train_pocket(recipe: Recipe, stage: str, run: Run, *, photo_share: float = 0.45) -> Path:
    """Train one stage and write its parts: the running mean of the weights, even if time ran out before the last step.

    photo_share: see `ClipMaker`; 0 trains on drawn pictures alone.
    Returns: the model's folder.
    Raises: EngineError if an earlier stage is missing, the folder is in use, or a loss is not finite.
    """
    recipe.numbers(stage)  # refuses an unknown name
    state = PartialState(cpu=run.device == "cpu")
    made = _TRAINERS[stage](recipe, run, str(state.device), photo_share)
    if state.is_main_process:
        save_parts(run.folder / MODEL, made)
    state.wait_for_everyone()
    return run.folder / MODEL


def _train_text(recipe: Recipe, run: Run, device: str, _photo_share: float) -> dict[str, Any]:
    stage = TextStage(recipe, device=device)
    mean = train(stage, recipe.text, run)
    return stage.parts | make_image_parts() | {"text_encoder": mean.llama, "text_encoder_2": mean.clip}


def _train_vae(recipe: Recipe, run: Run, device: str, photo_share: float) -> dict[str, Any]:
    mean = train(AutoencoderStage(recipe, device=device, photo_share=photo_share), recipe.vae, run)
    vae: Any = mean.vae
    clips = ClipMaker(seed=recipe.seed, device=device, photo_share=photo_share)
    vae.register_to_config(scaling_factor=round(measured_scaling(vae, recipe, clips), 6))
    return {"vae": vae}


def _train_dit(recipe: Recipe, run: Run, device: str, photo_share: float) -> dict[str, Any]:
    models = load_trained(run.folder / MODEL, device=device)
    stage = DiffusionStage(
        recipe, models, device=device, photo_share=photo_share, kept=run.folder / "clips", compiled=run.compiled
    )
    return {"transformer": train(stage, recipe.dit, run)}


_TRAINERS: Mapping[str, Callable[[Recipe, Run, str, float], dict[str, Any]]] = {
    "text": _train_text,
    "vae": _train_vae,
    "dit": _train_dit,
}
