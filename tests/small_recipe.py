"""A pocket model of seconds: what `framefarm train pocket` makes, shrunk."""

from __future__ import annotations

from dataclasses import replace

from lab.training.recipe import RECIPES, Cut, StageNumbers

_FEW = StageNumbers(steps=2, rate=1e-3, warmup=1, save_every=1)
SMALLEST = replace(
    RECIPES["128"],
    resolution=64,
    window=2,
    max_sections=2,
    vae_channels=(4, 8, 16, 40),
    vae_cuts=(Cut(5, 32, 2),),
    heads=2,
    head_dim=16,
    rope_axes=(4, 6, 6),
    double_blocks=1,
    single_blocks=1,
    batch=2,
    text=_FEW,
    vae=replace(_FEW, matrix_rate=0.01),
    dit=replace(_FEW, matrix_rate=0.01),
)
