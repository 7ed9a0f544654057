"""The pocket model, stage by stage: train, then write what came out into the folder that `load_models` reads.

A run's folder: `text/`, `vae/`, `dit/` with checkpoints and loss curves, `clips/` with what the recipe keeps of the
transformer's clips, and `model/` in the official layout.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from accelerate import PartialState

from framepack_engine.training.autoencoder import AutoencoderStage, measured_scaling
from framepack_engine.training.data_clips import ClipMaker
from framepack_engine.training.diffusion import DiffusionStage
from framepack_engine.training.loop import Run, train
from framepack_engine.training.parts import load_trained, make_image_parts, save_parts
from framepack_engine.training.recipe import Recipe
from framepack_engine.training.text import TextStage

MODEL = "model"  #: folder of a run


def train_pocket(recipe: Recipe, stage: str, run: Run, *, photo_share: float = 0.45, begin: Path | None = None) -> Path:
    """Train one stage and write its parts, the weights' running mean; also where the time was up before the last step.

    photo_share: see `ClipMaker`; 0 trains on drawn pictures alone. begin: of stage `dit`, a model's folder whose
    transformer goes on learning.
    Returns: the model's folder.
    Raises: EngineError where a stage before it is missing, the folder is in use, or a loss is not finite.
    """
    recipe.numbers(stage)  # a name that is none is refused
    state = PartialState(cpu=run.device == "cpu")
    device = str(state.device)
    if stage == "text":
        made = _train_text(recipe, run, device)
    elif stage == "vae":
        made = _train_vae(recipe, run, device, photo_share)
    else:
        made = _train_dit(recipe, run, device, photo_share, begin)
    if state.is_main_process:
        save_parts(run.folder / MODEL, made)
    state.wait_for_everyone()
    return run.folder / MODEL


def _train_text(recipe: Recipe, run: Run, device: str) -> dict[str, Any]:
    stage = TextStage(recipe, device=device)
    mean = train(stage, recipe.text, run)
    return stage.parts | make_image_parts() | {"text_encoder": mean.llama, "text_encoder_2": mean.clip}


def _train_vae(recipe: Recipe, run: Run, device: str, photo_share: float) -> dict[str, Any]:
    mean = train(AutoencoderStage(recipe, device=device, photo_share=photo_share), recipe.vae, run)
    vae: Any = mean.vae
    clips = ClipMaker(seed=recipe.seed, device=device, photo_share=photo_share)
    vae.register_to_config(scaling_factor=round(measured_scaling(vae, recipe, clips), 6))
    return {"vae": vae}


def _train_dit(recipe: Recipe, run: Run, device: str, photo_share: float, begin: Path | None) -> dict[str, Any]:
    models = load_trained(run.folder / MODEL, device=device)
    stage = DiffusionStage(
        recipe,
        models,
        device=device,
        photo_share=photo_share,
        kept=run.folder / "clips",
        compiled=run.compiled,
        begin=begin,
    )
    return {"transformer": train(stage, recipe.dit if begin is None else recipe.further, run)}
