"""The sizes and numbers of each stage of `framefarm train pocket`, as values. Loads no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from framepack_engine.errors import EngineError

STAGES = ("text", "vae", "dit")  #: in order: each needs the ones before it, except `vae`, which needs none


@dataclass(frozen=True, slots=True)
class Cut:
    """One shape of the autoencoder's batches: `count` pieces of `frames` frames, `side_px` square."""

    frames: int
    side_px: int
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StageNumbers:
    """How to train a stage: the rate rises to `rate` in `warmup` steps, then falls to a tenth at `steps`.

    matrix_rate, momentum: of Muon, for matrices; None trains all with AdamW.
    """

    steps: int
    rate: float
    matrix_rate: float | None = None
    momentum: float = 0.95
    warmup: int
    save_every: int
    average: float = 0.999  #: share of the old in the running mean of the weights, which is what is kept in the end


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """One size of the pocket model.

    resolution: of the size buckets, px. vae_channels: from full resolution down. width: of the transformer, in heads x
    head_dim; rope_axes: how head_dim is shared out to time, height and width. batch: videos a step and process.
    max_sections: the longest clip has so many sections of `window` latent frames. kept_groups: the transformer's clips
    are so many batches, encoded once and kept on disk; None makes new ones all the time.
    """

    name: str
    resolution: int
    seed: int = 20261121
    window: int = 9
    max_sections: int = 4
    vae_channels: tuple[int, int, int, int]
    vae_cuts: tuple[Cut, ...]
    heads: int
    head_dim: int
    rope_axes: tuple[int, int, int]
    double_blocks: int
    single_blocks: int
    mlp_ratio: float
    batch: int
    kept_groups: int | None = None
    text: StageNumbers
    vae: StageNumbers
    dit: StageNumbers

    def numbers(self, stage: str) -> StageNumbers:
        """Return the numbers of a stage. Raises: EngineError for an unknown stage."""
        if stage not in STAGES:
            raise EngineError(f"stage {stage!r}: there are {', '.join(STAGES)}")
        numbers: StageNumbers = getattr(self, stage)
        return numbers


_TEXT = StageNumbers(steps=1_500, rate=2e-3, warmup=50, save_every=100, average=0.98)

RECIPES: Mapping[str, Recipe] = MappingProxyType(
    {
        recipe.name: recipe
        for recipe in (
            Recipe(  # hours on two CPU cores
                name="128",
                resolution=128,
                vae_channels=(16, 16, 32, 64),
                vae_cuts=(Cut(5, 64, 4), Cut(1, 64, 8), Cut(5, 64, 4), Cut(9, 64, 2)),  # one piece a cut: 5 x slower
                heads=3,
                head_dim=64,  # whole tiles of the CPU's matrix unit
                rope_axes=(12, 26, 26),
                double_blocks=1,
                single_blocks=4,
                mlp_ratio=2.5,
                batch=4,
                kept_groups=1_000,
                text=_TEXT,
                vae=StageNumbers(steps=4_000, rate=2e-3, matrix_rate=0.02, warmup=50, save_every=200, average=0.99),
                dit=StageNumbers(steps=18_000, rate=1e-3, matrix_rate=0.01, momentum=0.98, warmup=100, save_every=200),
            ),
            Recipe(  # for a datacentre GPU; no GPU has run it
                name="256",
                resolution=256,
                vae_channels=(16, 32, 48, 64),
                vae_cuts=(Cut(5, 128, 32), Cut(17, 128, 12), Cut(5, 128, 32), Cut(1, 256, 32)),
                heads=4,
                head_dim=64,
                rope_axes=(12, 26, 26),
                double_blocks=1,
                single_blocks=4,
                mlp_ratio=2.5,
                batch=16,
                text=_TEXT,
                vae=StageNumbers(steps=6_000, rate=2e-3, matrix_rate=0.02, warmup=100, save_every=1000),
                dit=StageNumbers(steps=18_000, rate=1e-3, matrix_rate=0.01, warmup=500, save_every=1000),
            ),
        )
    }
)


def recipe_of(name: str) -> Recipe:
    """Return a recipe by its name, the resolution class. Raises: EngineError naming the ones that exist."""
    if name not in RECIPES:
        raise EngineError(f"no recipe {name!r}; there are {', '.join(RECIPES)}")
    return RECIPES[name]
