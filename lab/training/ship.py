"""Copies a trained pocket model into this package."""

from __future__ import annotations

import shutil
from pathlib import Path

from framepack_engine.errors import EngineError
from framepack_engine.memory.model_count import count_model
from framepack_engine.models.catalog import ABOUT, FRAMEPACK_I2V, Shipped, revision_of
from framepack_engine.models.shelf import load_models
from lab.training.parts import FOLDERS, TRANSFORMERS
from lab.training.recipe import Recipe

LARGEST_BYTES = 25_000_000  #: of a package that people download without being asked
_WEIGHTS = "diffusion_pytorch_model.safetensors"
_LICENSE = "Apache-2.0"
_LEARNT_FROM = (
    "pictures drawn by this package; photographs in scikit-image (CC0, public domain, or no known copyright "
    "restrictions) and in scikit-learn (china by danielbuechele, flower by vultilion: CC BY 2.0). Names and rights: "
    "docs/explanation/pocket.md. Never the photographs of examples/"
)


def ship(model: Path, recipe: Recipe, *, into: Path) -> Shipped:
    """Replace the model in `into` with the one of a run; both kinds share one transformer.

    model: the folder that `train_pocket` returns.
    Returns: what the package says about the model from now on.
    Raises: EngineError if it is larger than 25 MB or has two different transformers; ModelUnavailable naming a file
        that is missing or cannot be loaded. Nothing is replaced then.
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
