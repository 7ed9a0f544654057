"""The pocket model, stage by stage: train, then write what came out into the folder that `load_models` reads.

A run's folder: `text/`, `vae/`, `dit/` with checkpoints and loss curves, `clips/` with what the recipe keeps of the
transformer's clips, and `model/` in the official layout.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from accelerate import PartialState

from framepack_engine.errors import EngineError
from framepack_engine.memory.model_count import count_model
from framepack_engine.models.catalog import ABOUT, FRAMEPACK_I2V, Shipped, revision_of
from framepack_engine.models.shelf import load_models
from lab.training.data.clips import ClipMaker
from lab.training.loop import Run, train
from lab.training.parts import FOLDERS, TRANSFORMERS, load_trained, make_image_parts, save_parts
from lab.training.recipe import Recipe
from lab.training.stages.autoencoder import AutoencoderStage, measured_scaling
from lab.training.stages.diffusion import DiffusionStage
from lab.training.stages.text import TextStage

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


LARGEST_BYTES = 25_000_000  #: of a package that people download without being asked
_WEIGHTS = "diffusion_pytorch_model.safetensors"
_LICENSE = "Apache-2.0"
_LEARNT_FROM = (
    "pictures drawn by this package; photographs in scikit-image (CC0, public domain, or no known copyright "
    "restrictions) and in scikit-learn (china by danielbuechele, flower by vultilion: CC BY 2.0). Names and rights: "
    "docs/explanation/pocket.md. Never the photographs of examples/"
)


def ship(model: Path, recipe: Recipe, *, into: Path) -> Shipped:
    """Put the model that a run left into `into`, in place of what is there; the transformer once for both kinds.

    model: the folder that `train_pocket` returns. One that cannot be loaded is not taken.
    Returns: what the package says of it from now on.
    Raises: EngineError where it is larger than 25 MB, or has two different transformers; ModelUnavailable naming a
        file that is missing or cannot be loaded.
    """
    folders = [*FOLDERS.values(), FRAMEPACK_I2V]
    if lacking := [folder for folder in folders if not (model / folder).is_dir()]:
        raise EngineError(f"{model} has no {', '.join(lacking)}: need what `framefarm train pocket` made, all stages")
    size = count_model(**load_models(str(model), kind="i2v").modules)
    weights = [model / folder / _WEIGHTS for folder in TRANSFORMERS]
    if len({path.read_bytes() for path in weights if path.is_file()}) > 1:
        raise EngineError(f"{model}: the weights in {' and '.join(TRANSFORMERS)} differ; the package has room for one")
    aside = into.with_name(f"{into.name}.being-written")
    shutil.rmtree(aside, ignore_errors=True)
    try:
        for folder in folders:
            shutil.copytree(model / folder, aside / folder)
        taken = sum(path.stat().st_size for path in aside.rglob("*") if path.is_file())
        if taken > LARGEST_BYTES:
            raise EngineError(f"{model} is {taken / 1e6:.1f} MB; a package has room for {LARGEST_BYTES / 1e6:.0f}")
        about = Shipped(
            resolution=recipe.resolution,
            revision=revision_of(aside),
            license=_LICENSE,
            learnt_from=_LEARNT_FROM,
            size=size,
        )
        (aside / ABOUT).write_text(about.to_json())
        shutil.rmtree(into, ignore_errors=True)
        aside.rename(into)
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    return about
