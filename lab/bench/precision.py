"""The error of each precision against the unpacked weights: of a forward, a section, and blocks of the real width.

The row `bf16` is the error of computing in bfloat16 against float32.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from types import SimpleNamespace
from typing import Any

import torch
from PIL import Image
from torch import Tensor, nn

from framepack_engine.models.precision import apply_precision
from framepack_engine.models.shelf import Models
from framepack_engine.pipeline import Renderer, Sampler
from framepack_engine.planning.choices import PRECISIONS
from framepack_engine.planning.spec import RenderSpec
from lab.bench.random_model import fill

_WIDTH, _HEAD_DIM = 3072, 128
_TOKENS, _TEXT_TOKENS = 256, 64
_GUIDANCE = 9.984  #: near the usual 10, whose 10,000 thousandths the model is told as 9,984 in bfloat16


@dataclass(frozen=True, slots=True, kw_only=True)
class Errors:
    """The errors of one precision: RMS of the difference over RMS of the right result. None: not measured.

    forward: of the first step's velocity; section: of the latents after all steps; both in float32. forward_bf16,
    section_bf16: the same, computed in bfloat16 as on a GPU. double, single: of what one block of FramePack's width
    adds to its input, in float32. Row `bf16` compares unpacked weights in bfloat16 with float32.
    """

    precision: str
    forward: float | None = None
    section: float | None = None
    forward_bf16: float | None = None
    section_bf16: float | None = None
    double: float | None = None
    single: float | None = None

    def row(self) -> dict[str, Any]:
        """Return a line of a table, to three digits."""
        return {
            name: float(f"{value:.3g}") if isinstance(value, float) else value for name, value in asdict(self).items()
        }


def section_errors(models: Models, spec: RenderSpec) -> list[Errors]:
    """Render the first section of `spec` in each precision, in float32 and in bfloat16.

    The guidance is one that both can represent. `models` must be in float32; they are left unchanged.
    """
    spec = replace(spec, guidance_scale=_GUIDANCE)
    conditioning = Renderer(models).encode(spec, {"start": Image.new("RGB", (64, 64), "teal")})

    def rendered(precision: str, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        transformer = nn.Module.to(copy.deepcopy(models.transformer), dtype)  # diffusers' own `to` warns of nothing
        parts, answers = replace(models, transformer=transformer), list[Tensor]()
        apply_precision(parts.transformer, precision)
        hook = parts.transformer.register_forward_hook(lambda _module, _args, output: answers.append(output[0]))
        latents = Sampler(parts.transformer, parts.vae).section(spec, 0, conditioning, None).latents
        hook.remove()
        return answers[0], latents

    whole, half = rendered("bf16", torch.float32), rendered("bf16", torch.bfloat16)
    errors = [Errors(precision="bf16", forward=_off(half[0], whole[0]), section=_off(half[1], whole[1]))]
    for precision in PRECISIONS[1:]:
        near, near_half = rendered(precision, torch.float32), rendered(precision, torch.bfloat16)
        errors.append(
            Errors(
                precision=precision,
                forward=_off(near[0], whole[0]),
                section=_off(near[1], whole[1]),
                forward_bf16=_off(near_half[0], half[0]),
                section_bf16=_off(near_half[1], half[1]),
            )
        )
    return errors


@torch.no_grad()
def block_errors(*, width: int = _WIDTH) -> list[Errors]:
    """Measure one block of each class with random weights, in float32 except for `bf16`.

    width: a multiple of 128; FramePack's takes 3 GB of memory, and a minute or two on a CPU.
    """
    from diffusers.models.transformers.transformer_hunyuan_video import (
        HunyuanVideoSingleTransformerBlock,
        HunyuanVideoTransformerBlock,
    )

    errors, drawn = [Errors(precision=precision) for precision in PRECISIONS], torch.Generator().manual_seed(1)
    shapes = (1, _TOKENS, width), (1, _TEXT_TOKENS, width), (1, width)
    inputs = [torch.randn(shape, generator=drawn) for shape in shapes]
    for name, kind in (("double", HunyuanVideoTransformerBlock), ("single", HunyuanVideoSingleTransformerBlock)):
        with torch.device("meta"):
            block: nn.Module = kind(width // _HEAD_DIM, _HEAD_DIM, mlp_ratio=4.0, qk_norm="rms_norm")
        fill(block, drawn, dtype=torch.float32, home=torch.device("cpu"))
        wanted = _added(block, inputs)
        for number, precision in enumerate(PRECISIONS):
            dtype = torch.bfloat16 if precision == "bf16" else torch.float32
            packed = copy.deepcopy(block).to(dtype)  # before it is packed: float8 is a dtype, too
            blocks = [packed] if name == "double" else [], [packed] if name == "single" else []
            owner = SimpleNamespace(transformer_blocks=blocks[0], single_transformer_blocks=blocks[1])
            owner.norm_out = nn.Identity()
            apply_precision(owner, precision)
            off = _off(_added(packed, [tensor.to(dtype) for tensor in inputs]), wanted)
            found = errors[number]
            errors[number] = replace(found, double=off) if name == "double" else replace(found, single=off)
    return errors


def _added(block: nn.Module, inputs: Sequence[Tensor]) -> Tensor:
    """Return what a block adds to its input, image and text."""
    hidden, text = block(*inputs)
    return torch.cat((hidden - inputs[0], text - inputs[1]), dim=1)


def _off(near: Tensor, wanted: Tensor) -> float:
    return float((near.float() - wanted.float()).norm() / wanted.float().norm())
