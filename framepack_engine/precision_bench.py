"""How far each precision is from the weights as they come: a forward, a section, and blocks of the real width."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any

import torch
from PIL import Image
from torch import Tensor, nn

from framepack_engine.models import Models
from framepack_engine.pipeline import Renderer
from framepack_engine.precision import PRECISIONS, apply_precision
from framepack_engine.random_model import fill
from framepack_engine.spec import RenderSpec

_HEADS, _HEAD_DIM = 24, 128
_TOKENS, _TEXT_TOKENS = 256, 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Errors:
    """Of one precision: RMS of the difference over RMS of what it should be. None: not measured.

    forward: of the velocity that the first step answers. section: of the latents after all steps. double, single: of
    what one block of FramePack's width adds to its input.
    """

    precision: str
    forward: float | None = None
    section: float | None = None
    double: float | None = None
    single: float | None = None

    def row(self) -> dict[str, Any]:
        """As a line of a table, to three digits."""
        found = {"forward": self.forward, "section": self.section, "double": self.double, "single": self.single}
        return {"precision": self.precision} | {
            name: float(f"{error:.3g}") for name, error in found.items() if error is not None
        }


def section_errors(models: Models, spec: RenderSpec, *, precisions: Sequence[str] = PRECISIONS[1:]) -> list[Errors]:
    """Render the first section of `spec` in each precision, and as the model is. `models` stay as they are."""
    conditioning = Renderer(models).encode(spec, {"start": Image.new("RGB", (64, 64), "teal")})

    def rendered(precision: str) -> tuple[Tensor, Tensor]:
        parts, answers = replace(models, transformer=copy.deepcopy(models.transformer)), list[Tensor]()
        apply_precision(parts.transformer, precision)
        hook = parts.transformer.register_forward_hook(lambda _module, _args, output: answers.append(output[0]))
        latents = Renderer(parts).section(spec, 0, conditioning, None).latents
        hook.remove()
        return answers[0], latents

    forward, section = rendered("bf16")
    errors = list[Errors]()
    for precision in precisions:
        near = rendered(precision)
        errors.append(Errors(precision=precision, forward=_off(near[0], forward), section=_off(near[1], section)))
    return errors


@torch.no_grad()
def block_errors(*, precisions: Sequence[str] = PRECISIONS[1:]) -> list[Errors]:
    """One block of each class, 3072 wide, with random weights in float32: 3 GB of memory, a minute or two on a CPU."""
    from diffusers.models.transformers.transformer_hunyuan_video import (
        HunyuanVideoSingleTransformerBlock,
        HunyuanVideoTransformerBlock,
    )

    errors = [Errors(precision=precision) for precision in precisions]
    dim, drawn = _HEADS * _HEAD_DIM, torch.Generator().manual_seed(1)
    inputs = [torch.randn(shape, generator=drawn) for shape in ((1, _TOKENS, dim), (1, _TEXT_TOKENS, dim), (1, dim))]
    for name, kind in (("double", HunyuanVideoTransformerBlock), ("single", HunyuanVideoSingleTransformerBlock)):
        with torch.device("meta"):
            block: nn.Module = kind(_HEADS, _HEAD_DIM, mlp_ratio=4.0, qk_norm="rms_norm")
        fill(block, drawn, dtype=torch.float32, home=torch.device("cpu"))
        wanted = _added(block, inputs)
        for number, precision in enumerate(precisions):
            packed = copy.deepcopy(block)
            blocks = [packed] if name == "double" else [], [packed] if name == "single" else []
            owner = SimpleNamespace(transformer_blocks=blocks[0], single_transformer_blocks=blocks[1])
            owner.norm_out = nn.Identity()
            apply_precision(owner, precision)
            off = _off(_added(packed, inputs), wanted)
            found = errors[number]
            errors[number] = replace(found, double=off) if name == "double" else replace(found, single=off)
    return errors


def _added(block: nn.Module, inputs: Sequence[Tensor]) -> Tensor:
    """What a block adds to its input, image and text."""
    hidden, text = block(*inputs)
    return torch.cat((hidden - inputs[0], text - inputs[1]), dim=1)


def _off(near: Tensor, wanted: Tensor) -> float:
    return float((near - wanted).norm() / wanted.norm())
